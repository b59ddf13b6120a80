"""From a raster's own grid to the target grid, and the record of what was done."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.warp import reproject

from cryonet.errors import GridError
from cryonet.grid import Window

Array = NDArray[np.float32]
Method = Literal["none", "nearest", "bilinear", "average"]

#: From this ratio of target to source pixel on, pixels are averaged.
COARSER = 1.5

#: Grids that agree to this share of a pixel are aligned.
ALIGNED = 1e-3

#: Four neighbours and no more: GDAL would widen the kernel, unevenly on rotated grids.
_PLAIN = {"XSCALE": 1, "YSCALE": 1}


@dataclass(frozen=True, slots=True)
class Warp:
    """What happened to one raster band on its way to the target grid.

    Resolutions are in the units of their CRS, `native_resolution` is the source's pixel
    side in metres on the target grid, `extent` is (west, south, east, north) of the part
    read, in the source's CRS.
    """

    variable: str
    file: str
    band: int
    from_crs: str
    from_resolution: tuple[float, float]
    to_crs: str
    to_resolution: tuple[float, float]
    resampling: Method
    native_resolution: float
    extent: tuple[float, float, float, float]

    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain lists and numbers."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Route:
    """The part of the source to read, how to resample it, and the source's pixel side."""

    window: Window
    method: Method
    native_resolution: float


def crs_name(crs: CRS) -> str:
    """Return ``EPSG:n``, or the WKT of a CRS that has no such code."""
    return f"EPSG:{crs.epsg}" if crs.epsg else str(crs.to_wkt())


def same_crs(first: CRS, second: CRS) -> bool:
    """Return whether two CRSs place points alike, whatever they are called."""
    return first == second or first.proj.equals(second.proj, ignore_axis_order=True)


def plan_route(source: GeoBox, target: GeoBox, *, variable: str, what: str) -> Route:
    """Return how `variable` comes from `source` to `target`.

    Aligned pixels are copied. Otherwise values are averaged on the way to pixels at least
    `COARSER` times larger and interpolated linearly elsewhere. Coherence is never averaged,
    since an average of estimates is no estimate with more looks: on the way to larger
    pixels the nearest one stands.

    Raises
    ------
    GridError
        If the two do not overlap.
    """
    rows, cols = _target_in_source(source, target)
    height, width = source.shape
    inside = rows.size and rows.max() > 0 and rows.min() < height
    if not (inside and cols.max() > 0 and cols.min() < width):
        raise GridError(
            "the raster does not overlap the scene's grid",
            what,
            "Give a raster that covers some of the same ground.",
        )
    native = _native_resolution(source, target)
    ratio = abs(target.resolution.x) / native
    margin = int(np.ceil(2 + 2 * ratio))
    window = _window(rows, cols, margin, (height, width))
    return Route(window, _method(source, target, variable, ratio), native)


def _method(source: GeoBox, target: GeoBox, variable: str, ratio: float) -> Method:
    if is_aligned(source, target):
        same = source.shape == target.shape and _offset(source, target) < ALIGNED
        return "none" if same else "nearest"
    if ratio < COARSER:
        return "bilinear"
    return "nearest" if variable == "coherence" else "average"


def is_aligned(source: GeoBox, target: GeoBox) -> bool:
    """Return whether target pixels are source pixels, moved by whole numbers or mirrored."""
    if source.crs is None or target.crs is None or not same_crs(source.crs, target.crs):
        return False
    pixels = ~source.affine * target.affine
    turn = np.abs([[pixels.a, pixels.b], [pixels.d, pixels.e]])
    side = max(target.shape)
    return bool(np.allclose(turn, np.eye(2), atol=ALIGNED / side)) and _fraction(pixels) < ALIGNED


def _fraction(pixels: Any) -> float:
    moved = np.array([pixels.c, pixels.f])
    return float(np.abs(moved - np.rint(moved)).max())


def _offset(source: GeoBox, target: GeoBox) -> float:
    pixels = ~source.affine * target.affine
    return float(max(abs(pixels.c), abs(pixels.f)))


