"""CorrectionRecord: what a prediction keeps of the polygons that were drawn over it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.classes import NODATA
from cryonet.corrections import Burned, Correction
from cryonet.errors import SceneError
from cryonet.grid import pixel_areas
from cryonet.prediction_record import POLYGONS
from cryonet.sources.polygons import open_features

#: How pixels are called where the map was missing.
_NONE = "none"

#: Columns of the polygons. ``before`` is JSON: pixels and km² by the class that stood there when
#: it was drawn; ``left`` are the pixels that no later polygon took.
COLUMNS = (
    "number", "class", "by", "date", "comment", "merged", "source", "sha256", "outside",
    "pixels", "km2", "changed", "before", "left",
)  # fmt: skip


def polygon_rows(
    corrections: Sequence[Correction],
    burned: Sequence[Burned],
    *,
    first: int,
    classes: Sequence[str],
    crs: pyproj.CRS,
    source: Mapping[str, str],
) -> gpd.GeoDataFrame:
    """Return a row a polygon, with all of `COLUMNS` but ``left``.

    Parameters
    ----------
    first
        The number of the first one.
    source
        ``source``, ``sha256`` and ``merged``: the file, its hash, and when it was merged.
    """
    rows = [
        {
            "number": first + place,
            "class": classes[one.code],
            "by": one.by,
            "date": one.date,
            "comment": one.comment,
            **source,
            "outside": round(one.outside, 6),
            "pixels": done.pixels,
            "km2": round(done.km2, 6),
            "changed": done.pixels - done.before.get(one.code, (0, 0.0))[0],
            "before": json.dumps(_named(done, classes)),
        }
        for place, (one, done) in enumerate(zip(corrections, burned, strict=True))
    ]
    return gpd.GeoDataFrame(rows, geometry=[one.shape for one in corrections], crs=crs)


def _named(done: Burned, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    return {
        _NONE if code == NODATA else classes[code]: {"pixels": pixels, "km2": round(area, 6)}
        for code, (pixels, area) in done.before.items()
    }


def with_left(rows: gpd.GeoDataFrame, owners: NDArray[np.uint32]) -> gpd.GeoDataFrame:
    """Return the rows with the pixels that are still theirs."""
    counts = np.bincount(owners.ravel(), minlength=int(rows["number"].max()) + 1)
    found: gpd.GeoDataFrame = rows.assign(left=counts[rows["number"].to_numpy()])
    return found[[*COLUMNS, "geometry"]]


def read_rows(folder: Path) -> gpd.GeoDataFrame:
    """Return the rows of a corrected prediction.

    Raises
    ------
    SceneError
        If the file is missing or damaged.
    """
    frame, _ = open_features(folder / POLYGONS, columns=COLUMNS)
    if missing := [name for name in COLUMNS if name not in frame]:
        rule = f"It has {', '.join(COLUMNS)}."
        raise SceneError("the polygons lack columns", ", ".join(missing), rule)
    texts = ["date", "comment"]
    return frame.assign(**{name: frame[name].fillna("").astype(str) for name in texts})


def round_record(
    rows: gpd.GeoDataFrame, source: Mapping[str, str], *, base: Mapping[str, str], version: str
) -> dict[str, Any]:
    """Return what the passport says of polygons that were merged together.

    Parameters
    ----------
    rows
        Of `polygon_rows`.
    base
        The folder that was corrected, and the hash of its passport.
    version
        Of the software that merged them.
    """
    return {
        **source,
        "cryonet": version,
        "base": dict(base),
        "by": sorted(set(rows["by"])),
        "polygons": len(rows),
        "first": int(rows["number"].min()),
        "last": int(rows["number"].max()),
        "pixels": int(rows["pixels"].sum()),
        "changed": int(rows["changed"].sum()),
        "table": transitions(rows),
    }


def transitions(rows: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Return pixels and km² by the class before and the class after, of all polygons."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for after, text in zip(rows["class"], rows["before"], strict=True):
        for before, found in json.loads(text).items():
            cell = table.setdefault(before, {}).setdefault(after, {"pixels": 0, "km2": 0.0})
            cell["pixels"] += found["pixels"]
            cell["km2"] = round(cell["km2"] + found["km2"], 6)
    return table


def correction_lines(rows: pd.DataFrame) -> list[str]:
    """Return what polygons did, in words: a line a pair of classes, and what is odd."""
    lines = [
        f"{before} → {after}: {int(found['pixels']):,} pixels, {found['km2']:.4f} km²"
        for before, row in transitions(rows).items()
        for after, found in row.items()
        if before != after
    ]
    for number, outside, pixels in zip(
        rows["number"], rows["outside"], rows["pixels"], strict=True
    ):
        if not pixels:
            lines.append(f"polygon {number} holds the centre of no pixel")
        if outside > 0:
            lines.append(f"polygon {number}: {outside:.1%} of it lie outside the map, unused")
    return lines


def summary(owners: NDArray[np.uint32], geobox: GeoBox, rows: pd.DataFrame) -> dict[str, Any]:
    """Return how much of a map was set by hand: ``polygons``, ``pixels``, ``km2``."""
    hand = owners > 0
    return {
        "polygons": len(rows),
        "pixels": int(hand.sum()),
        "km2": round(float((pixel_areas(geobox) * hand).sum()), 6),
    }
