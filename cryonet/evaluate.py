"""Score a map against labels: per class, overall, and in area."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.classes import CLASSES
from cryonet.grid import pixel_areas
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

    `confusion` has labels as rows, predictions as columns, in pixels.
    """

    classes: tuple[ClassScore, ...]
    macro_iou: float
    macro_iou_foreground: float
    micro_iou: float
    confusion: NDArray[np.int64]

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
    truth = labels if mask is None else np.where(mask, labels, 255)
    matrix = confusion(predicted, truth, len(classes))
    counted = (truth < len(classes)) & (predicted < len(classes))
    labelled = area_table(np.where(counted, truth, 255), geobox, classes=classes)
    mapped = area_table(np.where(counted, predicted, 255), geobox, classes=classes)
    values = class_scores(matrix)
    rows = tuple(
        ClassScore(
            name=name,
            labelled_km2=labelled[name],
            predicted_km2=mapped[name],
            **{key: float(column[code]) for key, column in values.items()},
        )
        for code, name in enumerate(classes)
    )
    return Scores(
        classes=rows,
        macro_iou=macro_iou(matrix),
        macro_iou_foreground=macro_iou(matrix, background=False),
        micro_iou=micro_iou(matrix),
        confusion=matrix,
    )
