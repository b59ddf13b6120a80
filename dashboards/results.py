"""A prediction as the map shows it: its pictures, its outline, its areas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from cryonet.band import Band
from cryonet.classes import CLASSES, NODATA
from cryonet.cog import open_raster, write_cog
from cryonet.evaluate import area_table
from cryonet.grid import Window, check_same_grid, geobox_of
from dashboards.tiles import TileStore, class_map, confidence_map

LatLon = tuple[float, float]


@dataclass(frozen=True, slots=True)
class AreaRow:
    """One line of the table of areas: a class, its mapped and its labelled area in km²."""

    name: str
    title: str
    colour: str
    mapped: float | None
    labelled: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """A finished prediction: where it lies, tile names, outline (lat, lon), areas, a remark."""

    title: str
    window: Window
    classes: str
    confidence: str
    outline: tuple[LatLon, ...]
    areas: tuple[AreaRow, ...]
    note: str = ""

    @property
    def extent(self) -> float:
        """Mapped area in km²."""
        return sum(row.mapped or 0.0 for row in self.areas)


def area_rows(
    mapped: Mapping[str, float] | None, labelled: Mapping[str, float] | None
) -> tuple[AreaRow, ...]:
    """Return the table of areas; a column that does not exist is None throughout."""
    return tuple(
        AreaRow(
            row.name,
            row.title,
            row.colour,
            None if mapped is None else mapped.get(row.name, 0.0),
            None if labelled is None else labelled.get(row.name, 0.0),
        )
        for row in CLASSES
    )


def label_areas(scene: xr.Dataset, window: Window) -> dict[str, float] | None:
    """Return km² by class of the labels in `window`; None for a scene without labels."""
    if "labels" not in scene:
        return None
    rows, cols = window.slices
    labels = scene["labels"].isel(y=rows, x=cols)
    return area_table(np.asarray(labels.values), geobox_of(labels))


def outline_of(geobox: GeoBox) -> tuple[LatLon, ...]:
    """Return the edge of a grid as points (latitude, longitude)."""
    ring = geobox.extent.to_crs("EPSG:4326", resolution=geobox.resolution.x * 64).exterior
    return tuple((lat, lon) for lon, lat in ring.coords)


def write_pictures(prediction: xr.Dataset, folder: Path) -> Path:
    """Write classes and confidence of `prediction` as COGs into `folder`; return it."""
    geobox = geobox_of(prediction)
    codes = np.asarray(prediction["classes"].values)
    trust = np.asarray(prediction["confidence"].values, dtype=np.float32)
    bands = [Band("classes", "class code")]
    write_cog(folder / "classes.tif", codes[None], geobox, bands, nodata=NODATA)
    write_cog(
        folder / "confidence.tif",
        trust[None],
        geobox,
        [Band("confidence")],
        nodata=float("nan"),
        resampling="average",
    )
    return folder


def show(
    folder: Path,
    scene: xr.Dataset,
    window: Window,
    store: TileStore,
    *,
    title: str,
    note: str = "",
) -> Result:
    """Return the prediction in `folder` as a `Result`, its pictures kept in `store`.

    Raises
    ------
    GridError
        If it does not lie on `window` of the scene.
    """
    with open_raster(folder / "classes.tif") as source:
        geobox, codes = GeoBox.from_rio(source), source.read(1)
    rows, cols = window.slices
    check_same_grid(geobox_of(scene)[rows, cols], geobox, what="the scene and the prediction")
    return Result(
        title=title,
        window=window,
        classes=store.add(class_map(folder / "classes.tif")),
        confidence=store.add(confidence_map(folder / "confidence.tif")),
        outline=outline_of(geobox),
        areas=area_rows(area_table(codes, geobox), label_areas(scene, window)),
        note=note,
    )
