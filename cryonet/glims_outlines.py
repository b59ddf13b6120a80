"""The polygons of a GLIMS package: which lake lies on a glacier, and what a hole in it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.classes import CLASSES, NODATA
from cryonet.glims_fields import LINE_TYPES
from cryonet.outlines import Outlines

#: A lake inside a glacier's outline lies on it if this share of its shore is ice. Our choice.
SHORE = 0.5

#: Parts of holes that are smaller are what smoothing leaves, pixels. Our choice.
SLIVER = 0.5

_DEBRIS = CLASSES[2].name


@dataclass(frozen=True, slots=True)
class GlimsOutlines:
    """Polygons by line type, in the CRS of the map.

    Attributes
    ----------
    features
        ``line_type``, ``number`` (of the glacier they belong to) and one polygon a row.
    lakes_left_out
        How many lakes touch no glacier, or are too small for features of their own.
    """

    features: gpd.GeoDataFrame
    lakes_left_out: int


def glims_outlines(
    outlines: Outlines, codes: NDArray[np.integer], geobox: GeoBox, *, min_area: float
) -> GlimsOutlines:
    """Return the outlines of a map as GLIMS has them.

    A lake is supraglacial if it lies within the outer outline of the glaciers it touches and at
    least half its outer shore is ice, proglacial if it only touches one; it belongs to the
    glacier with most of its shore. The rule is our choice. A lake that shares no edge of a pixel
    with a glacier belongs to none and is left out. A supraglacial lake is a part of its glacier,
    whose outline runs round it, however small it is. What is left of holes is rock where the map
    says that there is neither ice nor lake; where the map is missing it stays a hole.

    Parameters
    ----------
    outlines
        Of the whole map, with everything that is small.
    codes
        Class codes ``(y, x)``.
    min_area
        Glaciers and lakes below have no features of their own, km².
    """
    whole = outlines.glaciers
    kept = whole[whole["area_km2"] >= min_area]
    glaciers = dict(zip(kept["number"].tolist(), kept.geometry, strict=True))
    rows: list[tuple[str, int, Any]] = []
    left = 0
    on: dict[int, list[Any]] = {}
    finder = _Owners(glaciers)
    for lake, area in zip(outlines.lakes.geometry, outlines.lakes["area_km2"], strict=True):
        kind, owner = finder.of(lake)
        if kind == "supra_lake":
            on.setdefault(owner, []).append(lake)
        if kind and area >= min_area:
            rows.append((kind, owner, lake))
        else:
            left += 1
    for number, lakes in on.items():
        glaciers[number] = shapely.union_all([glaciers[number], *lakes])
    rows += [("glac_bound", number, shape) for number, shape in glaciers.items()]
    known = [*whole.geometry, *outlines.lakes.geometry, *_missing(codes, geobox)]
    least = SLIVER * abs(geobox.resolution.x * geobox.resolution.y)
    rows += [("intrnl_rock", n, rock) for n, rock in _rocks(glaciers, known, least)]
    parts = outlines.parts[
        (outlines.parts["class"] == _DEBRIS) & outlines.parts["number"].isin(list(glaciers))
    ]
    rows += [
        ("debris_cov", int(number), shape)
        for number, shape in zip(parts["number"], parts.geometry, strict=True)
    ]
    rows.sort(key=lambda row: (LINE_TYPES.index(row[0]), row[1]))
    assert geobox.crs is not None
    frame = gpd.GeoDataFrame(
        {"line_type": [row[0] for row in rows], "number": [row[1] for row in rows]},
        geometry=[row[2] for row in rows],
        crs=geobox.crs.proj,
    )
    return GlimsOutlines(frame.explode(ignore_index=True), left)


class _Owners:
    """Finds the glacier that a lake belongs to, and how it lies to it."""

    def __init__(self, glaciers: dict[int, Any]) -> None:
        self._numbers = list(glaciers)
        self._shapes = np.array(list(glaciers.values()), object)
        self._tree = shapely.STRtree(self._shapes)

    def of(self, lake: Any) -> tuple[str, int]:
        """Return the line type and the glacier's number; nothing and 0 if it touches none."""
        near = self._tree.query(lake, predicate="intersects")
        shore = shapely.union_all(shapely.get_exterior_ring(shapely.get_parts(lake)))
        shared = shapely.length(shapely.intersection(shapely.boundary(self._shapes[near]), shore))
        # Glaciers at a corner share nothing.
        touching, shared = near[shared > 0], shared[shared > 0]
        if not len(touching):
            return "", 0
        owner = self._numbers[touching[np.argmax(shared)]]
        around = filled(shapely.union_all(self._shapes[touching]))
        inside = shapely.area(shapely.difference(lake, around)) <= 1e-6 * lake.area
        on = inside and shared.sum() >= SHORE * shore.length
        return ("supra_lake" if on else "pro_lake"), owner


def filled(shape: Any) -> Any:
    """Return a geometry without its holes."""
    rings = shapely.get_exterior_ring(shapely.get_parts(shape))
    return shapely.union_all(shapely.polygons(rings))


def _missing(codes: NDArray[np.integer], geobox: GeoBox) -> list[Any]:
    """Return polygons of where the map is missing."""
    gone = codes == NODATA
    made: Iterable[tuple[dict[str, Any], float]] = rasterio.features.shapes(
        gone.astype(np.uint8), mask=gone, connectivity=4, transform=geobox.transform
    )
    return [shapely.geometry.shape(shape) for shape, _ in made]


def _rocks(glaciers: dict[int, Any], known: list[Any], least: float) -> list[tuple[int, Any]]:
    """Return what `known` leaves of the holes of glaciers."""
    others = np.array(known, object)
    tree = shapely.STRtree(others)
    found = []
    for number, shape in glaciers.items():
        for part in shapely.get_parts(shape):
            for ring in part.interiors:
                hole = shapely.Polygon(ring)
                near = others[tree.query(hole, predicate="intersects")]
                rest = shapely.difference(hole, shapely.union_all(near))
                pieces = shapely.get_parts(rest)
                found += [(number, p) for p in pieces if shapely.area(p) >= least]
    return found
