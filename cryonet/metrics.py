"""Scores from a confusion matrix; every pixel counts once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cryonet.errors import CryonetError


def confusion(
    predicted: NDArray[np.integer], labels: NDArray[np.integer], classes: int
) -> NDArray[np.int64]:
    """Return the confusion matrix: rows are labels, columns predictions, in pixels.

    Pixels whose label is not a class code, or that have no prediction, do not count.

    Parameters
    ----------
    predicted, labels
        Class codes of one shape; codes of `classes` and above mean none.
    """
    if predicted.shape != labels.shape:
        raise CryonetError(
            "prediction and labels differ in shape",
            f"{predicted.shape} / {labels.shape}",
            "Bring both to one grid first.",
        )
    counted = (labels < classes) & (predicted < classes)
    joint = labels[counted].astype(np.int64) * classes + predicted[counted]
    return np.bincount(joint, minlength=classes**2).reshape(classes, classes)


def _ratio(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = np.divide(
        top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0
    )
    return ratio


def class_scores(matrix: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return IoU, precision, recall and F1 of each class; NaN where 0/0.

    A class that is neither labelled nor predicted has no score. Recall of a class with no
    label, and precision of one never predicted, are undefined.

    References
    ----------
    Jaccard (1912) for IoU; Dice (1945) for F1.
    """
    hit = np.diag(matrix).astype("float64")
    labelled, predicted = matrix.sum(axis=1) * 1.0, matrix.sum(axis=0) * 1.0
    return {
        "iou": _ratio(hit, labelled + predicted - hit),
        "precision": _ratio(hit, predicted),
        "recall": _ratio(hit, labelled),
        "f1": _ratio(2 * hit, labelled + predicted),
    }


def macro_iou(matrix: NDArray[np.int64], *, background: bool = True) -> float:
    """Return the mean IoU over the classes that occur, with or without class 0."""
    iou = class_scores(matrix)["iou"][0 if background else 1 :]
    return float(np.nanmean(iou)) if np.isfinite(iou).any() else float("nan")


def micro_iou(matrix: NDArray[np.int64]) -> float:
    """Return the IoU of all classes pooled: Σ hits / (2 Σ pixels − Σ hits)."""
    hits, pixels = int(np.trace(matrix)), int(matrix.sum())
    return hits / (2 * pixels - hits) if pixels else float("nan")
