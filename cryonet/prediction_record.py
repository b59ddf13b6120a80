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
        How it was made.
    """

    geobox: GeoBox
    classes: tuple[str, ...]
    shares: tuple[str, ...]
    attrs: dict[str, Any]

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
        item.assets["classes"].extra_fields |= class_fields(len(self.classes))
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
        return {
            "classes": [{"name": "classes", **stored}],
            "probabilities": [{"name": n, **share} for n in self.classes],
            **{name: [{"name": name, **share}] for name in self.shares},
        }


def to_bytes(name: str, values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a map as it is stored, ``(band, y, x)``; shares in steps of 1/250."""
    stacked = values if values.ndim == 3 else values[None]
    if name == "classes":
        return stacked.astype(np.uint8)
    known = np.isfinite(stacked)
    steps = np.rint(np.where(known, stacked, 0).clip(0, 1) / STEP)
    return np.where(known, steps, NODATA).astype(np.uint8)


def _lineage(attrs: Mapping[str, Any]) -> str:
    model, scene = attrs.get("model"), attrs.get("scene")
    of = (f" by the model {model}" if model else "") + (f" from the scene {scene}" if scene else "")
    return f"Classes predicted{of}: {PASSPORT} holds inputs, hashes and settings."
