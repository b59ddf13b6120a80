"""Sections of a model card: what was measured of the model, and its limits, as Markdown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from cryonet.classes import CLASSES
from cryonet.manifest import Manifest, SceneRecord
from cryonet.measured import FamilyFigures, Measured, SceneFigures

RELIABILITY, FAILURES = "reliability.png", "failures.png"

#: The pictures of a card, with what they show.
PICTURES = {
    RELIABILITY: "How often pixels of a given probability are right",
    FAILURES: "Where the map fails: picture, label, map and confidence of a block in each row",
}

_SPLITS = {
    "test": "test pixels of a training scene",
    "validation": "validation pixels of a training scene, by which the epoch and the "
    "temperature were chosen",
    "all": "a scene the model was not trained on",
}


def figure(value: float | None) -> str:
    """Return a figure as the card writes it; a dash if it is undefined."""
    return "–" if value is None else f"{value:.3f}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def measured_sections(manifest: Manifest, *, pictures: Collection[str] = ()) -> str:
    """Return what was measured: scores, calibration, families, failures.

    Parameters
    ----------
    pictures
        Names of the picture files that lie beside the card.
    """
    found = manifest.measured
    if found is None:
        return "## Measured on labelled scenes\n\nNothing as yet: see `cryonet card`."
    parts = [
        _scores(found),
        _calibration(found, pictures),
        _families(manifest, found),
        _failures(found, pictures),
    ]
    return "\n\n".join(part for part in parts if part)


def _scores(found: Measured) -> str:
    rows = [
        (
            scene.scene,
            scene.split,
            row.name,
            figure(row.iou),
            figure(row.precision),
            figure(row.recall),
            f"{row.labelled:,}",
        )
        for scene in found.scenes
        for row in scene.classes
    ]
    heads = ("scene", "pixels", "class", "IoU", "precision", "recall", "labelled")
    about = "\n".join(f"- {_about(scene)}" for scene in found.scenes)
    return f"""## Measured on labelled scenes

Measured {found.created}. Each pixel counts once; a dash stands for a score that is undefined.

{about}

{table(heads, rows)}"""


def _about(scene: SceneFigures) -> str:
    kind = "synthetic" if scene.synthetic else "measured"
    lacks = f", without {', '.join(scene.missing)}" if scene.missing else ""
    return (
        f"{scene.scene}: {kind}, {_place(scene.datetime, scene.bbox)}{lacks}; "
        f"{scene.pixels:,} pixels, {_SPLITS[scene.split]}; mean IoU {figure(scene.macro_iou)}"
    )


def _place(moment: str, bbox: tuple[float, float, float, float] | None) -> str:
    day = moment[:10] or "date not recorded"
    if bbox is None:
        return f"{day}, place not recorded"
    west, south, east, north = bbox
    return f"{day}, {_degrees(south, north, 'SN')}, {_degrees(west, east, 'WE')}"


def _degrees(low: float, high: float, sides: str) -> str:
    ends = (f"{abs(value):.2f}° {sides[value >= 0]}" for value in (low, high))
    return " to ".join(ends)


def _picture(name: str, pictures: Collection[str]) -> str:
    return f"\n\n![{PICTURES[name]}](./{name})" if name in pictures else ""


def _calibration(found: Measured, pictures: Collection[str]) -> str:
    rows = [
        (
            "as the model gives them" if row.temperature == 1 else "calibrated",
            figure(row.temperature),
            figure(row.ece),
            figure(row.classwise_ece),
        )
        for row in found.probabilities
    ]
    heads = ("probabilities", "temperature", "error of the likeliest class", "mean of classes")
    return f"""## Calibration on these pixels

{table(heads, rows)}

The error is the expected calibration error of 15 bins.{_picture(RELIABILITY, pictures)}"""


def _families(manifest: Manifest, found: Measured) -> str:
    if len(found.families) < 2:
        return ""
    rows = [
        (_without(row), *(figure(value) for value in row.iou), figure(row.macro_iou))
        for row in found.families
    ]
    return f"""## Without a family of layers

IoU on the same pixels when the layers of a family are set to their training mean.
"(trained for)" marks what the model was trained to do without; for the others the figure tells
how far this model leans on them, not what a model trained without them would reach.

{table(("without", *manifest.classes, "mean"), rows)}"""


def _without(row: FamilyFigures) -> str:
    named = ", ".join(row.without) or "nothing"
    return f"{named} (trained for)" if row.optional else named


def _failures(found: Measured, pictures: Collection[str]) -> str:
    if not found.failures:
        return ""
    titles = {entry.name: entry.title for entry in CLASSES}
    lines = "\n".join(
        f"- {row.scene}, row {row.row}, column {row.col}, {row.height} × {row.width} pixels: "
        f"{row.wrong / row.pixels:.0%} of {row.pixels:,} scored pixels are wrong; most often "
        f"{titles[row.labelled]} is mapped as {titles[row.mapped]} ({row.confused:,} pixels)"
        for row in found.failures
    )
    return f"""## Where it fails

The blocks with the largest share of wrong pixels, worst first:

{lines}{_picture(FAILURES, pictures)}"""


def limits(manifest: Manifest) -> str:
    """Return the limits: what it was trained on, and what it was not tested on."""
    training = manifest.training
    scenes = "\n".join(f"- {_trained_on(scene)}" for scene in training.scenes)
    kind = (
        "At least one of these scenes is synthetic: generated, not measured. Scores on synthetic\n"
        "scenes say nothing of real glaciers."
        if manifest.synthetic
        else "They are real scenes."
    )
    return f"""## Limits

Trained on:

{scenes or "- no recorded scene"}

{kind} Elsewhere, in other seasons, or with imagery
processed differently, its scores are unknown. It takes scenes of {manifest.resolution:g} m within
{manifest.resolution_tolerance:.0%}, and knows these classes: {", ".join(manifest.classes)}.
{_untested(manifest)}

Debris-covered ice is the hardest class; experts themselves differ there by up to 30 % of area
(Paul et al. 2013)."""


def _trained_on(scene: SceneRecord) -> str:
    kind = "synthetic" if scene.synthetic else "real"
    return f"{scene.id}: {kind}, {_place(scene.datetime, scene.bbox)}"


def _untested(manifest: Manifest) -> str:
    found = manifest.measured
    lacking = [c.title for c in CLASSES if c.name not in manifest.classes]
    said = [f"It cannot map {', '.join(lacking)}."] if lacking else []
    if found is None:
        return " ".join([*said, "It was not tested."])
    seen = {row.name for scene in found.scenes for row in scene.classes if row.labelled}
    untested = [name for name in manifest.classes if name not in seen]
    if untested:
        said.append(f"Not tested, as no scored pixel is labelled so: {', '.join(untested)}.")
    if all(scene.split != "all" for scene in found.scenes):
        said.append("It was not tested on a scene it was not trained on.")
    if all(scene.split == "validation" for scene in found.scenes):
        said.append("No pixel was held out for test: its scores flatter it.")
    if all(scene.synthetic for scene in found.scenes):
        said.append("It was not tested on a real scene.")
    days = {scene.datetime[:10] for scene in found.scenes if scene.datetime}
    if len(days) < 2:
        said.append("It was not tested on a second date.")
    return "\n".join(said)
