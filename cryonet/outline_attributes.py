"""What an inventory tells of a glacier, as far as a map and an elevation model can tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from scipy import ndimage

from cryonet.areas import BUFFER, CORRELATION, area_spread, buffer_area
from cryonet.glaciers import ICE, Numbers, lakes_of, surroundings, touching
from cryonet.grid import Window, pixel_areas
from cryonet.outlines import EQUAL_AREA, Outlines

#: Pixels round a glacier whose probability of ice counts towards its area. Our choice: ice
#: that the map misses lies at its margin.
MARGIN = 5

#: A lake is at the tongue if it touches the lowest part of a glacier: this share of its
#: range of elevation. Our choice.
TONGUE = 0.2

#: The code of the Randolph Glacier Inventory for what is not assigned.
NOT_ASSIGNED = 9

#: Its code for a glacier that ends in a lake.
LAKE_TERMINATING = 2

#: Eight sectors of the compass from north, as it numbers them.
SECTORS = 8


@dataclass(frozen=True, slots=True)
class MapLayers:
    """Rasters on one grid that attributes are taken from.

    Attributes
    ----------
    codes
        Class codes ``(y, x)``.
    probabilities
        Calibrated, ``(class, y, x)``.
    terrain
        By name, ``(y, x)``: ``elevation`` in m, ``slope`` in degrees, ``aspect_sin`` and
        ``aspect_cos``; empty if there is no elevation model.
    hand
        Where the class was set by hand ``(y, x)``; None if it was nowhere.
    """

    geobox: GeoBox
    codes: NDArray[np.integer]
    probabilities: NDArray[np.floating]
    terrain: Mapping[str, NDArray[np.floating]]
    hand: NDArray[np.bool_] | None = None


def with_attributes(
    outlines: Outlines,
    numbers: Numbers,
    layers: MapLayers,
    *,
    date: str | None = None,
    dem_source: str | None = None,
    correlation: float = CORRELATION,
    buffer: float = BUFFER,
) -> gpd.GeoDataFrame:
    """Return the glaciers of `outlines` with the attributes that can be computed.

    Names are those of the Randolph Glacier Inventory 7.0; those that only it can give are
    empty, 9 is not assigned. Ours besides: ``cryonet_id``, made of a point inside the glacier;
    ``clean_km2`` and ``debris_km2``; ``hand_km2``, of pixels that were set by hand; the area
    that probabilities expect and its standard deviation (`cryonet.areas.area_spread`, over the
    glacier and five pixels round it), and the area of a buffer to one side of its outline
    (`cryonet.areas.buffer_area`, divides left out).

    Parameters
    ----------
    date
        The day of the image.
    dem_source
        What the elevation is from.
    correlation, buffer
        As for `cryonet.areas.estimate_areas`.
    """
    glaciers = outlines.glaciers
    where = _Windows(numbers)
    near_lake = touching(numbers, lakes_of(layers.codes))
    rows = []
    for number, shape in zip(glaciers["number"], glaciers.geometry, strict=True):
        found: dict[str, Any] = {"number": number} | _place(shape, layers.geobox)
        window = where.of(int(number))
        found |= _uncertainty(window, int(number), numbers, layers, correlation, buffer)
        found |= _relief(window, int(number), numbers, layers)
        found["term_type"] = _terminus(near_lake.get(int(number)), found, layers)
        rows.append(found)
    table = pd.DataFrame(rows, columns=["number"] if not rows else None)
    whole = glaciers.merge(table, on="number").merge(_parts(outlines.parts), on="number")
    fixed = {
        "rgi_id": None, "o1region": None, "o2region": None, "glims_id": None, "anlys_id": None,
        "subm_id": None, "src_date": date, "primeclass": 0, "conn_lvl": NOT_ASSIGNED,
        "surge_type": NOT_ASSIGNED, "glac_name": None, "is_rgi6": 0, "lmax_m": np.nan,
        "dem_source": dem_source if layers.terrain else None,
        "hand_km2": hand_areas(numbers, whole["number"], layers),
    }  # fmt: skip
    made: gpd.GeoDataFrame = whole.assign(**fixed).drop(columns="number")
    return made[[*(c for c in made.columns if c != "geometry"), "geometry"]]


def hand_areas(
    numbers: Numbers, index: Sequence[int] | pd.Series, layers: MapLayers
) -> NDArray[np.float64]:
    """Return the area of pixels set by hand in each glacier or lake, km².

    Parameters
    ----------
    numbers
        Of the pixels ``(y, x)``.
    index
        Those that are asked for.
    """
    if layers.hand is None or not layers.hand.any():
        return np.zeros(len(index))
    areas = pixel_areas(layers.geobox) * layers.hand
    return np.asarray(ndimage.sum_labels(areas, numbers, np.asarray(index)), np.float64)


def match_inventory(
    glaciers: gpd.GeoDataFrame, inventory: gpd.GeoDataFrame, identifier: str
) -> gpd.GeoDataFrame:
    """Return `glaciers` with ``rgi_id_match`` and ``rgi_overlap``.

    The match is the outline that covers most of the glacier; the overlap is their intersection
    over their union. Glaciers that no outline meets have neither.

    Parameters
    ----------
    inventory
        Outlines in the same CRS.
    identifier
        The column with their names.
    """
    left = glaciers.geometry.to_crs(EQUAL_AREA)
    right = inventory.geometry.to_crs(EQUAL_AREA)
    names: list[str | None] = []
    overlaps: list[float] = []
    tree = shapely.STRtree(right.to_numpy())
    for shape in left:
        best, most = None, 0.0
        for place in tree.query(shape, predicate="intersects"):
            shared = shape.intersection(right.iloc[place]).area
            if shared > most:
                best, most = int(place), shared
        if best is None:
            names.append(None)
            overlaps.append(np.nan)
        else:
            names.append(str(inventory[identifier].iloc[best]))
            overlaps.append(most / (shape.area + right.iloc[best].area - most))
    return glaciers.assign(rgi_id_match=names, rgi_overlap=overlaps)


class _Windows:
    """The window of each glacier, with room for its margin."""

    def __init__(self, numbers: Numbers) -> None:
        self._shape = (numbers.shape[0], numbers.shape[1])
        self._found = ndimage.find_objects(numbers)

    def of(self, number: int) -> Window:
        rows, cols = self._found[number - 1]
        window = Window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
        return window.expand(MARGIN + 1, self._shape)


def _place(shape: Any, geobox: GeoBox) -> dict[str, Any]:
    """Return a point inside, and the name made of it."""
    point = shape.representative_point()
    lon, lat = _to_degrees(geobox).transform(point.x, point.y)
    name = f"C{abs(round(lon * 1e4)):07d}{'E' if lon >= 0 else 'W'}"
    name += f"{abs(round(lat * 1e4)):06d}{'N' if lat >= 0 else 'S'}"
    zone = int((lon + 180) // 6) % 60 + 1
    return {"cryonet_id": name, "cenlon": lon, "cenlat": lat, "utm_zone": zone}


def _to_degrees(geobox: GeoBox) -> Transformer:
    assert geobox.crs is not None
    return Transformer.from_crs(geobox.crs.proj, "EPSG:4326", always_xy=True)


def _uncertainty(
    window: Window,
    number: int,
    numbers: Numbers,
    layers: MapLayers,
    correlation: float,
    buffer: float,
) -> dict[str, float]:
    part = window.slices
    own = numbers[part]
    mine = own == number
    zone = (surroundings(own, MARGIN) == number) & (layers.codes[part] < len(layers.probabilities))
    ice = layers.probabilities[(list(ICE), *part)].sum(axis=0)
    grid = layers.geobox[part]
    expected, deviation = area_spread(np.where(zone, ice, np.nan), grid, correlation=correlation)
    # A divide is no margin.
    known = mine | (own == 0)
    edge = buffer_area(mine, grid, width=buffer, known=known)
    return {"area_prob_km2": expected, "area_pm_prob_km2": deviation, "area_pm_buffer_km2": edge}


def _relief(
    window: Window, number: int, numbers: Numbers, layers: MapLayers
) -> dict[str, float | int]:
    keys = (
        "zmin_m",
        "zmax_m",
        "zmed_m",
        "zmean_m",
        "slope_deg",
        "aspect_deg",
        "termlon",
        "termlat",
    )
    nothing: dict[str, float | int] = dict.fromkeys(keys, np.nan) | {"aspect_sec": NOT_ASSIGNED}
    if not layers.terrain:
        return nothing
    part = window.slices
    inside = numbers[part] == number
    height = np.where(inside, layers.terrain["elevation"][part], np.nan)
    if not np.isfinite(height).any():
        return nothing
    lowest = np.unravel_index(np.nanargmin(height), height.shape)
    x, y = layers.geobox.affine * (
        window.col + lowest[1] + 0.5,
        window.row + lowest[0] + 0.5,
    )
    lon, lat = _to_degrees(layers.geobox).transform(x, y)
    sine, cosine = (
        np.nansum(np.where(inside, layers.terrain[name][part], np.nan))
        for name in ("aspect_sin", "aspect_cos")
    )
    aspect = float(np.degrees(np.arctan2(sine, cosine)) % 360)
    return {
        "zmin_m": float(np.nanmin(height)),
        "zmax_m": float(np.nanmax(height)),
        "zmed_m": float(np.nanmedian(height)),
        "zmean_m": float(np.nanmean(height)),
        "slope_deg": float(np.nanmean(np.where(inside, layers.terrain["slope"][part], np.nan))),
        "aspect_deg": aspect,
        "aspect_sec": int(round(aspect / 360 * SECTORS) % SECTORS) + 1,
        "termlon": lon,
        "termlat": lat,
    }


def _terminus(pixels: NDArray[np.intp] | None, found: Mapping[str, Any], layers: MapLayers) -> int:
    """Return the suggestion that a glacier ends in a lake, or that nothing is known."""
    if pixels is None or not layers.terrain or not np.isfinite(found["zmin_m"]):
        return NOT_ASSIGNED
    heights = layers.terrain["elevation"][pixels[:, 0], pixels[:, 1]]
    line = found["zmin_m"] + TONGUE * (found["zmax_m"] - found["zmin_m"])
    return LAKE_TERMINATING if (heights <= line).any() else NOT_ASSIGNED


def _parts(parts: gpd.GeoDataFrame) -> pd.DataFrame:
    """Return the areas of the clean and the debris-covered part of each glacier."""
    wide = parts.pivot_table("area_km2", "number", "class", aggfunc="sum", fill_value=0.0)
    wide = wide.reindex(columns=["clean_ice", "debris"], fill_value=0.0)
    named = wide.rename(columns={"clean_ice": "clean_km2", "debris": "debris_km2"})
    found: pd.DataFrame = named.reset_index()
    return found
