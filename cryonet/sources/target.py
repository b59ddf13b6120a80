"""The target grid of a scene: square pixels in metres, north up."""

from __future__ import annotations

import numpy as np
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from cryonet.cog import MAX_PIXELS
from cryonet.errors import GridError

#: Projections whose metres are not metres on the ground away from the equator.
MERCATOR = ("Mercator (variant A)", "Mercator (variant B)", "Popular Visualisation Pseudo Mercator")


def target_grid(source: GeoBox, *, resolution: float | None = None) -> GeoBox:
    """Return the grid of a scene that follows the raster grid `source`.

    A north-up grid of square metres is taken as it is. A south-up one is mirrored onto its
    own pixels, a rotated one gets the north-up box around it, and one in degrees or in a
    Mercator projection goes to the UTM zone of its middle (polar stereographic beyond 84°
    north and 80° south). Where pixels must be made anew their side is the square root of a
    source pixel's area, rounded to three digits, and their edges lie on its multiples.

    Parameters
    ----------
    resolution
        Pixel side in metres, in place of the source's own.

    Raises
    ------
    GridError
        If `resolution` is not positive, the CRS is not in metres, or the grid is too large.
    """
    if resolution is not None and not (np.isfinite(resolution) and resolution > 0):
        raise GridError("the resolution is not a length", resolution, "Give metres above 0.")
    assert source.crs is not None
    crs = source.crs
    if not _in_ground_metres(crs):
        crs = _zone(source)
    made = _kept(source, resolution) if crs == source.crs else None
    grid = made or _around(source, crs, resolution)
    if grid.shape[0] * grid.shape[1] > MAX_PIXELS:
        size = f"{grid.shape[0]} × {grid.shape[1]} pixels"
        raise GridError("the target grid is too large", size, f"At most {MAX_PIXELS:,} pixels.")
    return grid


def _in_ground_metres(crs: CRS) -> bool:
    if crs.geographic:
        return False
    operation = crs.proj.coordinate_operation
    if operation is not None and operation.method_name in MERCATOR:
        return False
    units = {axis.unit_name for axis in crs.proj.axis_info[:2]}
    if units != {"metre"}:
        raise GridError(
            "the target CRS is not in metres",
            f"{crs} ({', '.join(sorted(units))})",
            "Give `like` a raster in metres, such as a UTM zone.",
        )
    return True


def _kept(source: GeoBox, resolution: float | None) -> GeoBox | None:
    """Return the source's own pixels, north up, if they are square metres and wanted."""
    a, b, c, d, e, f = tuple(source.affine)[:6]
    square = b == d == 0 and a > 0 and np.isclose(a, abs(e), rtol=1e-9)
    if not square or (resolution is not None and not np.isclose(resolution, a, rtol=1e-9)):
        return None
    if e < 0:
        return source
    return GeoBox(
        source.shape, type(source.affine)(a, 0, c, 0, -a, f + a * source.shape[0]), source.crs
    )


def _around(source: GeoBox, crs: CRS, resolution: float | None) -> GeoBox:
    # Edges straight on one map are curved on another: points between corners count as well.
    outline = source.extent.to_crs(crs, resolution="auto")
    box = outline.boundingbox
    height, width = source.shape
    own = np.sqrt(outline.area / (height * width))
    side = resolution or float(f"{own:.3g}")
    return GeoBox.from_bbox(box, crs=crs, resolution=side, tight=False)


def _zone(source: GeoBox) -> CRS:
    height, width = source.shape
    x, y = source.affine * (width / 2, height / 2)
    assert source.crs is not None
    to_degrees = Transformer.from_crs(source.crs.proj, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(x, y)
    if lat > 84:
        return CRS("EPSG:3413")
    if lat < -80:
        return CRS("EPSG:3031")
    zone = int(((lon + 180) % 360) // 6) + 1
    return CRS(f"EPSG:{(32600 if lat >= 0 else 32700) + zone}")
