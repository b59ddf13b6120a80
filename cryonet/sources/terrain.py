"""Real terrain for a simulated scene: a DEM brought to a square grid of metres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.errors import SceneError
from cryonet.grid import Window
from cryonet.sources.checks import check_elevation
from cryonet.sources.raster import open_band, read_numbers
from cryonet.sources.target import target_grid
from cryonet.sources.warp import plan_route, resample


def read_terrain(
    path: str | Path, *, size: int, resolution: float = 10.0
) -> tuple[NDArray[np.float32], GeoBox]:
    """Return elevation in metres and its grid, the middle `size` pixels of a DEM.

    Parameters
    ----------
    path
        ``FILE`` or ``FILE:BAND``, in any CRS.
    size
        Rows and columns of the result; fewer where the DEM is smaller.
    resolution
        Pixel side of the result in metres.

    Raises
    ------
    SceneError
        If the file is no DEM in metres, or the part asked for has holes.
    """
    band = open_band(path)
    whole = target_grid(band.grid, resolution=resolution)
    height, width = int(whole.shape[0]), int(whole.shape[1])
    rows, cols = min(size, height), min(size, width)
    grid = whole[Window((height - rows) // 2, (width - cols) // 2, rows, cols).slices]
    route = plan_route(band.grid, grid, variable="elevation", what=band.path.name)
    numbers = read_numbers(band, route.window)
    check_elevation(numbers, file=band.path.name, unit=band.unit)
    elevation = resample(numbers, band.grid, route, grid)
    holes = float(np.isnan(elevation).mean())
    if holes:
        raise SceneError(
            "the DEM has holes where the scene would be",
            f"{band.path.name}: {holes:.1%}",
            "Fill them, or give a smaller size.",
        )
    return elevation, grid
