"""Scale and offset of Sentinel-2 level 2A reflectance, from a product's own metadata.

Reflectance is number x scale + offset. From processing baseline 04.00 on the numbers carry an
offset of -0.1, unless whoever serves them took it off. What holds is read from, in this order:

1. ``earthsearch:boa_offset_applied`` (or ``sentinel:…``) true: the offset was taken off, and
   is 0 whatever else the item says. Earth Search states -0.1 beside it.
2. the asset's own scale and offset, of the raster extension 1 or 2;
3. the processing baseline, of a property or in the product's name: -0.1 from 04.00 on;
4. of a SAFE folder, its ``MTD_MSIL2A.xml``.

The date of the image is never used. Catalogues have been found to state the wrong thing
(Element84/earth-search issues 66 and 71): the importer looks at the darkest pixels as well.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from cryonet.errors import SceneError
from cryonet.scene import BANDS
from cryonet.sources.raster import RasterBand

#: Sentinel-2's names of the bands that a scene has, and their numbers in the metadata file.
SENTINEL2 = {
    "coastal": ("B01", 0),
    "blue": ("B02", 1),
    "green": ("B03", 2),
    "red": ("B04", 3),
    "rededge1": ("B05", 4),
    "rededge2": ("B06", 5),
    "rededge3": ("B07", 6),
    "nir": ("B08", 7),
    "nir08": ("B8A", 8),
    "nir09": ("B09", 9),
    "swir16": ("B11", 11),
    "swir22": ("B12", 12),
}

#: The baseline with which the offset came, the offset, and the scale before and after.
FIRST_WITH_OFFSET, OFFSET, SCALE = (4, 0), -0.1, 1e-4

_APPLIED = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_BASELINES = ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version")
_PRODUCTS = ("s2:product_uri", "sentinel:product_id")
_MTD = "MTD_MSIL2A.xml"

#: Metadata files are some 60 kB; what is much longer is something else.
_LONGEST = 2**20


@dataclass(frozen=True, slots=True)
class Scaling:
    """Reflectance = number × scale + offset, and what says so."""

    scale: float
    offset: float
    origin: str


def choose_scaling(
    name: str,
    band: RasterBand,
    *,
    scale: float | None,
    offset: float | None,
    metadata: Mapping[str, Scaling],
) -> tuple[Scaling, list[str]]:
    """Return how the numbers of a file become values, and remarks.

    What the user states comes first, then the product's metadata, then the file. Only the
    numbers of optical bands are scaled by anything but their file.

    Raises
    ------
    SceneError
        If nothing says how integers become reflectance, or half of it is missing.
    """
    own = Scaling(
        band.scale, band.offset, "file" if band.stated_scale else "none: values as they are"
    )
    if name not in BANDS:
        return own, []
    given = metadata.get(name) if band.integer else None
    if scale is None and offset is None:
        if given is not None:
            differ = band.stated_scale and (own.scale, own.offset) != (given.scale, given.offset)
            text = f"{name}: the file states {own.scale} and {own.offset}, {given.origin} holds"
            return given, [text] if differ else []
        if band.integer and not band.stated_scale:
            raise SceneError(
                f"{name} has no scale",
                f"{band.path.name}:{band.index} holds {band.dtype} numbers",
                "State scale and offset, or give the product's metadata. Sentinel-2 L2A: 0.0001 "
                "and, from baseline 04.00 on unless harmonised, -0.1.",
            )
        return own, []
    known = given or (own if band.stated_scale or not band.integer else None)
    if known is None and (scale is None or offset is None):
        raise SceneError(
            f"{name} has half a scale",
            f"scale {scale}, offset {offset}",
            "State both; an offset of 0 has to be said too.",
        )
    pair = (
        known.scale if scale is None and known else scale,
        known.offset if offset is None and known else offset,
    )
    assert pair[0] is not None and pair[1] is not None
    if not (math.isfinite(pair[0]) and math.isfinite(pair[1]) and pair[0] > 0):
        shown = f"scale {pair[0]}, offset {pair[1]}"
        raise SceneError("the scale cannot be used", shown, "The scale is above 0.")
    return Scaling(pair[0], pair[1], "stated"), []


def read_scaling(path: str | Path) -> dict[str, Scaling]:
    """Return the scaling of each band that a STAC item or a SAFE product tells of.

    Parameters
    ----------
    path
        A STAC item (JSON), an ``MTD_MSIL2A.xml``, or a SAFE folder that holds one.

    Raises
    ------
    SceneError
        If it cannot be read, is something else, or does not say.
    """
    where = Path(path)
    file = where / _MTD if where.is_dir() else where
    if not file.is_file():
        rule = f"Give a STAC item, or a SAFE folder with {_MTD}."
        raise SceneError("the metadata file does not exist", str(file), rule)
    if file.stat().st_size > _LONGEST:
        rule = f"It has at most {_LONGEST:,} bytes."
        raise SceneError("the metadata file is too long", file.name, rule)
    text = file.read_bytes()
    if file.suffix.lower() == ".xml":
        return _finite(product_scaling(text, file.name), file.name)
    try:
        # Whole numbers of any length become infinite here, not an error later.
        item = json.loads(text, parse_int=float)
    except (ValueError, RecursionError) as error:
        raise SceneError("the metadata file is not JSON", file.name, f"{error}.") from error
    if not isinstance(item, dict) or item.get("type") != "Feature":
        raise SceneError("the metadata file is not a STAC item", file.name, "Its type is Feature.")
    return _finite(item_scaling(item), file.name)


def _finite(found: dict[str, Scaling], name: str) -> dict[str, Scaling]:
    """Return what was found, if reflectance can come of it."""
    for band, how in found.items():
        if not (how.scale > 0 and math.isfinite(how.scale) and math.isfinite(how.offset)):
            shown = f"{name}: {band} × {how.scale} + {how.offset}"
            raise SceneError("the metadata file's scale cannot be used", shown, "Get it again.")
    return found


def item_scaling(item: Mapping[str, Any]) -> dict[str, Scaling]:
    """Return the scaling of each band of a STAC item, by canonical name.

    Raises
    ------
    SceneError
        If the item has none of the bands, or says of one neither scale and offset nor the
        processing baseline.
    """
    properties, assets = _mapping(item.get("properties")), _mapping(item.get("assets"))
    found = {}
    for name in SENTINEL2:
        asset = band_asset(assets, name)
        if asset is not None:
            found[name] = _scaling(properties, asset, f"{item.get('id')}: {name}")
    if not found:
        rule = f"Its assets are named like {', '.join(SENTINEL2)} or B01 to B12."
        raise SceneError("the item has no Sentinel-2 band", item.get("id"), rule)
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def band_asset(assets: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """Return the asset of a band; that of its finest pixels, where there are several."""
    number = SENTINEL2[name][0]
    for key in (name, number, *(f"{number}_{side}m" for side in (10, 20, 60))):
        if isinstance(assets.get(key), Mapping):
            return _mapping(assets[key])
    return None


def _scaling(properties: Mapping[str, Any], asset: Mapping[str, Any], what: str) -> Scaling:
    bands = asset.get("raster:bands") or asset.get("bands") or [{}]
    band = _mapping(bands[0] if isinstance(bands, list) else None)
    stated: list[float | None] = []
    for key in ("scale", "offset"):
        values = (band.get(key), band.get(f"raster:{key}"), asset.get(f"raster:{key}"))
        stated.append(_number(next((v for v in values if v is not None), None), key, what))
    scale, offset = stated
    applied = next((key for key in _APPLIED if properties.get(key) is True), None)
    if applied:
        return Scaling(scale or SCALE, 0.0, f"{applied} is true")
    if scale is not None and offset is not None:
        return Scaling(scale, offset, "the item's raster bands")
    baseline, key = baseline_of(properties)
    if baseline is None:
        shown = f"{what}: scale {scale}, offset {offset}, no processing baseline"
        rule = "State scale and offset: 0.0001 and, from baseline 04.00 on unless harmonised, -0.1."
        raise SceneError("the item does not say how reflectance is stored", shown, rule)
    return _of_baseline(baseline, key, scale)


def _of_baseline(baseline: tuple[int, int], key: str, scale: float | None) -> Scaling:
    offset = OFFSET if baseline >= FIRST_WITH_OFFSET else 0.0
    return Scaling(scale or SCALE, offset, f"{key}: {baseline[0]:02d}.{baseline[1]:02d}")


def _number(value: Any, key: str, what: str) -> float | None:
    if value is None:
        return None
    sound = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not sound or (key == "scale" and value <= 0):
        raise SceneError(f"the item's {key} cannot be used", f"{what}: {value}", "Give a number.")
    return float(value)


def baseline_of(properties: Mapping[str, Any]) -> tuple[tuple[int, int] | None, str]:
    """Return the processing baseline an item states, and the property that does; None and ""."""
    for key in _BASELINES:
        found = re.fullmatch(r"(\d{2})\.(\d{2})", str(properties.get(key, "")))
        if found:
            return (int(found[1]), int(found[2])), key
    for key in _PRODUCTS:
        found = re.search(r"_N(\d{2})(\d{2})_", str(properties.get(key, "")))
        if found:
            return (int(found[1]), int(found[2])), key
    return None, ""


def product_scaling(text: bytes, name: str = _MTD) -> dict[str, Scaling]:
    """Return the scaling of each band that the metadata file of a SAFE product gives.

    Raises
    ------
    SceneError
        If it is no such file, or does not say.
    """
    try:
        root: Element = fromstring(text)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise SceneError("the metadata file is not XML", name, f"{error}.") from error
    quantum = _texts(root, "BOA_QUANTIFICATION_VALUE")
    if len(quantum) != 1 or not quantum[0][1] > 0:
        rule = f"A level 2A product has it in {_MTD}."
        raise SceneError(f"{name} has no BOA_QUANTIFICATION_VALUE", name, rule)
    scale = 1 / quantum[0][1]
    offsets = {int(key): value * scale for key, value in _texts(root, "BOA_ADD_OFFSET") if key}
    found = root.findtext(".//PROCESSING_BASELINE") or ""
    baseline, _ = baseline_of({_BASELINES[0]: found.strip()})
    if offsets:
        missing = [band for band, (_, number) in SENTINEL2.items() if number not in offsets]
        if missing:
            shown = f"{name}: {', '.join(missing)}"
            raise SceneError("a band has no BOA_ADD_OFFSET", shown, "Get the product again.")
        return {
            band: Scaling(scale, offsets[number], "BOA_ADD_OFFSET")
            for band, (_, number) in SENTINEL2.items()
        }
    if baseline is None or baseline >= FIRST_WITH_OFFSET:
        shown = f"{name}: baseline {found.strip() or 'unknown'}"
        rule = "From baseline 04.00 on a product has one for every band."
        raise SceneError("there is no BOA_ADD_OFFSET", shown, rule)
    return {band: _of_baseline(baseline, "PROCESSING_BASELINE", scale) for band in SENTINEL2}


def _texts(root: Element, tag: str) -> list[tuple[str, float]]:
    """Return band number and value of each element called `tag`."""
    found = []
    for element in root.iter(tag):
        key = element.get("band_id", "")
        try:
            found.append((str(int(key)) if key else "", float(element.text or "")))
        except ValueError as error:
            shown = f"{key or tag}: {element.text}"
            raise SceneError(f"{tag} is no number", shown, "Get the product again.") from error
    return found
