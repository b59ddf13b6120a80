"""Score a map against labels: per class, overall, in area, and its probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.areas import BUFFER, CORRELATION, AreaEstimate, estimate_areas
from cryonet.calibrate import BINS, Reliability, classwise_ece, labelled, temper, top_label
from cryonet.classes import CLASSES
from cryonet.corrections import settled_probabilities
from cryonet.grid import geobox_of, pixel_areas
from cryonet.metrics import class_scores, confusion, macro_iou, micro_iou


@dataclass(frozen=True, slots=True)
class ClassScore:
    """The scores of one class; areas in km² over the pixels that count."""

    name: str
    iou: float
    precision: float
    recall: float
    f1: float
    labelled_km2: float
    predicted_km2: float

    @property
    def area_error(self) -> float:
        """Predicted minus labelled area, as a share of the labelled; NaN with no label."""
        if self.labelled_km2 == 0:
            return float("nan")
        return self.predicted_km2 / self.labelled_km2 - 1


@dataclass(frozen=True, slots=True)
class Scores:
    """All scores of one map: a row a class, overall figures, the confusion matrix.

    `confusion` has labels as rows, predictions as columns, in pixels. `probabilities` and
    `areas` are empty where only classes were scored.
    """

    classes: tuple[ClassScore, ...]
    macro_iou: float
    macro_iou_foreground: float
    micro_iou: float
    confusion: NDArray[np.int64]
    probabilities: tuple[ProbabilityScore, ...] = ()
    areas: tuple[AreaEstimate, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; None where a score is undefined."""
        rows = []
        for row in self.classes:
            keys = ("iou", "precision", "recall", "f1", "labelled_km2", "predicted_km2")
            values = {key: _plain(getattr(row, key)) for key in (*keys, "area_error")}
            rows.append({"class": row.name, **values})
        return {
            "classes": rows,
            "macro_iou": _plain(self.macro_iou),
            "macro_iou_foreground": _plain(self.macro_iou_foreground),
            "micro_iou": _plain(self.micro_iou),
            "pixels": int(self.confusion.sum()),
            "confusion": self.confusion.tolist(),
            "probabilities": [row.to_dict() for row in self.probabilities],
            "areas_km2": [asdict(row) for row in self.areas],
        }


