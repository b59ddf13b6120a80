"""Windows on a pixel grid, and the checks that two things lie on the same grid."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401 - gives xarray objects their .odc accessor
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Geod
from shapely.geometry import mapping

from cryonet.errors import GridError


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A rectangle of pixels: first row, first column, height, width."""

    row: int
    col: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices, for the last two axes of an array."""
        return (slice(self.row, self.row + self.height), slice(self.col, self.col + self.width))

    @property
    def centre(self) -> tuple[int, int]:
        """Row and column of the middle pixel."""
        return (self.row + self.height // 2, self.col + self.width // 2)

    def expand(self, halo: int, shape: tuple[int, int]) -> Window:
        """Grow by `halo` pixels on each side, cut at the edges of `shape`."""
        top, left = max(self.row - halo, 0), max(self.col - halo, 0)
        bottom = min(self.row + self.height + halo, shape[0])
        right = min(self.col + self.width + halo, shape[1])
        return Window(top, left, bottom - top, right - left)

    def within(self, outer: Window) -> Window:
        """Express this window in the coordinates of `outer`."""
        return Window(self.row - outer.row, self.col - outer.col, self.height, self.width)

    def moved(self, rows: int, cols: int) -> Window:
        """Return the window of the same size that starts `rows` and `cols` further on."""
        return Window(self.row + rows, self.col + cols, self.height, self.width)


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Return the first pixels of tiles that cover `length`, the last one flush with the end.

    Raises
    ------
    GridError
        If `tile` is below 1, or `overlap` is not in 0 … tile − 1.
    """
    if tile < 1:
        raise GridError("the tile size is too small", tile, "A tile has at least 1 pixel.")
    if not 0 <= overlap < tile:
        raise GridError("the overlap does not fit the tile", overlap, f"Give 0 to {tile - 1}.")
    if length <= tile:
        return [0]
    step = tile - overlap
    count = -(-(length - tile) // step) + 1
    return [min(i * step, length - tile) for i in range(count)]


def tile_windows(shape: tuple[int, int], tile: int, *, overlap: int = 0) -> Iterator[Window]:
    """Yield windows of at most `tile` pixels a side that cover `shape`, row by row.

    Neighbours share at least `overlap` pixels. A side shorter than `tile` gives one
    window of that side; nothing reaches past the edge.

    Raises
    ------
    GridError
        As `starts`.
    """
    height, width = shape
    rows, cols = starts(height, tile, overlap), starts(width, tile, overlap)
    if height < 1 or width < 1:
        return
    for row in rows:
        for col in cols:
            yield Window(row, col, min(tile, height), min(tile, width))


def geobox_of(data: xr.Dataset | xr.DataArray) -> GeoBox:
    """Return the GeoBox of `data`.

    Raises
    ------
    GridError
        If `data` has no CRS, or no regular axis-aligned grid.
    """
    found = data.odc.geobox
    if not isinstance(found, GeoBox) or found.crs is None or not found.axis_aligned:
        raise GridError(
            "the data has no georeference", list(data.dims), "Give a regular grid with a CRS."
        )
    return found


def _shift(first: GeoBox, second: GeoBox) -> float:
    """Return by how many pixels of `first` the two lie apart at the worst corner."""
    height, width = first.shape
    there = ~first.affine * second.affine
    corners = [(0, 0), (width, 0), (0, height), (width, height)]
    return float(max(np.abs(np.subtract(there * corner, corner)).max() for corner in corners))


def pixel_areas(geobox: GeoBox) -> NDArray[np.float64]:
    """Return the area of one pixel of each row, km², as a column ``(y, 1)``.

    On a projected grid it is the cell; on a geographic one the area on the WGS 84
    ellipsoid.
    """
    height = int(geobox.shape[0])
    if geobox.crs is None or not geobox.crs.geographic:
        affine = geobox.affine
        cell = abs(affine.a * affine.e - affine.b * affine.d)
        return np.full((height, 1), cell / 1e6)
    geod = Geod(ellps="WGS84")
    step, width = geobox.resolution.y, abs(geobox.resolution.x)
    first = geobox.affine.f
    areas = []
    for row in range(height):
        lower, upper = first + row * step, first + (row + 1) * step
        area, _ = geod.polygon_area_perimeter([0, width, width, 0], [lower, lower, upper, upper])
        areas.append(abs(area) / 1e6)
    return np.array(areas)[:, None]


def pixel_side(geobox: GeoBox) -> float:
    """Return the side of a square as large as a pixel of the middle row, m."""
    areas = pixel_areas(geobox)
    return math.sqrt(float(areas[len(areas) // 2, 0]) * 1e6)


def check_same_grid(first: GeoBox, second: GeoBox, *, what: str = "the two rasters") -> None:
    """Refuse two GeoBoxes that differ in CRS, shape or (by over 1/1000 pixel) in position.

    Raises
    ------
    GridError
        Naming the property that differs.
    """
    if first.crs != second.crs:
        raise GridError(f"{what} differ in CRS", f"{first.crs} / {second.crs}", "Warp one first.")
    if first.shape != second.shape:
        pair = f"{tuple(first.shape)} / {tuple(second.shape)}"
        raise GridError(f"{what} differ in size", pair, "Bring both to one grid first.")
    if _shift(first, second) > 1e-3:
        pair = f"{tuple(first.affine)[:6]} / {tuple(second.affine)[:6]}"
        raise GridError(f"{what} differ in position", pair, "Bring both to one grid first.")


def window_of(part: GeoBox, whole: GeoBox, *, what: str = "the two rasters") -> Window:
    """Return where a grid lies in a larger one, pixel on pixel.

    Raises
    ------
    GridError
        If it does not: see `check_same_grid`.
    """
    height, width = (int(side) for side in part.shape)
    col, row = (round(v) for v in ~whole.affine * (part.affine * (0, 0)))
    window = Window(row, col, height, width)
    rows, cols = whole.shape
    # Cut beyond its edges, a GeoBox goes on there.
    inside = 0 <= row <= rows - height and 0 <= col <= cols - width
    check_same_grid(whole[window.slices] if inside else whole, part, what=what)
    return window


def footprint(geobox: GeoBox) -> tuple[dict[str, Any], list[float]]:
    """Return the outline as GeoJSON and the bounds (west, south, east, north), in degrees.

    Over the antimeridian the outline is cut in two and west lies above east (RFC 7946).
    """
    outline = geobox.extent.segmented(max(geobox.extent.boundingbox.span_x / 16, 1e-6))
    shape = outline.to_crs("EPSG:4326", wrapdateline=True).geom
    west, south, east, north = shape.bounds
    parts = list(getattr(shape, "geoms", [shape]))
    if len(parts) > 1 and east - west > 180:
        west = min(p.bounds[0] for p in parts if p.bounds[0] > 0)
        east = max(p.bounds[2] for p in parts if p.bounds[2] < 0)
    return dict(mapping(shape)), [west, south, east, north]


def scene_box(data: xr.Dataset) -> tuple[float, float, float, float]:
    """Return west, south, east, north of a scene in degrees; see `footprint`."""
    west, south, east, north = footprint(geobox_of(data))[1]
    return west, south, east, north
