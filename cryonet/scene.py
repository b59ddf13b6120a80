"""The scene: canonical names and units, and its form in memory and on disk.

In memory a scene is an `xr.Dataset` on one GeoBox: float32, NaN where missing, and, when
it has labels, a uint8 variable ``labels`` with the class codes of `cryonet.classes`. On disk
it is a folder: a STAC Item (``scene.json``) beside COGs, one for each asset, with the
canonical names in the band descriptions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rioxarray
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rasterio.errors import RasterioError

from cryonet.classes import CLASSES, NODATA
from cryonet.cog import DRIVERS, open_raster
from cryonet.errors import GridError, SceneError
from cryonet.grid import check_same_grid, geobox_of

ITEM_NAME = "scene.json"

#: Bytes of an item; those of scenes of many files are some hundred kilobytes.
LONGEST = 5 * 2**20


@dataclass(frozen=True, slots=True)
class Variable:
    """One canonical scene variable."""

    name: str
    asset: str
    units: str
    long_name: str
    limits: tuple[float, float]


def _band(name: str, long_name: str) -> Variable:
    # Reflectance over bright, sunlit slopes exceeds 1; far above it is not reflectance.
    return Variable(name, "optical", "1", f"{long_name} reflectance", (-0.2, 2.5))


_ROWS = (
    _band("coastal", "coastal aerosol (443 nm)"),
    _band("blue", "blue (492 nm)"),
    _band("green", "green (560 nm)"),
    _band("red", "red (665 nm)"),
    _band("rededge1", "red edge (704 nm)"),
    _band("rededge2", "red edge (741 nm)"),
    _band("rededge3", "red edge (783 nm)"),
    _band("nir", "near infrared (833 nm)"),
    _band("nir08", "narrow near infrared (865 nm)"),
    _band("nir09", "water vapour (945 nm)"),
    _band("swir16", "short-wave infrared (1614 nm)"),
    _band("swir22", "short-wave infrared (2202 nm)"),
    Variable("elevation", "elevation", "m", "elevation", (-500.0, 9000.0)),
    Variable("coherence", "coherence", "1", "interferometric coherence", (0.0, 1.0)),
    Variable("phase", "phase", "rad", "wrapped interferometric phase", (-3.1416, 3.1416)),
)

#: Every canonical variable by name, in the order in which they are listed and stored.
VARIABLES: Mapping[str, Variable] = {row.name: row for row in _ROWS}

#: The optical bands.
BANDS = tuple(row.name for row in _ROWS if row.asset == "optical")


def check_scene(scene: xr.Dataset) -> xr.Dataset:
    """Return `scene` unchanged if it keeps the rules of a scene.

    Raises
    ------
    SceneError
        For an unknown variable, a wrong dtype or dimensions, missing units, or a scene
        with no variable.
    GridError
        If the scene has no CRS, or its grid is rotated or mirrored.
    """
    grid = geobox_of(scene)
    if grid.affine.a < 0 or grid.affine.e > 0:
        raise GridError(
            "the scene's grid is mirrored",
            tuple(grid.affine)[:6],
            "Rows run south and columns east; turn the arrays and the grid.",
        )
    measured = [str(name) for name in scene.data_vars if name != "labels"]
    if not measured:
        raise SceneError("the scene is empty", list(scene.data_vars), "Give at least one band.")
    for name in measured:
        if name not in VARIABLES:
            known = ", ".join(VARIABLES)
            raise SceneError("the scene has an unknown variable", name, f"Known are: {known}.")
        _check_variable(scene[name], VARIABLES[name])
    if "labels" in scene:
        _check_labels(scene["labels"])
    return scene


def _check_labels(labels: xr.DataArray) -> None:
    if labels.dtype != np.uint8:
        raise SceneError("the labels are not class codes", str(labels.dtype), "They are uint8.")
    if labels.dims != ("y", "x"):
        raise SceneError("the labels have other dimensions", labels.dims, "Give ('y', 'x').")
    if isinstance(labels.data, np.ndarray):  # looking into a dask array would compute it
        codes = {c.code for c in CLASSES} | {NODATA}
        strange = sorted(set(np.unique(labels.data).tolist()) - codes)
        if strange:
            raise SceneError(
                "the labels hold unknown codes", strange, f"Known are: {sorted(codes)}."
            )


def _check_variable(data: xr.DataArray, variable: Variable) -> None:
    if data.dims != ("y", "x"):
        raise SceneError(f"{variable.name} has other dimensions", data.dims, "Give ('y', 'x').")
    if data.dtype != np.float32:
        raise SceneError(f"{variable.name} is not float32", str(data.dtype), "Convert it first.")
    if data.attrs.get("units") != variable.units:
        raise SceneError(
            f"{variable.name} has other units", data.attrs.get("units"), f"Give {variable.units!r}."
        )


def scene_from_arrays(
    arrays: Mapping[str, Any], geobox: GeoBox, *, attrs: Mapping[str, Any] | None = None
) -> xr.Dataset:
    """Return a scene made of 2-D arrays by canonical name, all on `geobox`.

    Arrays are numpy or dask, NaN where missing; ``labels`` holds class codes. `attrs`
    become the attributes of the Dataset (``id``, ``datetime``, ``synthetic`` …).
    """
    data = {}
    for name, values in arrays.items():
        if tuple(values.shape) != tuple(geobox.shape):
            pair = f"{tuple(values.shape)} on {tuple(geobox.shape)}"
            raise SceneError(f"{name} does not fit the grid", pair, "Give arrays (y, x).")
        if name == "labels":
            data[name] = wrap_xr(values, geobox, nodata=None)
            data[name].attrs = {"long_name": "class", "units": "class code"}
            continue
        if name not in VARIABLES:
            known = ", ".join(VARIABLES)
            raise SceneError("the scene has an unknown variable", name, f"Known are: {known}.")
        data[name] = wrap_xr(values.astype("float32", copy=False), geobox)
        variable = VARIABLES[name]
        data[name].attrs = {"units": variable.units, "long_name": variable.long_name}
    return check_scene(xr.Dataset(data, attrs=dict(attrs or {})))


class StoredBand(BaseModel):
    """One band of a scene's file, as its item describes it: value = number × scale + offset."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str
    unit: str = "1"
    data_type: str = "float32"
    nodata: float | Literal["nan", "inf", "-inf"] | None = None
    scale: float = Field(1.0, alias="raster:scale", gt=0, allow_inf_nan=False)
    offset: float = Field(0.0, alias="raster:offset", allow_inf_nan=False)
    # Known, for other readers of the item; nothing here depends on them.
    spatial_resolution: float | None = Field(None, alias="raster:spatial_resolution")
    common_name: str | None = Field(None, alias="eo:common_name")
    center_wavelength: float | None = Field(None, alias="eo:center_wavelength")
    full_width_half_max: float | None = Field(None, alias="eo:full_width_half_max")
    about: dict[str, Any] = Field(default_factory=dict, alias="cryonet:about")