def _target_in_source(
    source: GeoBox, target: GeoBox
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows and columns in the source of a lattice of points over the target."""
    height, width = target.shape
    steps = np.linspace(0.0, 1.0, 33)
    cols, rows = (p.ravel() for p in np.meshgrid(steps * width, steps * height))
    a, b, c, d, e, f, *_ = target.affine
    x, y = a * cols + b * rows + c, d * cols + e * rows + f
    x, y = _transform(target.crs, source.crs, x, y)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if source.crs is not None and source.crs.geographic and x.size:
        # Longitudes return in -180 ... 180 while a raster over the antimeridian runs on to
        # 181: count them from half a turn west of the raster's middle.
        west = (source.affine * (source.shape[1] / 2, source.shape[0] / 2))[0] - 180.0
        x = west + np.mod(x - west, 360.0)
    a, b, c, d, e, f, *_ = ~source.affine
    return d * x + e * y + f, a * x + b * y + c


def _transform(
    source: CRS | None, target: CRS | None, x: Any, y: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    assert source is not None and target is not None
    there = Transformer.from_crs(source.proj, target.proj, always_xy=True)
    return there.transform(x, y)


def _window(
    rows: NDArray[np.float64], cols: NDArray[np.float64], margin: int, shape: tuple[int, int]
) -> Window:
    top = max(int(np.floor(rows.min())) - margin, 0)
    left = max(int(np.floor(cols.min())) - margin, 0)
    bottom = min(int(np.ceil(rows.max())) + margin, shape[0])
    right = min(int(np.ceil(cols.max())) + margin, shape[1])
    return Window(top, left, bottom - top, right - left)


def _native_resolution(source: GeoBox, target: GeoBox) -> float:
    """Return the side of a square as large as a source pixel, in the target's metres."""
    height, width = target.shape
    middle = target.affine * (width / 2, height / 2)
    x, y = _transform(target.crs, source.crs, [middle[0]], [middle[1]])
    a, b, _, d, e, _, *_ = source.affine
    corner_x, corner_y = x[0] + np.array([0.0, a, b]), y[0] + np.array([0.0, d, e])
    u, v = _transform(source.crs, target.crs, corner_x, corner_y)
    area = (u[1] - u[0]) * (v[2] - v[0]) - (u[2] - u[0]) * (v[1] - v[0])
    return float(np.sqrt(abs(area)))


def resample(values: Array, source: GeoBox, route: Route, target: GeoBox) -> Array:
    """Return `values`, read from `route.window` of `source`, on `target`; NaN where missing."""
    if route.method == "none":
        return values
    part = source[route.window.slices]
    assert part.crs is not None and target.crs is not None
    out = np.full(tuple(target.shape), np.nan, dtype="float32")
    reproject(
        source=values,
        destination=out,
        src_transform=part.affine,
        src_crs=str(part.crs),
        src_nodata=np.nan,
        dst_transform=target.affine,
        dst_crs=str(target.crs),
        dst_nodata=np.nan,
        resampling=Resampling[route.method],
        tolerance=0.01,
        **_PLAIN if route.method == "bilinear" else {},
    )
    return out


def resample_phase(values: Array, source: GeoBox, route: Route, target: GeoBox) -> Array:
    """Return a wrapped phase on `target`: its cosine and sine are resampled, never itself.

    An angle is a direction. Between −π + 0.1 and π − 0.1 lies π, while their mean is 0.
    """
    if route.method in ("none", "nearest"):
        return resample(values, source, route, target)
    cosine = resample(np.cos(values), source, route, target)
    sine = resample(np.sin(values), source, route, target)
    turned: Array = np.arctan2(sine, cosine)
    return turned


def record(
    route: Route, source: GeoBox, target: GeoBox, *, variable: str, file: str, band: int
) -> Warp:
    """Return the record of one warp."""
    assert source.crs is not None and target.crs is not None
    box = source[route.window.slices].extent.boundingbox
    affine = source.affine
    side = (float(np.hypot(affine.a, affine.d)), float(np.hypot(affine.b, affine.e)))
    return Warp(
        variable=variable,
        file=file,
        band=band,
        from_crs=crs_name(source.crs),
        from_resolution=side,
        to_crs=crs_name(target.crs),
        to_resolution=(abs(target.resolution.x), abs(target.resolution.y)),
        resampling=route.method,
        native_resolution=route.native_resolution,
        extent=(box.left, box.bottom, box.right, box.top),
    )
