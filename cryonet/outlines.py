"""Outlines: polygons of glaciers, of their clean and debris-covered parts, and of lakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.classes import CLASSES
from cryonet.errors import CryonetError
from cryonet.glaciers import ICE, LAKE, Numbers, lakes_of

#: The equal-area projection of areas: that of the Randolph Glacier Inventory 7.0.
EQUAL_AREA = "ESRI:54034"

#: Glaciers and lakes below are left out, km² (RGI Consortium 2023, user guide of RGI 7.0).
MIN_AREA = 0.01

#: Smoothing takes off triangles below the square of this, in pixels: those of single steps
#: have half a pixel.
STEP = 0.75


@dataclass(frozen=True, slots=True)
class Outlines:
    """Polygons in the CRS of the map, each frame with ``area_km2``.

    Attributes
    ----------
    glaciers
        One feature a glacier, with holes; ``number`` is that of `cryonet.glaciers`.
    parts
        One feature a glacier and class: ``number``, ``class``.
    lakes
        One feature a lake: ``number``.
    """

    glaciers: gpd.GeoDataFrame
    parts: gpd.GeoDataFrame
    lakes: gpd.GeoDataFrame


def make_outlines(
    codes: NDArray[np.integer],
    numbers: Numbers,
    geobox: GeoBox,
    *,
    min_area: float = MIN_AREA,
    smooth: bool = False,
) -> Outlines:
    """Return the outlines of a map.

    Outlines run along the edges of pixels. Smoothed, single steps of a pixel are taken off
    (Visvalingam and Whyatt 1993, over the whole coverage): polygons that shared an edge still
    share it, with neither gaps nor overlaps. Areas are of the polygons as they come out, in an
    equal-area projection.

    Parameters
    ----------
    codes
        Class codes ``(y, x)``.
    numbers
        Of `cryonet.glaciers.glacier_numbers`.
    min_area
        Glaciers and lakes below are left out, km².

    Raises
    ------
    CryonetError
        If the smallest area is negative or not a number.
    """
    if not min_area >= 0:
        raise CryonetError("the smallest area is out of range", min_area, "Give 0 km² or more.")
    assert geobox.crs is not None
    lakes = lakes_of(codes)
    # One value for each glacier and class, and for each lake.
    kinds = len(CLASSES)
    values = np.where(numbers > 0, numbers * kinds + codes, 0).astype(np.int32)
    values[lakes > 0] = lakes[lakes > 0] * kinds + LAKE
    shapes, found = _polygons(values, geobox)
    if smooth and len(shapes):
        shapes = shapely.coverage_simplify(shapes, tolerance=STEP * abs(geobox.resolution.x))
    frame = gpd.GeoDataFrame(
        {"number": found // kinds, "code": found % kinds}, geometry=shapes, crs=geobox.crs.proj
    )
    parts = frame[frame["code"].isin(ICE)].dissolve(["number", "code"], as_index=False)
    glaciers = parts[["number", "geometry"]].dissolve("number", as_index=False)
    lake = frame[frame["code"] == LAKE][["number", "geometry"]].dissolve("number", as_index=False)
    glaciers, lake = (_large(part, min_area) for part in (glaciers, lake))
    parts = _with_area(parts[parts["number"].isin(glaciers["number"])].reset_index(drop=True))
    parts["class"] = [CLASSES[code].name for code in parts.pop("code")]
    return Outlines(glaciers, parts, lake)


def areas_of(frame: gpd.GeoDataFrame) -> NDArray[np.float64]:
    """Return the areas of polygons in the equal-area projection, km²."""
    if frame.empty:
        return np.zeros(0)
    found: NDArray[np.float64] = frame.geometry.to_crs(EQUAL_AREA).area.to_numpy() / 1e6
    return found


def _with_area(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    return frame.assign(area_km2=areas_of(frame))


def _large(frame: gpd.GeoDataFrame, least: float) -> gpd.GeoDataFrame:
    found = _with_area(frame)
    return found[found["area_km2"] >= least].reset_index(drop=True)


def _polygons(
    values: NDArray[np.int32], geobox: GeoBox
) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Return the polygons of equal values but 0, connected along edges, and their values."""
    made: Sequence[tuple[dict[str, object], float]] = list(
        rasterio.features.shapes(
            values, mask=values > 0, connectivity=4, transform=geobox.transform
        )
    )
    shapes = np.array([shapely.geometry.shape(shape) for shape, _ in made], object)
    return shapes, np.array([int(value) for _, value in made], np.int64)
