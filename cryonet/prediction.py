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

from cryonet.atomic import check_replaceable, whole_folder
from cryonet.classes import CLASSES, NODATA
from cryonet.cog import Band, open_raster, origin_tags, write_cog
from cryonet.errors import SceneError
from cryonet.grid import footprint, geobox_of

PASSPORT, ITEM = "passport.json", "prediction.json"

#: Probabilities and confidence are stored in steps of 1/250 as bytes, 255 for missing.
_STEP = 1 / 250


def write_prediction(
    prediction: xr.Dataset,
    out: str | Path,
    *,
    passport: Mapping[str, Any],
    overwrite: bool = False,
) -> Path:
    """Write a prediction's folder, whole or not at all; return it.

    It holds ``classes.tif`` (uint8, nodata 255, colour table, class names),
    ``probabilities.tif`` (a band a class) and ``confidence.tif`` (bytes with a scale of
    1/250), ``passport.json`` and a STAC Item, ``prediction.json``.

    Parameters
    ----------
    prediction
        As `cryonet.predict.predict_scene` returns it.
    passport
        Where it came from: inputs and their hashes, warps, versions, settings.

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
        item = _item(prediction, target.name).to_dict(include_self_link=False)
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
    for name, bands in (("probabilities", names), ("confidence", ["confidence"])):
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


def _to_bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = np.isfinite(values)
    steps = np.rint(np.where(known, values, 0).clip(0, 1) / _STEP)
    return np.where(known, steps, NODATA).astype(np.uint8)


def _item(prediction: xr.Dataset, name: str) -> pystac.Item:
    geobox = geobox_of(prediction)
    outline, bbox = footprint(geobox)
    item = pystac.Item(
        id=name,
        geometry=outline,
        bbox=bbox,
        datetime=datetime.now(UTC),
        properties={
            "proj:code": str(geobox.crs),
            "proj:shape": list(geobox.shape),
            "proj:transform": list(tuple(geobox.transform)[:6]),
            "synthetic": bool(prediction.attrs.get("synthetic")),
        },
    )
    for asset in ("classes", "probabilities", "confidence"):
        item.add_asset(
            asset,
            pystac.Asset(f"./{asset}.tif", media_type=pystac.MediaType.COG, roles=["data"]),
        )
    codes = [{"value": c.code, "name": c.name} for c in CLASSES]
    item.assets["classes"].extra_fields["classification:classes"] = codes
    item.add_asset(
        "passport",
        pystac.Asset(f"./{PASSPORT}", media_type=pystac.MediaType.JSON, roles=["metadata"]),
    )
    return item


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
    """Return the prediction in folder `path`, as `predict_scene` made it.

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
    for asset in ("classes", "probabilities", "confidence"):
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
        "confidence": wrap_xr(_from_bytes(arrays["confidence"][0]), geobox),
        "probabilities": wrap_xr(
            _from_bytes(arrays["probabilities"]), geobox, axis=1, dims=("class", "y", "x")
        ).assign_coords({"class": names}),
    }
    return xr.Dataset(layers, attrs=passport.get("prediction", {}))


def _from_bytes(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.where(values == NODATA, np.nan, values * np.float32(_STEP)).astype(np.float32)
