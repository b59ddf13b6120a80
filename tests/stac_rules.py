"""The rules of the STAC extensions that items here declare, as we read them in their schemas.

Projection 2.0.0, raster 2.0.0, eo 2.0.0, processing 1.2.0, classification 2.0.0, view 1.0.0 and
mlm 1.4.0. pystac carries the schemas of the core and would fetch these from the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pystac
from jsonschema import Draft7Validator
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from cryonet.stac import EXTENSIONS

NUMBER, TEXT, COUNT = {"type": "number"}, {"type": "string"}, {"type": "integer", "minimum": 0}
TYPES = [
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "cint16",
    "cint32",
    "cfloat32",
    "cfloat64",
    "other",
]
COMMON = [
    "pan",
    "coastal",
    "blue",
    "green",
    "green05",
    "yellow",
    "red",
    "rededge",
    "rededge071",
    "rededge075",
    "rededge078",
    "nir",
    "nir08",
    "nir09",
    "cirrus",
    "swir16",
    "swir22",
    "lwir",
    "lwir11",
    "lwir12",
]
TASKS = [
    "regression",
    "classification",
    "scene-classification",
    "detection",
    "object-detection",
    "segmentation",
    "semantic-segmentation",
    "instance-segmentation",
    "panoptic-segmentation",
    "similarity-search",
    "generative",
    "image-captioning",
    "super-resolution",
]


def numbers(*lengths: int, kind: str = "number") -> dict[str, Any]:
    sizes = [{"minItems": n, "maxItems": n} for n in lengths]
    return {"type": "array", "items": {"type": kind}, "oneOf": sizes}


def between(low: float, high: float) -> dict[str, Any]:
    return {"type": "number", "minimum": low, "maximum": high}


def record(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(fields), "properties": fields}


def listed(items: dict[str, Any], least: int = 1) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least}


CLASS = record(value={"type": "integer"}, name={"type": "string", "pattern": "^[0-9A-Za-z_-]+$"})
CLASS["properties"] |= {
    "title": TEXT,
    "description": TEXT,
    "color_hint": {"type": "string", "pattern": "^[0-9A-Fa-f]{6}$"},
}
TASK = {**listed({"enum": TASKS}), "uniqueItems": True}
TENSOR = record(
    shape=listed({"type": "integer", "minimum": -1}),
    dim_order={**listed({"type": "string", "pattern": "^[a-z_-]+$"}), "uniqueItems": True},
    data_type={"enum": TYPES},
)
NAMED = {"type": "string", "minLength": 1}
EXPRESSION = record(type={"const": "processing"}, format=NAMED, expression={})
ZSCORE = record(type={"const": "z-score"}, mean=NUMBER, stddev=NUMBER)

#: What may stand in an item's properties, an asset or a band, by field.
FIELDS: dict[str, dict[str, Any]] = {
    "proj:code": {"type": ["string", "null"], "pattern": "^[A-Za-z]+:[0-9A-Za-z]+$"},
    "proj:wkt2": {"type": ["string", "null"]},
    "proj:projjson": {"type": ["object", "null"]},
    "proj:bbox": numbers(4, 6),
    "proj:centroid": record(lat=between(-90, 90), lon=between(-180, 180)),
    "proj:shape": numbers(2, kind="integer"),
    "proj:transform": numbers(6, 9),
    "raster:scale": NUMBER,
    "raster:offset": NUMBER,
    "raster:spatial_resolution": {"type": "number", "exclusiveMinimum": 0},
    "eo:common_name": {"enum": COMMON},
    # In µm: what is 300 or more is in nm.
    "eo:center_wavelength": between(0.3, 15),
    "eo:full_width_half_max": between(0.001, 5),
    "processing:lineage": TEXT,
    "processing:level": {"type": "string", "pattern": "^(RAW|L[0-4][A-Z]?)$"},
    "processing:software": {"type": "object", "additionalProperties": TEXT, "minProperties": 1},
    "classification:classes": {**listed(CLASS), "uniqueItems": True},
    "view:sun_azimuth": between(0, 360),
    "view:sun_elevation": between(-90, 90),
    "mlm:name": {"type": "string", "pattern": r"^[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]$"},
    "mlm:architecture": NAMED,
    "mlm:tasks": TASK,
    "mlm:framework": {"const": "PyTorch"},
    "mlm:framework_version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+([-+][\w.+-]+)?$"},
    "mlm:total_parameters": COUNT,
    "mlm:pretrained": {"type": "boolean"},
    "mlm:pretrained_source": {"type": ["string", "null"]},
    "mlm:hyperparameters": {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": "^[0-9a-zA-Z_.-]+$"},
    },
    "mlm:input": listed(record(name=NAMED, bands=listed(NAMED), input=TENSOR,
                               value_scaling=listed({"oneOf": [EXPRESSION, ZSCORE]}))),
    "mlm:output": listed(record(name=NAMED, tasks=TASK, result=TENSOR,
                                **{"classification:classes": listed(CLASS)})),
    "mlm:artifact_type": NAMED,
}  # fmt: skip
REQUIRED = ("name", "architecture", "tasks", "input", "output")


def _holders(item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, holder in [("properties", item["properties"])] + [
        ("asset", asset) for asset in item["assets"].values()
    ]:
        yield kind, holder
        for part in (*holder.get("bands", ()), *holder.get("mlm:output", ())):
            yield "part", part


def broken_rules(item: dict[str, Any]) -> list[str]:
    """Return the rules of the extensions that an item breaks."""
    found, used = [], set()
    for kind, holder in _holders(item):
        for key, value in holder.items():
            prefix = key.partition(":")[0]
            if ":" not in key or prefix not in EXTENSIONS:
                continue
            used.add(EXTENSIONS[prefix])
            if key not in FIELDS:
                found.append(f"{key} is unknown")
            elif not Draft7Validator(FIELDS[key]).is_valid(value):
                found.append(f"{key} is not valid")
            if prefix == "mlm" and (kind == "asset") != (key == "mlm:artifact_type"):
                found.append(f"{key} is in the wrong place")
    if set(item["stac_extensions"]) != used or len(item["stac_extensions"]) != len(used):
        found.append("declared is not what is used")
    stated = item["properties"]
    if "proj:shape" in stated and stated["proj:code"] is None and not stated.get("proj:wkt2"):
        found.append("no CRS")
    return found + (_model_rules(item) if EXTENSIONS["mlm"] in used else [])


def _model_rules(item: dict[str, Any]) -> list[str]:
    stated, found = item["properties"], []
    found += [f"mlm:{key} is missing" for key in REQUIRED if f"mlm:{key}" not in stated]
    for asset in item["assets"].values():
        if ("mlm:model" in asset.get("roles", ())) != ("mlm:artifact_type" in asset):
            found.append("a model has an artifact type, and nothing else has")
    if not any("mlm:model" in asset.get("roles", ()) for asset in item["assets"].values()):
        found.append("there is no model")
    if stated.get("mlm:pretrained") is False and stated.get("mlm:pretrained_source", 0) is not None:
        found.append("not pretrained has the source null")
    described = [band["name"] for band in stated.get("bands", ())]
    for entry in stated.get("mlm:input", ()):
        if not set(entry["bands"]) <= set(described):
            found.append("a band is not described")
        if len(entry["value_scaling"]) not in (1, len(entry["bands"])):
            found.append("a scaling for each band")
        if len(entry["input"]["shape"]) != len(entry["input"]["dim_order"]):
            found.append("a name for each dimension")
    return found


def check_core(item: dict[str, Any]) -> None:
    """Raise if an item breaks the core, by the schemas that pystac carries."""
    JsonSchemaSTACValidator().validate_core(item, pystac.STACObjectType.ITEM, "1.1.0")