class StoredAsset(BaseModel):
    """One data file of a scene. Keys of other STAC extensions are allowed and not read."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    href: str
    bands: tuple[StoredBand, ...] = Field(min_length=1)


def read_item(path: str | Path) -> dict[str, Any]:
    """Return the STAC Item of the scene in folder `path` as a dictionary.

    Raises
    ------
    SceneError
        If there is none, or it is no STAC Item with an id, properties and assets.
    """
    where = Path(path)
    file = where / ITEM_NAME if where.is_dir() else where
    if not file.is_file():
        raise SceneError("there is no scene", str(where), f"A scene's folder holds {ITEM_NAME}.")
    if file.stat().st_size > LONGEST:
        raise SceneError("the scene's item is too long", file.name, f"At most {LONGEST:,} bytes.")
    try:
        item = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SceneError("the scene's item is not JSON", str(file), f"{error}.") from error
    wanted = {"id": str, "properties": dict, "assets": dict}
    if not isinstance(item, dict) or item.get("type") != "Feature":
        raise SceneError("the scene's item is not a STAC Item", str(file), "Its type is Feature.")
    for key, kind in wanted.items():
        if not isinstance(item.get(key), kind):
            raise SceneError(f"the scene's item has no {key}", str(file), "A STAC Item has one.")
    return item


def data_assets(item: Mapping[str, Any]) -> dict[str, StoredAsset]:
    """Return the data files that an item names, by asset name.

    Raises
    ------
    SceneError
        If an asset's description breaks a rule, or the item names none.
    """
    found = {}
    for name, asset in item["assets"].items():
        roles = asset.get("roles") if isinstance(asset, dict) else None
        if isinstance(roles, list) and "data" in roles:
            try:
                found[name] = StoredAsset.model_validate(asset)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                raise SceneError(
                    f"the scene's asset {name} is not described properly",
                    f"{where}: {first.get('input')!r}",
                    f"{first['msg']}.",
                ) from error
    if not found:
        raise SceneError("the scene has no data", item["id"], "Its item names no data asset.")
    return found


def open_scene(path: str | Path, *, chunks: int | None = None) -> xr.Dataset:
    """Return the scene in folder `path`.

    Parameters
    ----------
    path
        The folder, or its ``scene.json``.
    chunks
        Side of dask chunks in pixels; None reads everything into memory.

    Raises
    ------
    SceneError
        If the item or a file is missing or damaged, or a band has no canonical name or
        comes twice.
    GridError
        If an asset does not lie on the scene's grid.
    """
    item = read_item(path)
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    arrays: dict[str, Any] = {}
    about: dict[str, dict[str, Any]] = {}
    grid: GeoBox | None = None
    for asset in data_assets(item).values():
        file = asset_file(folder, asset.href)
        found = _open_asset(file, asset, chunks)
        here = geobox_of(found)
        grid = grid or here
        check_same_grid(grid, here, what=f"{file.name} and the rest of the scene")
        for index, band in enumerate(asset.bands):
            if band.name in arrays:
                raise SceneError("a variable comes twice", band.name, "A scene has each once.")
            arrays[band.name] = decode(found[index].data, band)
            about[band.name] = band.about
        found.close()
    assert grid is not None
    scene = scene_from_arrays(arrays, grid, attrs=_attributes(item))
    for name, more in about.items():
        scene[name].attrs.update(more)
    return scene


def _attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the item says of the scene, without what the grid says itself."""
    kept = {k: v for k, v in item["properties"].items() if not k.startswith("proj:")}
    kept.pop("gsd", None)
    if kept.pop("cryonet:datetime", None):
        kept.pop("datetime", None)
    return {"id": item["id"], **kept}


