"""From a prediction's folder to outlines: GeoPackage or GeoParquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import xarray as xr

from cryonet.areas import BUFFER, CORRELATION
from cryonet.atomic import whole_file
from cryonet.errors import SceneError
from cryonet.glaciers import glacier_numbers
from cryonet.grid import geobox_of, window_of
from cryonet.layers import build_stack
from cryonet.outline_attributes import MapLayers, match_inventory, with_attributes
from cryonet.outlines import MIN_AREA, Outlines, make_outlines
from cryonet.prediction import linked_folders, open_prediction
from cryonet.progress import SILENT, Progress
from cryonet.scene import ITEM_NAME, open_scene
from cryonet.sources.divides import Divides, read_divides

#: What outlines are written as, by suffix.
DRIVERS = {".gpkg": "GPKG", ".parquet": "Parquet"}

_TERRAIN = ("elevation", "slope", "aspect_sin", "aspect_cos")


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
    _check_target(target, overwrite=overwrite)
    progress.step(0, 4, "reading")
    found = open_prediction(prediction)
    geobox = geobox_of(found)
    known = read_divides(divides, geobox) if divides else None
    place = Path(scene) if scene else next(iter(linked_folders(prediction, ITEM_NAME)), None)
    terrain, dem = _terrain(place, found) if place else ({}, None)
    progress.step(1, 4, "numbering glaciers")
    codes = np.asarray(found["classes"].values)
    numbers = glacier_numbers(codes, known.numbers if known else None)
    progress.step(2, 4, "drawing outlines")
    outlines = make_outlines(codes, numbers, geobox, min_area=min_area, smooth=smooth)
    progress.step(3, 4, "measuring glaciers")
    layers = MapLayers(geobox, codes, np.asarray(found["probabilities"].values), terrain)
    date = str(found.attrs.get("datetime", ""))[:10] or None
    glaciers = with_attributes(
        outlines,
        numbers,
        layers,
        date=date,
        dem_source=dem,
        correlation=correlation,
        buffer=buffer,
    )
    tables = {
        name: table.assign(synthetic=bool(found.attrs.get("synthetic")))
        for name, table in _tables(outlines, glaciers, known).items()
    }
    _write(tables, target)
    progress.step(4, 4, "written")
    return {name: len(table) for name, table in tables.items()}


def _check_target(target: Path, *, overwrite: bool) -> None:
    if target.suffix not in DRIVERS:
        raise SceneError(
            "outlines are written otherwise", target.name, f"Name it with {' or '.join(DRIVERS)}."
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
    outlines: Outlines, glaciers: gpd.GeoDataFrame, known: Divides | None
) -> dict[str, gpd.GeoDataFrame]:
    """Return the tables to write; parts carry their glacier's name."""
    names = dict(zip(outlines.glaciers["number"], glaciers["cryonet_id"], strict=True))
    parts = outlines.parts.assign(cryonet_id=[names[n] for n in outlines.parts["number"]])
    if known is not None:
        glaciers = match_inventory(glaciers, known.outlines, known.identifier)
    return {
        "glaciers": glaciers,
        "parts": parts[["cryonet_id", "class", "area_km2", "geometry"]],
        "lakes": outlines.lakes[["area_km2", "geometry"]],
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