@dataclass(frozen=True, slots=True)
class ProbabilityScore:
    """How far probabilities are from the shares of right pixels.

    Attributes
    ----------
    temperature
        At which they are: 1 as the model gave them.
    classwise_ece
        See `cryonet.calibrate.classwise_ece`.
    table
        The reliability of the likeliest class; its `ece` is the expected calibration error.
    """

    temperature: float
    classwise_ece: float
    table: Reliability

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; None where a bin is empty."""
        return {
            "temperature": self.temperature,
            "ece": _plain(self.table.ece),
            "classwise_ece": _plain(self.classwise_ece),
            "pixels": self.table.counts.tolist(),
            "confidence": [_plain(value) for value in self.table.confidence],
            "accuracy": [_plain(value) for value in self.table.accuracy],
        }


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def area_table(
    codes: NDArray[np.integer], geobox: GeoBox, *, classes: Sequence[str] | None = None
) -> dict[str, float]:
    """Return the area of each class in km²."""
    names = list(classes) if classes is not None else [c.name for c in CLASSES]
    areas = pixel_areas(geobox)
    return {
        name: float((areas[:, 0] * (codes == code).sum(axis=1)).sum())
        for code, name in enumerate(names)
    }


def score(
    predicted: NDArray[np.integer],
    labels: NDArray[np.integer],
    geobox: GeoBox,
    *,
    classes: Sequence[str],
    mask: NDArray[np.bool_] | None = None,
) -> Scores:
    """Return the scores of a map against labels on the same grid.

    Parameters
    ----------
    predicted, labels
        Class codes ``(y, x)``; 255 where there is none, and such pixels do not count.
    mask
        Where to score; everywhere by default.

    Raises
    ------
    CryonetError
        If the two differ in shape.
    """
    tally = ScoreTally(geobox, classes=classes)
    tally.add(predicted, labels if mask is None else np.where(mask, labels, 255))
    return tally.scores()


class ScoreTally:
    """Scores of a map against labels, rows added from the top; see `score`."""

    def __init__(self, geobox: GeoBox, *, classes: Sequence[str]) -> None:
        self._geobox, self._classes, self._row = geobox, list(classes), 0
        self._matrix = np.zeros((len(self._classes), len(self._classes)), np.int64)
        self._labelled = dict.fromkeys(self._classes, 0.0)
        self._mapped = dict.fromkeys(self._classes, 0.0)

    def add(self, predicted: NDArray[np.integer], labels: NDArray[np.integer]) -> None:
        """Add rows ``(y, x)`` below those that were added before; 255 does not count."""
        names = self._classes
        self._matrix += confusion(predicted, labels, len(names))
        counted = (labels < len(names)) & (predicted < len(names))
        rows = self._geobox[self._row : self._row + len(predicted), :]
        for sums, codes in ((self._labelled, labels), (self._mapped, predicted)):
            table = area_table(np.where(counted, codes, 255), rows, classes=names)
            for name, area in table.items():
                sums[name] += area
        self._row += len(predicted)

    def scores(self) -> Scores:
        """Return the scores of the rows so far."""
        matrix = self._matrix
        values = class_scores(matrix)
        rows = tuple(
            ClassScore(
                name=name,
                labelled_km2=self._labelled[name],
                predicted_km2=self._mapped[name],
                **{key: float(column[code]) for key, column in values.items()},
            )
            for code, name in enumerate(self._classes)
        )
        return Scores(
            classes=rows,
            macro_iou=macro_iou(matrix),
            macro_iou_foreground=macro_iou(matrix, background=False),
            micro_iou=micro_iou(matrix),
            confusion=matrix,
        )


def score_probabilities(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    temperature: float = 1.0,
    mask: NDArray[np.bool_] | None = None,
    bins: int = BINS,
) -> tuple[ProbabilityScore, ...]:
    """Return how reliable probabilities are: as the model gave them, then as calibrated.

    Parameters
    ----------
    probabilities
        ``(class, y, x)``, NaN where unknown. A written prediction has them in steps of 1/250,
        so that an error of some thousandths is its own.
    labels
        Class codes ``(y, x)``; 255 where there is none.
    temperature
        That they were brought to. At 1 they are uncalibrated, and there is one score, not two.
    mask
        Where to score; everywhere by default.

    Returns
    -------
    tuple
        Empty if no pixel counts.
    """
    truth = labels if mask is None else np.where(mask, labels, 255)
    shares, codes = labelled(probabilities, truth)
    if codes.size == 0:
        return ()
    both = [(1.0, temper(shares, 1 / temperature)), (temperature, shares)]
    return tuple(
        ProbabilityScore(
            at, classwise_ece(these, codes, bins=bins), top_label(these, codes, bins=bins)
        )
        for at, these in (both if temperature != 1 else both[1:])
    )


def score_prediction(
    prediction: xr.Dataset,
    labels: NDArray[np.integer],
    *,
    mask: NDArray[np.bool_] | None = None,
    correlation: float = CORRELATION,
    buffer: float = BUFFER,
) -> Scores:
    """Return the scores of a prediction's classes, probabilities and areas.

    Areas are those of the labelled pixels that count, so that they compare with the labelled.
    Of a corrected prediction classes and areas are those with the corrections, and the
    probabilities that are scored the model's own.

    Parameters
    ----------
    prediction
        As `cryonet.predict.predict_scene` returns it; its attribute ``temperature`` is that of
        its probabilities, 1 if there is none.
    labels
        Class codes ``(y, x)`` on its grid; 255 where there is none.
    mask
        Where to score; everywhere by default.
    correlation, buffer
        In metres and pixels; see `cryonet.areas`.

    Raises
    ------
    CryonetError
        If the two differ in shape, or `correlation` or `buffer` is out of range.
    """
    geobox = geobox_of(prediction)
    names = [str(name) for name in prediction["class"].values]
    codes = np.asarray(prediction["classes"].values)
    shares = np.asarray(prediction["probabilities"].values)
    scores = score(codes, labels, geobox, classes=names, mask=mask)
    counted = labels < len(names)
    return replace(
        scores,
        probabilities=score_probabilities(
            shares, labels, temperature=float(prediction.attrs.get("temperature", 1)), mask=mask
        ),
        areas=estimate_areas(
            codes,
            settled_probabilities(prediction),
            geobox,
            classes=names,
            mask=counted if mask is None else counted & mask,
            correlation=correlation,
            buffer=buffer,
        ),
    )