def _open_asset(file: Path, asset: StoredAsset, chunks: int | None) -> xr.DataArray:
    with open_raster(file) as source:
        names = list(source.descriptions)
    stored = [band.name for band in asset.bands]
    if stored != names:
        raise SceneError(f"{file.name} and its item differ in bands", names, f"Named: {stored}.")
    split = {"band": 1, "x": chunks, "y": chunks} if chunks else None
    try:
        found = rioxarray.open_rasterio(file, chunks=split, driver=DRIVERS[0])
        assert isinstance(found, xr.DataArray)
        return found if chunks else found.load()
    except RasterioError as error:
        raise SceneError("the raster is damaged", str(file), f"GDAL says: {error}.") from error


def asset_file(folder: Path, href: str) -> Path:
    """Return the path of an asset of the scene in `folder`; outside it there is none."""
    try:
        file = (folder / href).resolve()
        file.is_file()
    except (OSError, ValueError) as error:
        raise SceneError("an asset has no file name", href[:80], f"{error}.") from error
    if not file.is_relative_to(folder.resolve()):
        raise SceneError("an asset lies outside the scene's folder", href, "Keep files together.")
    return file


def decode(raw: Any, band: StoredBand) -> Any:
    """Return the values of a stored band: float32, NaN where missing; class codes as bytes."""
    if band.name == "labels":
        return raw.astype(np.uint8)
    values = raw.astype("float32", copy=False)
    if band.nodata is not None and not np.isnan(float(band.nodata)):
        # In the stored type: a float nodata is a rounded number.
        missing = np.asarray(float(band.nodata)).astype(raw.dtype)
        values = np.where(raw == missing, np.float32(np.nan), values)
    if (band.scale, band.offset) != (1.0, 0.0):
        values = values * np.float32(band.scale) + np.float32(band.offset)
    return values


def coverage(scene: xr.Dataset) -> dict[str, float]:
    """Return the share of pixels that hold a value, for each variable."""
    shares = {}
    for name, data in scene.data_vars.items():
        held = data != NODATA if name == "labels" else data.notnull()
        shares[str(name)] = float(held.mean())
    return shares
