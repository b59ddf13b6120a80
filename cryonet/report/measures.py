"""The figures of a report, from every pixel of the files, strip by strip."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cryonet.areas import AreaEstimate, AreaTally
from cryonet.calibrate import Reliability, labelled, pooled, reliability, top_label
from cryonet.chips import SPLITS
from cryonet.classes import NODATA
from cryonet.confidence import ConfidenceShares, ConfidenceTally
from cryonet.errors import CryonetError
from cryonet.evaluate import ProbabilityScore, Scores, ScoreTally
from cryonet.grid import Window
from cryonet.hypsometry import Hypsometry, HypsometryTally
from cryonet.passport import seen_codes
from cryonet.prediction_files import PredictionFiles, PredictionStrip
from cryonet.progress import SILENT, Progress
from cryonet.report.hand import HandAreas, HandScored, HandTally
from cryonet.report.origins import SceneUnder
from cryonet.scene_files import SceneFiles

#: Of which pixels scores are, by the split that they were of in training.
KINDS = {
    "unseen": "The model was not trained on this scene: all its labels are a test.",
    "test": "Pixels held out for testing in training: a test.",
    "validation": "Pixels by which the epoch and the temperature were chosen: not a test.",
    "train": "Pixels that the model was trained on: not a test.",
    "unknown": "Not known whether the model was trained on these pixels: not a test.",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of a prediction.

    Attributes
    ----------
    mapped, pixels
        How many pixels have a class, and how many there are.
    areas
        Of all pixels with a class; those set by hand are certain, see `cryonet.corrections.settle`.
    confidence
        The model's, by the classes that it gave itself.
    hypsometry
        None without elevation.
    scores
        By kind of `KINDS`; empty without labels. Of the classes with the corrections, and of the
        model's own probabilities.
    doubt
        Why it is not known which pixels training had seen; empty if it is.
    hand, hand_scored
        What was set by hand, and what that does to the scores, by kind; None and empty if the
        prediction was not corrected.
    """

    mapped: int
    pixels: int
    areas: tuple[AreaEstimate, ...]
    confidence: ConfidenceShares
    hypsometry: Hypsometry | None
    scores: Mapping[str, Scores]
    doubt: str
    hand: HandAreas | None = None
    hand_scored: Mapping[str, HandScored] = field(default_factory=dict)


def measure(
    files: PredictionFiles,
    scene: SceneUnder | None,
    *,
    temperature: float = 1.0,
    correlation: float,
    buffer: float,
    progress: Progress = SILENT,
) -> Figures:
    """Return the figures of a prediction, all pixels read once, some rows at a time.

    Parameters
    ----------
    scene
        For elevation and labels, if there is one.
    temperature
        To which the probabilities were brought.
    correlation, buffer
        In metres and pixels; see `cryonet.areas`.
    """
    held = scene.names & {"elevation", "labels"} if scene else frozenset()
    splits, doubt = _splits(files, scene) if scene and "labels" in held else ({}, "")
    grid, names = files.geobox, files.classes
    areas = AreaTally(grid, classes=names, correlation=correlation, buffer=buffer)
    confidence = ConfidenceTally(grid, classes=names)
    relief = HypsometryTally(grid, classes=names) if "elevation" in held else None
    hand = HandTally(grid, classes=names) if files.corrected else None
    tallies = {kind: _Scoring(files, temperature) for kind in splits}
    height, mapped = int(grid.shape[0]), 0
    with ExitStack() as stack:
        opened = stack.enter_context(SceneFiles(scene.path)) if scene and held else None
        for strip in files.strips():
            progress.step(strip.window.row, height, "measuring")
            mapped += int((strip.codes < len(names)).sum())
            areas.add(strip.codes, strip.settled)
            confidence.add(strip.model_codes, strip.confidence)
            if hand is not None:
                hand.add(strip)
            under = scene.read(opened, sorted(held), strip.window) if scene and opened else {}
            if relief is not None:
                relief.add(strip.codes, under["elevation"])
            for kind, tally in tallies.items():
                tally.add(strip, _of_split(under["labels"], splits[kind], strip.window))
    progress.step(height, height, "measured")
    tallies = {kind: tally for kind, tally in tallies.items() if tally.scores().confusion.any()}
    return Figures(
        mapped=mapped,
        pixels=height * int(grid.shape[1]),
        areas=areas.estimates(),
        confidence=confidence.shares(),
        hypsometry=relief.hypsometry() if relief else None,
        scores={kind: tally.scores() for kind, tally in tallies.items()},
        doubt=doubt,
        hand=hand.areas() if hand else None,
        hand_scored={kind: t.of_hand() for kind, t in tallies.items()} if hand else {},
    )


def _splits(
    files: PredictionFiles, scene: SceneUnder
) -> tuple[dict[str, NDArray[np.bool_] | None], str]:
    """Return the pixels of each kind of `KINDS`, None for all; and why that is not known."""
    try:
        codes = seen_codes(files.passport, scene.shape)
    except CryonetError as error:
        return {"unknown": None}, str(error)
    except (KeyError, TypeError, ValueError):
        return {"unknown": None}, "The passport does not hold how the model was trained."
    if codes is None:
        return {"unseen": None}, ""
    part = codes[scene.window.slices]
    return {kind: part == SPLITS[kind] for kind in ("test", "validation", "train")}, ""


def _of_split(
    labels: NDArray[np.uint8], mask: NDArray[np.bool_] | None, rows: Window
) -> NDArray[np.uint8]:
    return labels if mask is None else np.where(mask[rows.slices], labels, NODATA).astype(np.uint8)


class _Scoring:
    """Scores of one kind of pixels, of classes and of probabilities, from the top down."""

    def __init__(self, files: PredictionFiles, temperature: float) -> None:
        self._tally, self._model = (
            ScoreTally(files.geobox, classes=files.classes) for _ in range(2)
        )
        self._corrected, self._count, self._hand = files.corrected, len(files.classes), 0
        self._temperature = temperature
        self._top: list[Reliability] = []
        self._each: list[list[Reliability]] = []

    def add(self, strip: PredictionStrip, labels: NDArray[np.uint8]) -> None:
        self._tally.add(strip.codes, labels)
        if self._corrected:
            self._model.add(strip.model_codes, labels)
            self._hand += int((strip.hand & (labels < self._count)).sum())
        shares, codes = labelled(strip.probabilities, labels)
        self._top.append(top_label(shares, codes))
        self._each.append([reliability(row, codes == n) for n, row in enumerate(shares)])

    def scores(self) -> Scores:
        each = [pooled(tables).ece for tables in zip(*self._each, strict=True)]
        found = ProbabilityScore(self._temperature, float(np.mean(each)), pooled(self._top))
        return replace(self._tally.scores(), probabilities=(found,))

    def of_hand(self) -> HandScored:
        return HandScored(self._hand, self._model.scores())
