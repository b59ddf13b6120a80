"""Comparing models: means and spreads over runs, and paired differences over test blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryonet.metrics import class_scores

#: A figure of a confusion matrix.
Figure = Callable[[NDArray[np.int64]], float]


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation over runs (n − 1 in the divisor; NaN for one run)."""

    mean: float
    deviation: float
    runs: int

    def __str__(self) -> str:
        if self.runs == 0:
            return "–"
        return f"{self.mean:.3f}" if self.runs == 1 else f"{self.mean:.3f} ± {self.deviation:.3f}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference of two models, with the interval in which 95 % of its draws lie."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of the values that are defined."""
    known = np.array([v for v in values if v is not None and np.isfinite(v)], float)
    if not known.size:
        return Spread(float("nan"), float("nan"), 0)
    deviation = float(known.std(ddof=1)) if known.size > 1 else float("nan")
    return Spread(float(known.mean()), deviation, int(known.size))


def class_iou(code: int) -> Figure:
    """Return the figure that is the IoU of one class."""
    return lambda matrix: float(class_scores(matrix)["iou"][code])


def mean_iou_differences(
    first: Sequence[NDArray[np.int64]],
    second: Sequence[NDArray[np.int64]],
    *,
    places: Sequence[Sequence[object]],
    samples: int = 2000,
    seed: int = 0,
) -> list[Difference]:
    """Return how far `first` lies above `second` in IoU, as the mean over runs.

    Places, not pixels, are drawn with replacement (a percentile bootstrap), the same for both:
    pixels of a block are alike, and count together or not at all. A block that several runs were
    tested on is drawn for all of them or for none, so runs do not pass for more ground than
    there is. The runs themselves are not drawn: the interval says how far the difference
    hangs on the ground, for these seeds. A run without the class takes no part in its mean.

    Parameters
    ----------
    first, second
        For each run, confusion matrices ``(block, class, class)``, runs and blocks in the
        same order for both.
    places
        For each run, where its blocks lie: equal for the same ground.

    Returns
    -------
    One difference for each class, and at last that of their mean, the macro IoU.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap.
    """
    known = list(dict.fromkeys(place for run in places for place in run))
    rank = {place: number for number, place in enumerate(known)}
    generator = np.random.default_rng(seed)
    size = len(known)
    # The first row counts every place once: the difference itself.
    times = np.ones((samples + 1, size))
    for draw in range(1, samples + 1):
        times[draw] = np.bincount(generator.integers(size, size=size), minlength=size)
    differences = []
    for one, other, run in zip(first, second, places, strict=True):
        mine = times[:, [rank[place] for place in run]]
        differences.append(_ious(np.tensordot(mine, one, 1)) - _ious(np.tensordot(mine, other, 1)))
    found = []
    for values in _mean_of_defined(np.array(differences), axis=0).T:
        drawn = values[1:][np.isfinite(values[1:])]
        low, high = np.quantile(drawn, [0.025, 0.975]) if drawn.size else (np.nan, np.nan)
        found.append(Difference(float(values[0]), float(low), float(high)))
    return found


def _ious(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return IoU of each class and their mean ``(…, class + 1)`` of ``(…, class, class)``."""
    hits = np.diagonal(matrices, axis1=-2, axis2=-1)
    union = matrices.sum(axis=-1) + matrices.sum(axis=-2) - hits
    iou = np.divide(hits, union, out=np.full(hits.shape, np.nan), where=union > 0)
    every: list[NDArray[np.float64]] = [iou, _mean_of_defined(iou, axis=-1)[..., None]]
    return np.concatenate(every, axis=-1)


def _mean_of_defined(values: NDArray[np.float64], *, axis: int) -> NDArray[np.float64]:
    """Return the mean of the values that are not NaN; NaN where there are none."""
    known = np.isfinite(values)
    total, count = np.where(known, values, 0).sum(axis=axis), known.sum(axis=axis)
    mean: NDArray[np.float64] = np.divide(
        total, count, out=np.full(total.shape, np.nan), where=count > 0
    )
    return mean


def block_confusions(
    predicted: NDArray[np.integer],
    labels: NDArray[np.integer],
    mask: NDArray[np.bool_],
    *,
    block: int,
    classes: int,
) -> NDArray[np.int64]:
    """Return a confusion matrix ``(block, class, class)`` of each square block that counts.

    Pixels count where `mask` is true, the label is a class code and there is a prediction.
    Blocks without such a pixel are left out.
    """
    counted = mask & (labels < classes) & (predicted < classes)
    names, place = np.unique(_numbers(counted, block), return_inverse=True)
    joint = labels[counted].astype(np.int64) * classes + predicted[counted]
    flat = np.bincount(place * classes**2 + joint, minlength=len(names) * classes**2)
    return flat.reshape(len(names), classes, classes)


def block_numbers(
    predicted: NDArray[np.integer],
    labels: NDArray[np.integer],
    mask: NDArray[np.bool_],
    *,
    block: int,
    classes: int,
) -> NDArray[np.int64]:
    """Return the number of each block of `block_confusions`, counted row by row from 0."""
    counted = mask & (labels < classes) & (predicted < classes)
    return np.unique(_numbers(counted, block))


def _numbers(counted: NDArray[np.bool_], block: int) -> NDArray[np.int64]:
    rows, cols = np.nonzero(counted)
    across = -(-counted.shape[1] // block)
    numbers: NDArray[np.int64] = (rows // block) * across + cols // block
    return numbers
