"""Divides: the outlines of an inventory with their identifiers, and their numbers on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio.features
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.errors import SceneError
from cryonet.sources.polygons import read_named

#: Columns in which inventories keep their identifiers: RGI 7, RGI 6 and older, GLIMS.
IDENTIFIERS = ("rgi_id", "RGIId", "glac_id")


@dataclass(frozen=True, slots=True)
class Divides:
    """An inventory's glaciers on a grid.

    Attributes
    ----------
    outlines
        In the grid's CRS.
    identifier
        The column with their names.
    numbers
        ``(y, x)``: the place of the outline over each pixel's centre, from 1 up; 0 for none.
    """

    outlines: gpd.GeoDataFrame
    identifier: str
    numbers: NDArray[np.int32]


def read_divides(path: str | Path, geobox: GeoBox) -> Divides:
    """Return the glaciers of an inventory that meet a grid.

    Raises
    ------
    SceneError, GridError
        As `cryonet.sources.polygons.read_polygons`; and if no column holds identifiers.
    """
    outlines = read_named(path, geobox)
    identifier = next((name for name in IDENTIFIERS if name in outlines), None)
    if identifier is None:
        raise SceneError(
            "the inventory has no identifiers",
            f"{Path(path).name}: {', '.join(map(str, outlines.columns))}",
            f"Known are the columns {', '.join(IDENTIFIERS)}.",
        )
    numbers = rasterio.features.rasterize(
        [(shape, place + 1) for place, shape in enumerate(outlines.geometry)],
        out_shape=tuple(geobox.shape),
        transform=geobox.transform,
        dtype="int32",
    )
    return Divides(outlines.reset_index(drop=True), identifier, numbers)
