"""How outlines were made, in words for GLIMS: from the passport of a prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cryonet.glims_fields import DESCRIPTION, LONGEST

_END = f"All of it: {DESCRIPTION}."

#: What a reader of the polygons must know of our choices.
RULES = (
    "Line types: glac_bound runs round clean and debris-covered ice that is connected along edges "
    "of pixels; rock, ice of other glaciers and missing ground inside are holes. intrnl_rock "
    "draws the holes that are rock once more. debris_cov is the debris-covered part. supra_lake "
    "lies within the outline of the glaciers it touches with at least half its shore ice, and is "
    "a part of its glacier's glac_bound; pro_lake only touches one. These rules are choices of "
    "the software.",
    "Identifiers: glac_id is made of a point inside the outline; ids that GLIMS or the RGI "
    "gave the glaciers before were not looked up. rgi_match names the outline of an inventory that "
    "covers most of the glacier, rgi_overl their intersection over their union.",
    "area is that of the polygon, or for glac_bound of the whole glacier, km², in an equal-area "
    "projection; area_unc is the area within half a pixel of the outline.",
)


def describe_processing(
    passport: Mapping[str, Any], *, software: str, choices: Sequence[str]
) -> tuple[str, str]:
    """Return the whole description, and one that fits a field of a shapefile.

    The short one takes whole sentences, the most important first, and names the file of the
    whole; a sentence that does not fit is left out and stands there.

    Parameters
    ----------
    passport
        See `cryonet.prediction.read_passport`.
    software
        Name and version of what drew the outlines.
    choices
        What was chosen for this package, a sentence each.
    """
    prediction = passport.get("prediction", {})
    synthetic = bool(prediction.get("synthetic"))
    lead = ["SYNTHETIC: made of generated data, not of observations; not for the database."]
    models = passport.get("members") or ([passport["bundle"]] if "bundle" in passport else [])
    sentences = [
        *(lead if synthetic else []),
        f"Drawn by {software} from a predicted map of classes.",
        *(_model(model) for model in models),
        *_hand(passport),
        _settings(prediction, passport.get("settings", {})),
    ]
    whole = [*sentences, *(_layers(model) for model in models), *choices, *RULES]
    return "\n\n".join(whole) + "\n", _short(sentences)


def _short(sentences: Sequence[str]) -> str:
    text = ""
    for sentence in sentences:
        if len(f"{text}{sentence} {_END}".encode()) <= LONGEST:
            text += f"{sentence} "
    return text + _END


def _model(model: Mapping[str, Any]) -> str:
    kind = model["model"]
    parts = [str(kind["architecture"]), *([str(kind["encoder"])] if kind.get("encoder") else [])]
    return (
        f"Model {model['title']} ({', '.join(parts)}), {len(model['layers'])} layers, weights "
        f"{str(model['weights_sha256'])[:12]}."
    )


def _hand(passport: Mapping[str, Any]) -> list[str]:
    """Return what was corrected by hand afterwards."""
    rounds = passport.get("corrections", ())
    if not rounds:
        return []
    people = sorted({name for step in rounds for name in step["by"]})
    count = sum(step["polygons"] for step in rounds)
    pixels = passport["prediction"]["corrections"]["pixels"]
    noun = "polygon" if count == 1 else "polygons"
    return [f"Corrected by hand in {count} {noun} ({pixels} pixels) by {', '.join(people)}."]


def _settings(prediction: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    tile, overlap = prediction.get("tile"), prediction.get("overlap")
    told = []
    if tile:
        told.append(f"windows of {tile} pixels, overlap {float(overlap or 0):g}")
    if prediction.get("blend"):
        flips = "eight orientations" if prediction.get("flips") else "one orientation"
        told.append(f"{prediction['blend']} blend, {flips}")
    temperature = prediction.get("temperature")
    calibrated = settings.get("calibrated", temperature is not None)
    told.append(
        f"probabilities calibrated at temperature {float(temperature):.3f}"
        if calibrated and temperature is not None
        else "probabilities not calibrated"
    )
    return f"Scene {prediction.get('scene', 'unknown')}: {'; '.join(told)}."


def _layers(model: Mapping[str, Any]) -> str:
    names = ", ".join(str(layer["name"]) for layer in model["layers"])
    return f"Layers of {model['title']}: {names}."
