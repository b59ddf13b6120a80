"""From a prediction's folder to outlines: GeoPackage or GeoParquet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import xarray as xr

from cryonet.areas import BUFFER, CORRELATION
from cryonet.atomic import whole_file
from cryonet.corrections import hand_set, settled_probabilities
from cryonet.errors import SceneError
from cryonet.glaciers import Numbers, glacier_numbers, lakes_of
from cryonet.grid import geobox_of, window_of
from cryonet.layers import build_stack
from cryonet.outline_attributes import MapLayers, hand_areas, match_inventory, with_attributes
from cryonet.outlines import MIN_AREA, Outlines, make_outlines
from cryonet.prediction import linked_folders, open_prediction
from cryonet.progress import SILENT, Progress
from cryonet.scene import ITEM_NAME, open_scene
from cryonet.sources.divides import Divides, read_divides

#: What outlines are written as, by suffix.
DRIVERS = {".gpkg": "GPKG", ".parquet": "Parquet"}

_TERRAIN = ("elevation", "slope", "aspect_sin", "aspect_cos")


@dataclass(frozen=True, slots=True)
class OpenedMap:
    """A prediction with what outlines need of it.

    Attributes
    ----------
    numbers
        Of its glaciers.
    known
        The inventory that divides them, if there is one.
    scene
        The folder of its scene, if that is there.
    dem_source
        What the elevation is from.
    attrs
        Of the prediction.
    """

    layers: MapLayers
    numbers: Numbers
    known: Divides | None
    scene: Path | None
    dem_source: str | None
    attrs: dict[str, Any]


def open_map(
    prediction: str | Path,
    *,
    divides: str | Path | None = None,
    scene: str | Path | None = None,
) -> OpenedMap:
    """Return a prediction with its terrain and the numbers of its glaciers.

    Parameters
    ----------
    divides, scene
        As for `run_outlines`.
    """
    found = open_prediction(prediction)
    geobox = geobox_of(found)
    known = read_divides(divides, geobox) if divides else None
    place = Path(scene) if scene else next(iter(linked_folders(prediction, ITEM_NAME)), None)
    terrain, dem = _terrain(place, found) if place else ({}, None)
    codes = np.asarray(found["classes"].values)
    return OpenedMap(
        MapLayers(geobox, codes, settled_probabilities(found), terrain, hand_set(found)),
        glacier_numbers(codes, known.numbers if known else None),
        known,
        place,
        dem,
        {str(key): value for key, value in found.attrs.items()},
    )


def run_outlines(
    prediction: str | Path,
    out: str | Path,
    *,
    min_area: float = MIN_AREA,
    smooth: bool = False,
    divides: str | Path | None = None,
    scene: str | Path | None = None,
    correlation: float = CORRELATION,
    buffer: float = BUFFER,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> dict[str, int]:
    """Write the outlines of a prediction; return how many features of each kind there are.

    A GeoPackage has the layers ``glaciers``, ``parts`` and ``lakes``; GeoParquet holds one
    table a file: NAME.parquet has the glaciers, NAME_parts.parquet and NAME_lakes.parquet lie
    beside it. The column ``synthetic`` says whether scene or model were.

    Parameters
    ----------
    divides
        A vector file of an inventory: glaciers are divided by its outlines and matched to them.
    scene
        The folder of the scene, for its elevation; by default the one that the prediction links
        to, if it is still there.

    Raises
    ------
    SceneError
        If the name has another suffix, or stands there and may not be replaced.
    """
    target = Path(out)
    check_target(target, DRIVERS, what="outlines", overwrite=overwrite)
    progress.step(0, 3, "reading")
    opened = open_map(prediction, divides=divides, scene=scene)
    layers, numbers = opened.layers, opened.numbers
    progress.step(1, 3, "drawing outlines")
    outlines = make_outlines(layers.codes, numbers, layers.geobox, min_area=min_area, smooth=smooth)
    progress.step(2, 3, "measuring glaciers")
    glaciers = with_attributes(
        outlines,
        numbers,
        layers,
        date=str(opened.attrs.get("datetime", ""))[:10] or None,
        dem_source=opened.dem_source,
        correlation=correlation,
        buffer=buffer,
    )
    tables = {
        name: table.assign(synthetic=bool(opened.attrs.get("synthetic")))
        for name, table in _tables(outlines, glaciers, layers, opened.known).items()
    }
    _write(tables, target)
    progress.step(3, 3, "written")
    return {name: len(table) for name, table in tables.items()}


def check_target(target: Path, suffixes: Iterable[str], *, what: str, overwrite: bool) -> None:
    """Refuse a file to write that has another suffix, or stands there already.

    Raises
    ------
    SceneError
        Naming the suffixes.
    """
    if target.suffix not in suffixes:
        raise SceneError(
            f"{what} are written otherwise", target.name, f"Name it with {' or '.join(suffixes)}."
        )
    if target.exists() and not overwrite:
        rule = "Choose another name, or allow overwriting."
        raise SceneError("the output exists already", str(target), rule)


def _terrain(place: Path, found: xr.Dataset) -> tuple[dict[str, Any], str | None]:
    """Return the terrain under a prediction, and where it is from; nothing without a DEM."""
    scene = open_scene(place)
    if "elevation" not in scene:
        return {}, None
    grid, whole = geobox_of(found), geobox_of(scene)
    rows, cols = window_of(grid, whole, what="the scene and the prediction").slices
    stack = build_stack(scene[["elevation"]], list(_TERRAIN))
    source = scene["elevation"].attrs.get("source")
    terrain = {name: np.asarray(stack[name].values)[rows, cols] for name in _TERRAIN}
    return terrain, str(source) if source else None


def _tables(
    outlines: Outlines,
    glaciers: gpd.GeoDataFrame,
    layers: MapLayers,
    known: Divides | None,
) -> dict[str, gpd.GeoDataFrame]:
    """Return the tables to write; parts carry their glacier's name."""
    names = dict(zip(outlines.glaciers["number"], glaciers["cryonet_id"], strict=True))
    parts = outlines.parts.assign(cryonet_id=[names[n] for n in outlines.parts["number"]])
    if known is not None:
        glaciers = match_inventory(glaciers, known.outlines, known.identifier)
    lakes = outlines.lakes.assign(
        hand_km2=hand_areas(lakes_of(layers.codes), outlines.lakes["number"], layers)
    )
    return {
        "glaciers": glaciers,
        "parts": parts[["cryonet_id", "class", "area_km2", "geometry"]],
        "lakes": lakes[["area_km2", "hand_km2", "geometry"]],
    }


def _write(tables: dict[str, gpd.GeoDataFrame], target: Path) -> None:
    if DRIVERS[target.suffix] == "GPKG":
        with whole_file(target) as work:
            work.unlink()
            for name, table in tables.items():
                table.to_file(work, layer=name, driver="GPKG", engine="pyogrio")
        return
    for name, table in tables.items():
        file = target if name == "glaciers" else target.with_stem(f"{target.stem}_{name}")
        with whole_file(file) as work:
            table.to_parquet(work)
