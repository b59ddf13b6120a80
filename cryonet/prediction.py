"""The prediction as a folder of GIS files: COGs, a passport and a STAC Item."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import rioxarray
import xarray as xr
from numpy.typing import NDArray
from odc.geo.xr import wrap_xr

from cryonet.atomic import check_replaceable, whole_folder
from cryonet.classes import NODATA
from cryonet.cog import open_raster, write_cog
from cryonet.errors import SceneError
from cryonet.grid import geobox_of
from cryonet.prediction_record import (
    ITEM,
    MODEL,
    NUMBERS,
    PASSPORT,
    PredictionRecord,
    from_bytes,
    to_bytes,
)

__all__ = [
    "ITEM",
    "PASSPORT",
    "linked_folders",
    "linked_items",
    "open_prediction",
    "read_passport",
    "write_prediction",
]


def write_prediction(
    prediction: xr.Dataset,
    out: str | Path,
    *,
    passport: Mapping[str, Any],
    sources: Mapping[str, str | Path] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a prediction's folder, whole or not at all; return it.

    It holds ``classes.tif`` (uint8, nodata 255, colour table, class names),
    ``probabilities.tif`` (a band a class) and ``confidence.tif`` (bytes with a scale of
    1/250), ``passport.json`` and a STAC Item, ``prediction.json``; of an ensemble also
    ``disagreement.tif``, as the confidence.

    Parameters
    ----------
    prediction
        As `cryonet.predict.predict_scene` or `cryonet.ensemble.predict_ensemble` returns it.
    passport
        Where it came from: inputs and their hashes, warps, versions, settings.
    sources
        Files of the STAC Items of the scene and of the model, by title: the item links to
        them as what it is derived from.

    Raises
    ------
    SceneError
        If the folder exists and is not a prediction, or may not be replaced.
    """
    target = check_replaceable(out, marker=PASSPORT, overwrite=overwrite, error=SceneError)
    record = PredictionRecord(
        geobox_of(prediction),
        tuple(str(name) for name in prediction["class"].values),
        tuple(name for name in ("confidence", "disagreement") if name in prediction),
        {str(key): value for key, value in prediction.attrs.items()},
    )
    with whole_folder(target, error=SceneError) as work:
        for name, stored in record.rasters().items():
            values = to_bytes(name, prediction[name].values)
            write_cog(work / f"{name}.tif", values, record.geobox, **stored)
        record.write_texts(work, target, passport=passport, sources=sources or {})
    return target


def read_passport(path: str | Path) -> dict[str, Any]:
    """Return the passport of the prediction in folder `path`."""
    file = Path(path) / PASSPORT
    if not file.is_file():
        raise SceneError("there is no prediction", str(path), f"Its folder holds {PASSPORT}.")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SceneError("the passport is not JSON", str(file), f"{error}.") from error
    return dict(found)


def linked_items(path: str | Path) -> dict[str, Path]:
    """Return the files that the item of a prediction says it is derived from, by their titles.

    Links to other machines, and files that are not there, are left out.

    Raises
    ------
    SceneError
        If the item is damaged.
    """
    file = Path(path) / ITEM
    if not file.is_file():
        return {}
    found = {}
    try:
        for link in json.loads(file.read_text(encoding="utf-8")).get("links", ()):
            where = Path(path) / unquote(str(link.get("href", "")))
            if link.get("rel") == "derived_from" and where.is_file():
                found[str(link.get("title", where.name))] = where.resolve()
    except (AttributeError, TypeError, ValueError) as error:
        rule = "Its links are those of a STAC Item."
        raise SceneError("the prediction's item is damaged", str(file), rule) from error
    return found


def linked_folders(path: str | Path, name: str) -> list[Path]:
    """Return the folders of the items called `name` that a prediction links to, if still there.

    Parameters
    ----------
    name
        The file name of such an item: ``scene.json`` of a scene, ``item.json`` of a bundle.

    Raises
    ------
    SceneError
        If the prediction's item is damaged.
    """
    return [place.parent for place in linked_items(path).values() if place.name == name]


def open_prediction(path: str | Path) -> xr.Dataset:
    """Return the prediction in folder `path`, as it was made: of an ensemble with disagreement.

    Of a corrected one ``classes`` are those with the corrections, ``model_classes`` those of the
    model, and ``corrections`` the number of the polygon that set each pixel, 0 where it is the
    model's. Probabilities, confidence and disagreement are always the model's own.

    Raises
    ------
    SceneError
        If a file is missing or damaged.
    """
    folder = Path(path)
    passport = read_passport(folder)
    arrays: dict[str, NDArray[Any]] = {}
    names: list[str] = []
    geobox = None
    attrs = passport.get("prediction", {})
    shares = ["confidence", "disagreement"] if "members" in attrs else ["confidence"]
    hand = [MODEL, NUMBERS] if "corrections" in attrs else []
    for asset in ("classes", "probabilities", *shares, *hand):
        file = folder / f"{asset}.tif"
        with open_raster(file) as source:
            names = list(source.descriptions) if asset == "probabilities" else names
        found = rioxarray.open_rasterio(file, driver="GTiff")
        assert isinstance(found, xr.DataArray)
        arrays[asset] = np.asarray(found.values)
        geobox = geobox_of(found)
        found.close()
    assert geobox is not None
    layers = {
        "classes": wrap_xr(arrays["classes"][0], geobox, nodata=NODATA),
        **{name: wrap_xr(from_bytes(arrays[name][0]), geobox) for name in shares},
        **{name: wrap_xr(arrays[name][0], geobox) for name in hand},
        "probabilities": wrap_xr(
            from_bytes(arrays["probabilities"]), geobox, axis=1, dims=("class", "y", "x")
        ).assign_coords({"class": names}),
    }
    return xr.Dataset(layers, attrs=attrs)
