"""Write a scene's folder: COGs and the STAC Item that describes them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import xarray as xr
from numpy.typing import NDArray

from cryonet.atomic import check_replaceable, whole_folder
from cryonet.band import Band
from cryonet.classes import CLASSES, NODATA
from cryonet.cog import origin_tags, write_cog
from cryonet.errors import SceneError
from cryonet.grid import check_same_grid, footprint, geobox_of
from cryonet.scene import ITEM_NAME, VARIABLES, check_scene, open_scene, read_item
from cryonet.stac import (
    class_fields,
    declared,
    grid_fields,
    moment,
    optical_fields,
    resolution,
    software,
)

_SOFTWARE, _LINEAGE = "processing:software", "processing:lineage"


@dataclass(frozen=True, slots=True)
class Storage:
    """How an asset's values are stored: value = number × scale + offset."""

    dtype: str = "float32"
    scale: float = 1.0
    offset: float = 0.0
    nodata: float = float("nan")


def write_scene(
    scene: xr.Dataset,
    path: str | Path,
    *,
    properties: Mapping[str, Any] | None = None,
    storage: Mapping[str, Storage] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write `scene` as a folder of COGs with a STAC Item; return the folder.

    The folder appears whole or not at all: everything is written under a temporary name
    beside it and renamed at the end. A scene that is replaced stays until then.

    Parameters
    ----------
    properties
        Properties of the item, beside the attributes of `scene`; ``datetime`` is an ISO
        time. Provenance belongs here: warps, sources, ``synthetic``.
    storage
        By asset name (``optical``, ``elevation``, ``coherence``, ``phase``); float32 by
        default.
    overwrite
        Replace an existing scene. A folder that is not a scene is never replaced.

    Raises
    ------
    SceneError
        If the folder exists and may not be replaced, a value does not fit its storage, or
        the disk refuses.
    """
    check_scene(scene)
    target = check_target(path, overwrite=overwrite)
    with whole_folder(target, error=SceneError) as work:
        _fill(work, scene, target.name, properties or {}, storage or {})
    return target


def add_to_scene(
    path: str | Path, added: xr.Dataset, *, properties: Mapping[str, Any], overwrite: bool = False
) -> Path:
    """Write further variables, whole assets of them, beside those of a scene on disk.

    The other files are copied as they are, byte by byte, and the folder is replaced at the
    end: it holds the old scene or the new one.

    Parameters
    ----------
    added
        On the scene's grid.
    properties
        Merged into the item's; lists are added to lists.
    overwrite
        Replace assets that the scene has already.

    Raises
    ------
    SceneError
        If there is no scene, it has such an asset already, or the disk refuses.
    GridError
        If the grids differ.
    """
    target = Path(path).absolute()
    item = read_item(target)
    with open_scene(target) as scene:
        check_same_grid(geobox_of(scene), geobox_of(added), what="the scene")
    assets = _assets(added)
    there = [asset for asset in assets if asset in item["assets"]]
    if there and not overwrite:
        rule = "Allow overwriting to replace it."
        raise SceneError("the scene has it already", ", ".join(there), rule)
    for key, value in properties.items():
        plain = _plain(key, value)
        before = item["properties"].get(key)
        item["properties"][key] = before + plain if isinstance(before, list) else plain
    item["properties"] |= _processing(item["properties"])
    with whole_folder(target, error=SceneError) as work:
        for file in target.iterdir():
            if file.is_file() and file.name not in [f"{asset}.tif" for asset in assets]:
                shutil.copy2(file, work / file.name)
        for asset, names in assets.items():
            file = work / f"{asset}.tif"
            described = (
                _write_labels(added, file)
                if asset == "labels"
                else _write_measures(added, names, Storage(), file)
            )
            item["assets"][asset] = _asset(file, described, added, item["properties"]).to_dict()
        before = item.get("stac_extensions", [])
        item["stac_extensions"] = list(dict.fromkeys([*before, *declared(item)]))
        (work / ITEM_NAME).write_text(_json(item), encoding="utf-8")
    return target


def _json(item: Mapping[str, Any]) -> str:
    return json.dumps(item, indent=2, allow_nan=False) + "\n"


def _fill(
    work: Path,
    scene: xr.Dataset,
    name: str,
    properties: Mapping[str, Any],
    storage: Mapping[str, Storage],
) -> None:
    item = _item(scene, name, properties)
    for asset, names in _assets(scene).items():
        file = work / f"{asset}.tif"
        if asset == "labels":
            described = _write_labels(scene, file)
        else:
            described = _write_measures(scene, names, storage.get(asset, Storage()), file)
        item.add_asset(asset, _asset(file, described, scene, item.properties))
    item.stac_extensions = declared(item.to_dict(include_self_link=False))
    text = _json(item.to_dict(include_self_link=False))
    (work / ITEM_NAME).write_text(text, encoding="utf-8")


def check_target(path: str | Path, *, overwrite: bool = False) -> Path:
    """Return `path` if a scene may be written there.

    Raises
    ------
    SceneError
        If it exists, unless it is a scene and `overwrite` allows replacing it.
    """
    where = Path(path).absolute()
    return check_replaceable(where, marker=ITEM_NAME, overwrite=overwrite, error=SceneError)


def _assets(scene: xr.Dataset) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, variable in VARIABLES.items():
        if name in scene:
            groups.setdefault(variable.asset, []).append(name)
    if "labels" in scene:
        groups["labels"] = ["labels"]
    return groups


def _item(scene: xr.Dataset, name: str, properties: Mapping[str, Any]) -> pystac.Item:
    geobox = geobox_of(scene)
    merged = {k: v for k, v in {**scene.attrs, **properties}.items() if k != "id"}
    stated = merged.pop("datetime", None)
    outline, bbox = footprint(geobox)
    item = pystac.Item(
        id=str(scene.attrs.get("id", name)),
        geometry=outline,
        bbox=bbox,
        datetime=_time(stated) if stated else datetime.now(UTC),
        properties={str(k): _plain(k, v) for k, v in merged.items()},
    )
    if not stated:
        item.properties["cryonet:datetime"] = "unknown; the time of writing stands in"
    item.properties |= grid_fields(geobox) | _processing(item.properties)
    return item


def _time(stated: Any) -> datetime:
    return moment(stated, what="the scene's datetime", error=SceneError)


def _processing(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the scene came to be; a lineage that is stated already stays."""
    fields: dict[str, Any] = {"processing:software": software(properties.get(_SOFTWARE))}
    if _LINEAGE in properties:
        return fields
    if properties.get("synthetic"):
        fields[_LINEAGE] = (
            "Generated by cryonet and not measured, except what cryonet:sources may list."
        )
    elif properties.get("cryonet:sources"):
        fields[_LINEAGE] = (
            "Files brought to one pixel grid by cryonet, as cryonet:sources and cryonet:warps "
            "record them."
        )
    return fields


def _plain(key: Any, value: Any) -> Any:
    """`value` as JSON can hold it, NumPy numbers as numbers."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(k): _plain(k, v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(key, v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise SceneError(
        f"the scene's attribute {key} cannot be kept", type(value).__name__, "Give plain data."
    )


def _asset(
    path: Path,
    described: list[dict[str, Any]],
    scene: xr.Dataset,
    properties: Mapping[str, Any],
) -> pystac.Asset:
    side, platform = resolution(geobox_of(scene)), properties.get("platform")
    bands = [
        {**band, "raster:spatial_resolution": side, **optical_fields(band["name"], platform)}
        for band in described
    ]
    return pystac.Asset(
        href=f"./{path.name}",
        media_type=pystac.MediaType.COG,
        roles=["data"],
        extra_fields={"bands": bands, **(class_fields() if path.stem == "labels" else {})},
    )


def _write_labels(scene: xr.Dataset, path: Path) -> list[dict[str, Any]]:
    codes = np.asarray(scene["labels"].values)[None]
    colours = {c.code: c.rgb for c in CLASSES}
    bands = [Band("labels", "class code")]
    tags = origin_tags(scene.attrs)
    write_cog(path, codes, geobox_of(scene), bands, nodata=NODATA, colours=colours, tags=tags)
    about = _about(scene["labels"])
    return [{"name": "labels", "data_type": "uint8", "nodata": NODATA, **about}]


def _write_measures(
    scene: xr.Dataset, names: Sequence[str], storage: Storage, path: Path
) -> list[dict[str, Any]]:
    bands = [Band(n, VARIABLES[n].units, storage.scale, storage.offset) for n in names]
    data = np.stack([encode(scene[n].values, storage, name=n) for n in names])
    # A mean of angles is no angle.
    overviews = "nearest" if "phase" in names else "average"
    write_cog(
        path,
        data,
        geobox_of(scene),
        bands,
        nodata=storage.nodata,
        tags=origin_tags(scene.attrs),
        resampling=overviews,
    )
    stored = {
        "data_type": storage.dtype,
        "nodata": _plain("nodata", storage.nodata),
        "raster:scale": storage.scale,
        "raster:offset": storage.offset,
    }
    return [{"name": n, "unit": VARIABLES[n].units, **stored, **_about(scene[n])} for n in names]


def _about(data: xr.DataArray) -> dict[str, Any]:
    """Return what is known of a variable beside its units and name, for its band's record."""
    more = {k: v for k, v in data.attrs.items() if k not in ("units", "long_name")}
    return {"cryonet:about": _plain(data.name, more)} if more else {}


def encode(values: NDArray[np.float32], storage: Storage, *, name: str) -> NDArray[Any]:
    """Return `values` as the numbers that `storage` keeps, missing ones as its nodata.

    Raises
    ------
    SceneError
        If a value lies outside what the stored dtype can hold: it would be altered.
    """
    known = np.isfinite(values)
    numbers = (values.astype("float64") - storage.offset) / storage.scale
    if np.issubdtype(np.dtype(storage.dtype), np.floating):
        return np.where(known, numbers, storage.nodata).astype(storage.dtype)
    numbers = np.rint(numbers)
    limits = np.iinfo(storage.dtype)
    if known.any():
        low, high = float(numbers[known].min()), float(numbers[known].max())
        if low < limits.min or high > limits.max:
            raise SceneError(
                f"{name} does not fit {storage.dtype}", f"{low} … {high}", "Choose another storage."
            )
        if (numbers[known] == storage.nodata).any():
            raise SceneError(
                f"{name} holds the nodata number", storage.nodata, "Choose another nodata number."
            )
    return np.where(known, numbers, storage.nodata).astype(storage.dtype)
