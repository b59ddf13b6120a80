"""What a prediction's passport says, brought into the rows of tables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from cryonet.card_sections import figure
from cryonet.prediction_files import PredictionFiles
from cryonet.report.origins import SceneUnder, models_of

#: A name and what it is.
Row = tuple[str, str]

#: How to cite what made the map; see CITATION.cff.
CITATIONS = (
    "cryonet contributors: cryonet, version {version}. Apache-2.0.",
    "Barzegar, Bolch, Kuehtreiber, Ullo (2026): CryoNet: A Deep Learning Framework for "
    "Multi-Modal Debris-Covered Glacier Mapping. A Case Study of the Poiqu Basin, Central "
    "Himalaya. arXiv:2605.21527.",
)


def settings_rows(files: PredictionFiles) -> list[Row]:
    """Return how the map was made: windows, device, calibration."""
    attrs, settings = files.attrs, _mapping(files.passport.get("settings"))
    height, width = files.geobox.shape
    calibrated = settings.get("calibrated")
    overlap, flips = attrs.get("overlap"), attrs.get("flips")
    rows = {
        "size": f"{height:,} rows × {width:,} columns",
        "pixel": " × ".join(f"{abs(side):.6g}" for side in files.geobox.resolution.xy),
        "window": _of(attrs, "tile", "{} pixels"),
        "overlap": f"{overlap:.0%}" if isinstance(overlap, float) else "",
        "blend": _of(attrs, "blend"),
        "orientations averaged": str(flips or 1) if flips is not None else "",
        "device": _of(attrs, "device"),
        "seconds": _of(attrs, "seconds"),
        "windows run at once": _of(settings, "batch"),
        "calibrated": "" if calibrated is None else "yes" if calibrated else "no",
        "temperature": _of(attrs, "temperature"),
    }
    return [(name, text) for name, text in rows.items() if text]


def model_rows(model: Mapping[str, Any]) -> list[Row]:
    """Return what a manifest says of a model."""
    network, training = _mapping(model.get("model")), _mapping(model.get("training"))
    scenes = [_mapping(scene) for scene in training.get("scenes", ())]
    parameters = model.get("parameters")
    calibration = _mapping(model.get("calibration"))
    rows = {
        "model": _of(model, "title"),
        "made": _of(model, "created"),
        "architecture": ", ".join(
            str(network[key]) for key in ("architecture", "encoder") if key in network
        ),
        "parameters": f"{parameters:,}" if isinstance(parameters, int) else "",
        "weights, SHA-256": _of(model, "weights_sha256"),
        "trained on": "; ".join(
            f"{scene.get('id', '?')}{' (synthetic)' if scene.get('synthetic') else ''}"
            for scene in scenes
        ),
        "seed": _of(training, "seed"),
        "calibration": (
            f"temperature {figure(calibration.get('temperature'))} on "
            f"{calibration.get('split', '')} pixels"
            if calibration
            else "none: the probabilities are as the network gave them"
        ),
    }
    return [(name, text) for name, text in rows.items() if text]


def layers_by_family(model: Mapping[str, Any]) -> list[Row]:
    """Return the names of a model's layers by family, in their order."""
    layers = [_mapping(layer) for layer in model.get("layers", ())]
    groups = groupby(layers, key=lambda layer: str(layer.get("family", "")))
    return [(name, ", ".join(str(one.get("name", "?")) for one in held)) for name, held in groups]


def uncalibrated(files: PredictionFiles) -> bool:
    """Whether the probabilities of any model were left as the network gave them."""
    if _mapping(files.passport.get("settings")).get("calibrated") is False:
        return True
    models = models_of(files.passport)
    return not models or any(not model.get("calibration") for model in models)


def trained_on_synthetic(passport: Mapping[str, Any]) -> bool:
    """Whether a scene that formed any model's weights was synthetic."""
    for model in models_of(passport):
        training = _mapping(model.get("training"))
        start = _mapping(training.get("start"))
        for scene in (*training.get("scenes", ()), *start.get("scenes", ())):
            if _mapping(scene).get("synthetic"):
                return True
    return False


def source_rows(scene: SceneUnder | None) -> list[Row]:
    """Return whose the data are, and under which terms, as the scene states it."""
    if scene is None:
        return [("", "The scene is not there; its item says whose its data are.")]
    stated = scene.item["properties"]
    rows = [
        ("terms", _of(stated, "cryonet:terms")),
        ("license", _of(stated, "license")),
        ("catalogue", _of(stated, "cryonet:catalogue")),
        ("lineage", _of(stated, "processing:lineage")),
    ]
    rows += [("source", short_values(_mapping(one))) for one in stated.get("cryonet:sources") or ()]
    labels = _mapping(stated.get("cryonet:labels"))
    rows += [("labels", short_values(_mapping(one))) for one in labels.get("files") or ()]
    rows.append(("clean ice among labels", _of(labels, "rule_in_words")))
    held = [(name, text) for name, text in rows if text]
    if not any(name in ("terms", "license") for name, _ in held):
        held.append(("terms", "The scene states none."))
    return held


def short_values(told: Mapping[str, Any]) -> str:
    """Return the short values of a record in one line."""
    return ", ".join(
        f"{key} {value}" for key, value in told.items() if isinstance(value, (str, int, float))
    )


def command_of(files: PredictionFiles, scene: SceneUnder | None, bundles: Sequence[Path]) -> str:
    """Return the command that makes such a prediction, read off the passport.

    Names of folders that are not known stand in capitals.
    """
    attrs, settings = files.attrs, _mapping(files.passport.get("settings"))
    models = models_of(files.passport)
    names = [path.name for path in bundles]
    names += [f"BUNDLE-{n + 1}" if len(models) > 1 else "BUNDLE" for n in range(len(models))][
        len(names) :
    ]
    parts = ["cryonet", "predict", *names[:1], scene.path.name if scene else "SCENE"]
    parts.append(files.path.resolve().name)
    for name, default in (("device", "auto"), ("batch", 4), ("blend", "cosine")):
        if settings.get(name, default) != default:
            parts += [f"--{name}", str(settings[name])]
    if models and attrs.get("overlap") != models[0].get("overlap"):
        parts += ["--overlap", str(attrs.get("overlap"))]
    parts += ["--flips"] * bool(settings.get("flips"))
    parts += ["--uncalibrated"] * (settings.get("calibrated") is False)
    for name in names[1:]:
        parts += ["--with", name]
    return shlex.join(parts)


def _of(holder: Mapping[str, Any], key: str, form: str = "{}") -> str:
    value = holder.get(key)
    return "" if value is None or value == "" else form.format(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
