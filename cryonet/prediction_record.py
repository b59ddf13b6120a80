"""PredictionRecord: what a prediction's files say of it, whoever writes the pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pystac.utils import datetime_to_str

from cryonet.band import Band
from cryonet.classes import CLASSES, NODATA
from cryonet.cog import origin_tags
from cryonet.errors import SceneError
from cryonet.grid import footprint
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

#: What a corrected prediction has besides: the classes as the model gave them, the number of the
#: polygon that set each pixel, 0 where it is the model's, and the polygons.
MODEL, NUMBERS, POLYGONS = "model_classes", "corrections", "corrections.gpkg"

#: Probabilities and confidence are stored in steps of 1/250 as bytes, 255 for missing.
STEP = 1 / 250


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """A prediction without its pixels.

    Attributes
    ----------
    geobox
        Its grid.
    classes
        Their names, in the order of their codes.
    shares
        The rasters of one band that are shares of one: confidence, of several models also
        disagreement.
    attrs
        How it was made; of a corrected one with ``corrections``, see
        `cryonet.correction_record.summary`.
    """

    geobox: GeoBox
    classes: tuple[str, ...]
    shares: tuple[str, ...]
    attrs: dict[str, Any]

    @property
    def corrected(self) -> bool:
        """Whether polygons were drawn over it."""
        return "corrections" in self.attrs

    def rasters(self) -> dict[str, dict[str, Any]]:
        """Return how each raster is stored, by name: options of `cryonet.cog.write_cog`."""
        origin = origin_tags(self.attrs)
        shown = CLASSES[: len(self.classes)]
        stored: dict[str, dict[str, Any]] = {
            "classes": {
                "bands": [Band("classes", "class code")],
                "nodata": NODATA,
                "colours": {c.code: c.rgb for c in shown},
                "tags": {f"CLASS_{c.code}": c.name for c in shown} | origin,
            }
        }
        if self.corrected:
            stored[NUMBERS] = {
                "bands": [Band(NUMBERS, "number of the polygon")],
                "nodata": 0,
                "tags": origin,
            }
        for name, bands in (("probabilities", self.classes), *((s, (s,)) for s in self.shares)):
            stored[name] = {
                "bands": [Band(band, "1", STEP) for band in bands],
                "nodata": NODATA,
                "tags": origin,
                "resampling": "average",
            }
        return stored

    def write_texts(
        self,
        folder: Path,
        target: Path,
        *,
        passport: Mapping[str, Any],
        sources: Mapping[str, str | Path],
    ) -> None:
        """Write the passport and the STAC Item to `folder`, which is to be `target`."""
        text = json.dumps({**passport, "prediction": self.attrs}, indent=2, default=str)
        (folder / PASSPORT).write_text(text + "\n", encoding="utf-8")
        item = self._item(target.name, derived_from(sources, target)).to_dict(
            include_self_link=False
        )
        item["stac_extensions"] = declared(item)
        (folder / ITEM).write_text(json.dumps(item, indent=2) + "\n", encoding="utf-8")

    def _item(self, name: str, links: list[pystac.Link]) -> pystac.Item:
        geobox, attrs = self.geobox, self.attrs
        outline, bbox = footprint(geobox)
        now = datetime.now(UTC)
        stated, first, last = (
            moment(attrs[key], what="the scene's time", error=SceneError)
            if attrs.get(key)
            else None
            for key in ("datetime", "start_datetime", "end_datetime")
        )
        item = pystac.Item(
            id=name,
            geometry=outline,
            bbox=bbox,
            datetime=stated or (None if first else now),
            start_datetime=first,
            end_datetime=last,
            properties={
                **grid_fields(geobox),
                "created": datetime_to_str(now, timespec="seconds"),
                "processing:level": "L4",
                "processing:lineage": _lineage(attrs),
                "processing:software": software(),
                "synthetic": bool(attrs.get("synthetic")),
            },
        )
        if not (stated or first):
            item.properties["cryonet:datetime"] = "unknown; the time of writing stands in"
        item.add_links(links)
        for asset, bands in self._bands().items():
            item.add_asset(
                asset,
                pystac.Asset(
                    f"./{asset}.tif",
                    media_type=pystac.MediaType.COG,
                    roles=["data"],
                    extra_fields={"bands": bands},
                ),
            )
        for asset in ("classes", *([MODEL] if self.corrected else [])):
            item.assets[asset].extra_fields |= class_fields(len(self.classes))
        if self.corrected:
            polygons = pystac.Asset(
                f"./{POLYGONS}", media_type=pystac.MediaType.GEOPACKAGE, roles=["metadata"]
            )
            item.add_asset("polygons", polygons)
        item.add_asset(
            "passport",
            pystac.Asset(f"./{PASSPORT}", media_type=pystac.MediaType.JSON, roles=["metadata"]),
        )
        return item

    def _bands(self) -> dict[str, list[dict[str, Any]]]:
        stored = {
            "data_type": "uint8",
            "nodata": NODATA,
            "raster:spatial_resolution": resolution(self.geobox),
        }
        share = {**stored, "unit": "1", "raster:scale": STEP, "raster:offset": 0.0}
        hand = {
            MODEL: [{"name": "classes", **stored}],
            NUMBERS: [{"name": NUMBERS, **stored, "data_type": "uint32", "nodata": 0}],
        }
        return {
            "classes": [{"name": "classes", **stored}],
            **(hand if self.corrected else {}),
            "probabilities": [{"name": n, **share} for n in self.classes],
            **{name: [{"name": name, **share}] for name in self.shares},
        }


def to_bytes(name: str, values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a map as it is stored, ``(band, y, x)``; shares in steps of 1/250."""
    stacked = values if values.ndim == 3 else values[None]
    if name == "classes":
        return stacked.astype(np.uint8)
    out = np.empty(stacked.shape, np.uint8)
    # Row by row, in numbers that stay in the cache.
    for row in range(stacked.shape[1]):
        share = stacked[:, row]
        # Of NaN `fmax` and `fmin` take the other number.
        steps = np.rint(np.fmin(np.fmax(share, 0), 1) / np.float32(STEP))
        out[:, row] = np.where(np.isfinite(share), steps, NODATA)
    return out


def from_bytes(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the shares that stored bytes stand for, NaN where missing."""
    shares = np.multiply(values, np.float32(STEP), dtype=np.float32)
    shares[values == NODATA] = np.nan
    return shares


def _lineage(attrs: Mapping[str, Any]) -> str:
    model, scene = attrs.get("model"), attrs.get("scene")
    of = (f" by the model {model}" if model else "") + (f" from the scene {scene}" if scene else "")
    hand = attrs.get("corrections")
    then = f", then corrected by hand in {hand['polygons']} polygons" if hand else ""
    return f"Classes predicted{of}{then}: {PASSPORT} holds inputs, hashes and settings."
