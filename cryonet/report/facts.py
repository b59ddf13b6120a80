"""What passport and scene tell, brought into the rows of tables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby, pairwise
from typing import Any

import pandas as pd

from cryonet.classes import CLASSES
from cryonet.prediction_files import PredictionFiles
from cryonet.report.origins import BundleUnder, SceneUnder
from cryonet.report.told import ModelTold, PassportTold, RoundTold, SettingsTold

#: A name and what it is.
Row = tuple[str, str]

#: How to cite what made the map; see CITATION.cff.
CITATIONS = (
    "cryonet contributors: cryonet, version {version}. Apache-2.0.",
    "Barzegar, Bolch, Kuehtreiber, Ullo (2026): CryoNet: A Deep Learning Framework for "
    "Multi-Modal Debris-Covered Glacier Mapping. A Case Study of the Poiqu Basin, Central "
    "Himalaya. arXiv:2605.21527.",
)


def settings_rows(files: PredictionFiles, told: PassportTold) -> list[Row]:
    """Return how the map was made: windows, device, calibration."""
    made, settings = told.prediction, told.settings
    grid = files.geobox
    height, width = grid.shape
    unit = "°" if grid.crs is not None and grid.crs.geographic else " m"
    return _held(
        {
            "size": f"{height:,} rows × {width:,} columns",
            "pixel": " × ".join(f"{abs(side):.6g}{unit}" for side in grid.resolution.xy),
            "window": f"{made.tile} pixels" if made.tile else "",
            "overlap": "" if made.overlap is None else f"{made.overlap:.0%}",
            "blend": made.blend,
            "orientations": "" if made.flips is None else "8, averaged" if made.flips else "1",
            "device": made.device,
            "windows at once": str(settings.batch),
            "time taken": "" if made.seconds is None else f"{made.seconds:g} s",
            "calibrated": "yes" if told.calibrated else "no",
            "temperature": f"{made.temperature:.4g}",
        }
    )


def model_rows(model: ModelTold) -> list[Row]:
    """Return what is told of a model."""
    names = (f"{one.id}{' (synthetic)' * one.synthetic}" for one in model.training.scenes)
    found = model.calibration
    return _held(
        {
            "model": model.title,
            "made": day_and_minute(model.created),
            "architecture": ", ".join(
                str(model.network[key])
                for key in ("architecture", "encoder")
                if key in model.network
            ),
            "parameters": "" if model.parameters is None else f"{model.parameters:,}",
            "weights, SHA-256": model.weights_sha256,
            "trained on": "; ".join(names),
            "seed": "" if model.training.seed is None else str(model.training.seed),
            "calibration": f"temperature {found.temperature:.4g}, fitted on {found.split} pixels"
            if found
            else "none",
        }
    )


def layers_by_family(model: ModelTold) -> list[Row]:
    """Return the names of a model's layers by family, in their order."""
    groups = groupby(model.layers, key=lambda layer: layer.family)
    return [(name, ", ".join(one.name for one in held)) for name, held in groups]


def source_rows(scene: SceneUnder | None) -> list[Row]:
    """Return whose the data are, and under which terms, as the scene states it."""
    if scene is None:
        return [("terms", "The scene is not there; its item says whose its data are.")]
    stated, rule = scene.item["properties"], _labels(scene).get("rule_in_words")
    keys = {
        "terms": "cryonet:terms",
        "license": "license",
        "catalogue": "cryonet:catalogue",
        "lineage": "processing:lineage",
    }
    rows = [(name, str(stated[key])) for name, key in keys.items() if key in stated]
    rows += [("clean ice", str(rule))] * (rule is not None)
    if not {"terms", "license"} & {name for name, _ in rows}:
        rows.insert(0, ("terms", "The scene states none."))
    return rows


