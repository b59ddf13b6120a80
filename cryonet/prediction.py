"""The prediction as a folder of GIS files: COGs, a passport and a STAC Item."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import rioxarray
import xarray as xr
from numpy.typing import NDArray
from odc.geo.xr import wrap_xr
from pystac.utils import datetime_to_str

from cryonet.atomic import check_replaceable, whole_folder
from cryonet.classes import CLASSES, NODATA
from cryonet.cog import Band, open_raster, origin_tags, write_cog
from cryonet.errors import SceneError
from cryonet.grid import footprint, geobox_of
from cryonet.stac import (
    class_fields,
    declared,
    derived_from,
    grid_fields,
    moment,
    resolution,
    software,
)

PASSPORT, ITEM = "passport.json", "prediction.json"

#: Probabilities and confidence are stored in steps of 1/250 as bytes, 255 for missing.
_STEP = 1 / 250


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
    with whole_folder(target, error=SceneError) as work:
        _write_rasters(prediction, work)
        text = json.dumps({**passport, "prediction": prediction.attrs}, indent=2, default=str)
        (work / PASSPORT).write_text(text + "\n", encoding="utf-8")
        links = derived_from(sources or {}, target)
        item = _item(prediction, target.name, links).to_dict(include_self_link=False)
        item["stac_extensions"] = declared(item)
        (work / ITEM).write_text(json.dumps(item, indent=2) + "\n", encoding="utf-8")
    return target


def _write_rasters(prediction: xr.Dataset, folder: Path) -> None:
    geobox = geobox_of(prediction)
    names = [str(name) for name in prediction["class"].values]
    origin = origin_tags(prediction.attrs)
    shown = CLASSES[: len(names)]
    write_cog(
        folder / "classes.tif",
        prediction["classes"].values[None],
        geobox,
        [Band("classes", "class code")],
        nodata=NODATA,
        colours={c.code: c.rgb for c in shown},
        tags={f"CLASS_{c.code}": c.name for c in shown} | origin,
    )
    for name, bands in (("probabilities", names), *((n, [n]) for n in _shares(prediction))):
        values = prediction[name].values.reshape(len(bands), *geobox.shape)
        write_cog(
            folder / f"{name}.tif",
            _to_bytes(values),
            geobox,
            [Band(b, "1", _STEP) for b in bands],
            nodata=NODATA,
            tags=origin,
            resampling="average",
        )


def _shares(prediction: xr.Dataset) -> list[str]:
    """Return the variables of one band that are shares of one."""
    return [name for name in ("confidence", "disagreement") if name in prediction]


def _to_bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = np.isfinite(values)
    steps = np.rint(np.where(known, values, 0).clip(0, 1) / _STEP)
    return np.where(known, steps, NODATA).astype(np.uint8)


def _item(prediction: xr.Dataset, name: str, links: list[pystac.Link]) -> pystac.Item:
    geobox, attrs = geobox_of(prediction), prediction.attrs
    outline, bbox = footprint(geobox)
    stated, now = attrs.get("datetime"), datetime.now(UTC)
    item = pystac.Item(
        id=name,
        geometry=outline,
        bbox=bbox,
        datetime=moment(stated, what="the scene's time", error=SceneError) if stated else now,
        properties={
            **grid_fields(geobox),
            "created": datetime_to_str(now, timespec="seconds"),
            "processing:level": "L4",
            "processing:lineage": _lineage(attrs),
            "processing:software": software(),
            "synthetic": bool(attrs.get("synthetic")),
        },
    )
    if not stated:
        item.properties["cryonet:datetime"] = "unknown; the time of writing stands in"
    item.add_links(links)
    for asset, bands in _bands(prediction).items():
        item.add_asset(
            asset,
            pystac.Asset(
                f"./{asset}.tif",
                media_type=pystac.MediaType.COG,
                roles=["data"],
                extra_fields={"bands": bands},
            ),
        )
    item.assets["classes"].extra_fields |= class_fields(prediction.sizes["class"])
    item.add_asset(
        "passport",
        pystac.Asset(f"./{PASSPORT}", media_type=pystac.MediaType.JSON, roles=["metadata"]),
    )
    return item


def _bands(prediction: xr.Dataset) -> dict[str, list[dict[str, Any]]]:
    stored = {
        "data_type": "uint8",
        "nodata": NODATA,
        "raster:spatial_resolution": resolution(geobox_of(prediction)),
    }
    share = {**stored, "unit": "1", "raster:scale": _STEP, "raster:offset": 0.0}
    return {
        "classes": [{"name": "classes", **stored}],
        "probabilities": [{"name": str(n), **share} for n in prediction["class"].values],
        **{name: [{"name": name, **share}] for name in _shares(prediction)},
    }


def _lineage(attrs: Mapping[str, Any]) -> str:
    model, scene = attrs.get("model"), attrs.get("scene")
    of = (f" by the model {model}" if model else "") + (f" from the scene {scene}" if scene else "")
    return f"Classes predicted{of}: {PASSPORT} holds inputs, hashes and settings."


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


def open_prediction(path: str | Path) -> xr.Dataset:
    """Return the prediction in folder `path`, as it was made: of an ensemble with disagreement.

    Raises
    ------
    SceneError
        If a file is missing or damaged.
    """
    folder = Path(path)
    passport = read_passport(folder)
    arrays: dict[str, NDArray[np.uint8]] = {}
    names: list[str] = []
    geobox = None
    attrs = passport.get("prediction", {})
    shares = ["confidence", "disagreement"] if "members" in attrs else ["confidence"]
    for asset in ("classes", "probabilities", *shares):
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
        **{name: wrap_xr(_from_bytes(arrays[name][0]), geobox) for name in shares},
        "probabilities": wrap_xr(
            _from_bytes(arrays["probabilities"]), geobox, axis=1, dims=("class", "y", "x")
        ).assign_coords({"class": names}),
    }
    return xr.Dataset(layers, attrs=attrs)


def _from_bytes(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.where(values == NODATA, np.nan, values * np.float32(_STEP)).astype(np.float32)
