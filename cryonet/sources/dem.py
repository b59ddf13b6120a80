"""The Copernicus DEM on a scene's grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.errors import GridError
from cryonet.sources.checks import check_elevation
from cryonet.sources.remote import Reader, Remote
from cryonet.sources.warp import plan_route, record, resample

#: Pixels read around the scene, for the interpolation at its edge.
MARGIN = 4


def load_dem(
    tiles: Sequence[Remote], grid: GeoBox, *, reader: Reader
) -> tuple[NDArray[np.float32], list[dict[str, Any]]]:
    """Return elevation ``(y, x)``, m, on `grid`, NaN where no tile lies, and its warps.

    Tiles are joined in their own pixels first and warped as one: warped one by one, each
    would end half a pixel early, and slopes would show a step along full degrees.

    Raises
    ------
    SceneError
        If a file stays unreadable, or holds no elevations.
    """
    own = {tile.item.id: reader.grid_of(tile, "elevation") for tile in tiles}
    # North of 50 degrees tiles are coarser in longitude: the finest of the area holds.
    finest = min(own.values(), key=lambda box: abs(box.resolution.x))
    joined = _around(grid, finest)
    values = np.full(tuple(joined.shape), np.nan, np.float32)
    warps = []
    for tile in tiles:
        try:
            route = plan_route(own[tile.item.id], grid, variable="elevation", what=tile.item.id)
        except GridError:  # a neighbour that only touches the box
            continue
        more = reader.read(tile, joined, {"elevation": "bilinear"})["elevation"]
        check_elevation(more, file=tile.item.id, unit="")
        values = np.where(np.isnan(values), more, values)
        step = record(
            route, own[tile.item.id], grid, variable="elevation", file=tile.item.id, band=1
        )
        warps.append(step.as_dict())
    route = plan_route(joined, grid, variable="elevation", what="the DEM")
    part = np.ascontiguousarray(values[route.window.slices])
    return resample(part, joined, route, grid), warps


def _around(grid: GeoBox, pattern: GeoBox) -> GeoBox:
    """Return the pixels of `pattern`, continued, that cover `grid` and a margin."""
    assert pattern.crs is not None
    box = grid.extent.to_crs(pattern.crs, resolution="auto").boundingbox
    a, b = ~pattern.affine * (box.left, box.top), ~pattern.affine * (box.right, box.bottom)
    left, top = (int(np.floor(edge)) - MARGIN for edge in a)
    right, bottom = (int(np.ceil(edge)) + MARGIN for edge in b)
    moved = pattern.affine * type(pattern.affine).translation(left, top)
    return GeoBox((bottom - top, right - left), moved, pattern.crs)