def source_files(scene: SceneUnder | None) -> list[Row]:
    """Return the files that a scene was made of, as it states them: of what, and which."""
    if scene is None:
        return []
    sources = _records(scene.item["properties"].get("cryonet:sources"))
    labels = _records(_labels(scene).get("files"))
    return [
        (str(one.get(key, name)), short_values({k: v for k, v in one.items() if k != key}))
        for key, name, records in (("variable", "source", sources), ("role", "labels", labels))
        for one in records
    ]


def _labels(scene: SceneUnder) -> Mapping[str, Any]:
    found = scene.item["properties"].get("cryonet:labels")
    return found if isinstance(found, dict) else {}


def short_values(record: Mapping[str, Any]) -> str:
    """Return the texts and numbers of a record in one line."""
    return ", ".join(
        f"{key} {value}" for key, value in record.items() if isinstance(value, (str, int, float))
    )


def day_and_minute(text: str) -> str:
    """Return an ISO time as day and minute in UTC; what is none is shown as it is.

    Examples
    --------
    >>> day_and_minute("2020-09-03T05:00:00+02:00")
    '3 September 2020, 03:00 UTC'
    """
    try:
        when = datetime.fromisoformat(text)
        when = when.astimezone(UTC) if when.tzinfo else when
    except (ValueError, OverflowError):
        return text
    # A day alone has no time: midnight would be made up.
    return f"{when.day} {when:%B %Y}{f', {when:%H:%M} UTC' if len(text) > 10 else ''}"


def command_of(
    files: PredictionFiles,
    told: PassportTold,
    scene: SceneUnder | None,
    bundles: Sequence[BundleUnder],
) -> str:
    """Return the command that makes such a prediction, read off the passport.

    Names of folders that are not known stand in capitals. Of a corrected prediction it makes
    the first map, and a line a round of corrections follows.
    """
    models, settings = told.models, told.settings
    folders = {bundle.weights: bundle.path.resolve().name for bundle in bundles}
    names = [folders.get(one.weights_sha256, f"BUNDLE-{n}") for n, one in enumerate(models, 1)]
    parts = ["cryonet", "predict", *names[:1], scene.path.resolve().name if scene else "SCENE"]
    rounds = told.corrections
    maps = [*(one.base.folder or "MAP" for one in rounds), files.path.resolve().name]
    parts.append(maps[0])
    for name in ("device", "batch", "blend"):
        if (value := getattr(settings, name)) != SettingsTold.model_fields[name].default:
            parts += [f"--{name}", str(value)]
    overlap = told.prediction.overlap
    if overlap is not None and models and overlap != models[0].overlap:
        parts += ["--overlap", str(overlap)]
    parts += ["--flips"] * settings.flips
    parts += ["--uncalibrated"] * (not settings.calibrated)
    for name in names[1:]:
        parts += ["--with", name]
    lines = [parts]
    for one, (base, made) in zip(rounds, pairwise(maps), strict=True):
        lines.append(["cryonet", "correct", base, one.source, made])
        lines[-1] += ["--overwrite"] * (base == made)
    return "\n".join(map(shlex.join, lines))


def round_rows(rounds: Sequence[RoundTold]) -> list[tuple[str, ...]]:
    """Return whose corrections were merged: file, authors, when, and how many polygons."""
    return [
        (one.source, ", ".join(one.by), day_and_minute(one.merged), f"{one.polygons:,}")
        for one in rounds
    ]


def polygon_rows(polygons: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return what is kept of each polygon: number, class, author, day, comment, pixels, left.

    Parameters
    ----------
    polygons
        Of `cryonet.correction_record.read_rows`.
    """
    keys = ["number", "class", "by", "date", "comment", "pixels", "left"]
    titles = {entry.name: entry.title for entry in CLASSES}
    shown = polygons[keys].replace({"class": titles})
    return [tuple(map(str, row)) for row in shown.itertuples(index=False)]


def _held(rows: Mapping[str, str]) -> list[Row]:
    return [(name, text) for name, text in rows.items() if text]


def _records(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
