"""The grid of a mosaic, and where each map lies on it: pasted, or warped."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from odc.geo import xy_
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox
from pyproj import Proj, Transformer

from cryonet.errors import GridError
from cryonet.grid import Window

T = TypeVar("T")

#: Parts of a pixel by which grids may lie apart and be one.
ALIGNED = 1e-3

#: Points along each side of a map whose places are computed.
_POINTS = 33

#: A warped map whose box grows this many times was torn apart, as at the antimeridian.
_TORN = 2.0

#: By how much an area on the map may be off the one on the ground; our choice.
_AREAL = 0.05


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a map lies on the grid of a mosaic.

    Attributes
    ----------
    window
        The pixels of the mosaic that it may fill.
    pasted
        Its pixels are pixels of the mosaic; else it is warped.
    """

    window: Window
    pasted: bool


def mosaic_grid(boxes: Sequence[GeoBox], *, crs: str | None = None) -> GeoBox:
    """Return the grid of a mosaic of maps.

    Its pixels are as large as those of most maps in its CRS, or of most maps if none has it. The
    lines of the maps' own grid are kept if all that have its CRS and resolution share them; else
    they lie on multiples of the resolution.

    Parameters
    ----------
    boxes
        Of the maps.
    crs
        Of the mosaic; by default that of most maps, of the first among equals.

    Raises
    ------
    GridError
        If the CRS is unknown or not in metres, pixels are not square, or a map cannot be
        brought to it: it would be torn apart, or areas would be off by over 5 %.
    """
    target = _crs(crs, boxes)
    own = [box for box in boxes if box.crs == target]
    cell = _most([_cell(box) for box in own or boxes])
    alike = [box for box in own if math.isclose(_cell(box), cell, rel_tol=1e-6)]
    anchor = xy_(0.0, 0.0)
    if alike and all(_aligned(alike[0], box) for box in alike):
        edges = alike[0].boundingbox
        anchor = xy_(edges.left / cell % 1, edges.bottom / cell % 1)
    corners = np.array([_bounds(box, target) for box in boxes])
    (left, bottom), (right, top) = corners.min(0)[:2], corners.max(0)[2:]
    whole = BoundingBox(left, bottom, right, top, crs=target)
    return GeoBox.from_bbox(whole, resolution=cell, anchor=anchor, tol=ALIGNED)


def place(box: GeoBox, grid: GeoBox) -> Placed:
    """Return where a map lies on the grid of a mosaic that covers it."""
    assert grid.crs is not None
    if box.crs == grid.crs and math.isclose(_cell(box), _cell(grid), rel_tol=1e-6):
        col, row = ~grid.affine * (box.affine * (0, 0))
        if max(abs(col - round(col)), abs(row - round(row))) < ALIGNED:
            return Placed(Window(round(row), round(col), *map(int, box.shape)), pasted=True)
    left, bottom, right, top = _bounds(box, grid.crs)
    col, row = ~grid.affine * (left, top)
    last_col, last_row = ~grid.affine * (right, bottom)
    first = (max(0, math.floor(row)), max(0, math.floor(col)))
    stop = (min(grid.shape[0], math.ceil(last_row)), min(grid.shape[1], math.ceil(last_col)))
    return Placed(Window(*first, stop[0] - first[0], stop[1] - first[1]), pasted=False)


def _crs(stated: str | None, boxes: Sequence[GeoBox]) -> CRS:
    try:
        target = CRS(stated or _most([str(box.crs) for box in boxes]))
    except Exception as error:
        rule = "Give a code, as EPSG:32645."
        raise GridError("the mosaic's CRS is unknown", stated, rule) from error
    if target.geographic or set(target.units) - {"metre", "meter"}:
        rule = "Give a projected CRS in metres: areas are measured on it."
        raise GridError("the mosaic's CRS is not in metres", str(target), rule)
    return target


def _most(values: Sequence[T]) -> T:
    return Counter(values).most_common(1)[0][0]


def _cell(box: GeoBox) -> float:
    across, down = abs(box.resolution.x), abs(box.resolution.y)
    if not math.isclose(across, down, rel_tol=1e-6):
        rule = "Maps of square pixels make a mosaic."
        raise GridError("pixels are not square", f"{across:g} × {down:g} m", rule)
    return float(across)


def _aligned(first: GeoBox, second: GeoBox) -> bool:
    col, row = ~first.affine * (second.affine * (0, 0))
    return bool(max(abs(col - round(col)), abs(row - round(row))) < ALIGNED)


def _bounds(box: GeoBox, crs: CRS) -> tuple[float, float, float, float]:
    """Return left, bottom, right, top of a map in a CRS; its own edges if that is its own."""
    edges = box.boundingbox
    if box.crs == crs:
        return edges.left, edges.bottom, edges.right, edges.top
    assert box.crs is not None
    height, width = box.shape
    share = np.linspace(0, 1, _POINTS)
    cols, rows = (share * width)[None, :], (share * height)[:, None]
    step = box.affine
    x, y = np.broadcast_arrays(step.c + step.a * cols, step.f + step.e * rows)
    there = Transformer.from_crs(box.crs.proj, crs.proj, always_xy=True)
    found_x, found_y = there.transform(x, y)
    spans = [np.ptp(found_x) / edges.span_x, np.ptp(found_y) / edges.span_y]
    if not np.isfinite(found_x + found_y).all() or max(spans) > _TORN:
        raise GridError(
            "a map is torn apart in the mosaic's CRS",
            f"{box.crs} in {crs}",
            "Choose a CRS whose middle is near: it lies over an edge, as the antimeridian.",
        )
    degrees = Transformer.from_crs(box.crs.proj, "EPSG:4326", always_xy=True).transform(x, y)
    scale = np.asarray(Proj(crs.proj).get_factors(*degrees).areal_scale)
    if not np.abs(scale - 1).max() <= _AREAL:
        raise GridError(
            "areas would be wrong in the mosaic's CRS",
            f"{scale.flat[np.abs(scale - 1).argmax()] - 1:+.1%} at a map in {box.crs}, in {crs}",
            f"Choose one that keeps areas within {_AREAL:.0%} there, as a UTM zone near it.",
        )
    return found_x.min(), found_y.min(), found_x.max(), found_y.max()
