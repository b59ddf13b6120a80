"""Comparing models: means and spreads over runs, and paired differences over test blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryonet.metrics import class_scores, macro_iou

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


def paired_difference(
    first: Sequence[NDArray[np.int64]],
    second: Sequence[NDArray[np.int64]],
    figure: Figure = macro_iou,
    *,
    samples: int = 2000,
    seed: int = 0,
) -> Difference:
    """Return how far `first` lies above `second` in a figure, on the same test blocks.

    Blocks, not pixels, are drawn with replacement (a percentile bootstrap): pixels of a block
    are alike, and count together or not at all. Both models see the same draws. The spread
    over seeds is in the interval only as far as several seeds' blocks are given.

    Parameters
    ----------
    first, second
        For each run, confusion matrices ``(block, class, class)``, runs and blocks in the
        same order for both.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap.
    """
    one, other = np.concatenate(list(first)), np.concatenate(list(second))
    generator = np.random.default_rng(seed)
    draws = []
    for _ in range(samples):
        picked = generator.integers(len(one), size=len(one))
        draws.append(figure(one[picked].sum(axis=0)) - figure(other[picked].sum(axis=0)))
    low, high = np.nanquantile(draws, [0.025, 0.975])
    whole = figure(one.sum(axis=0)) - figure(other.sum(axis=0))
    return Difference(float(whole), float(low), float(high))


def mean_difference(
    first: Sequence[NDArray[np.int64]],
    second: Sequence[NDArray[np.int64]],
    figure: Figure = macro_iou,
    *,
    places: Sequence[Sequence[object]],
    samples: int = 2000,
    seed: int = 0,
) -> Difference:
    """Return how far `first` lies above `second` in a figure, as the mean over runs.

    Places are drawn with replacement (a percentile bootstrap): a block that several runs were
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

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap.
    """
    known = list(dict.fromkeys(place for run in places for place in run))
    rank = {place: number for number, place in enumerate(known)}
    where = [np.array([rank[place] for place in run]) for run in places]

    def mean(times: NDArray[np.int64]) -> float:
        """Return the mean difference with each place counted `times`."""
        found = [
            figure(np.tensordot(times[at], one, 1)) - figure(np.tensordot(times[at], other, 1))
            for one, other, at in zip(first, second, where, strict=True)
        ]
        defined = [value for value in found if np.isfinite(value)]
        return float(np.mean(defined)) if defined else float("nan")

    generator = np.random.default_rng(seed)
    size = len(known)
    draws = np.array(
        [
            mean(np.bincount(generator.integers(size, size=size), minlength=size))
            for _ in range(samples)
        ]
    )
    whole = mean(np.ones(size, np.int64))
    if not np.isfinite(draws).any():
        return Difference(whole, float("nan"), float("nan"))
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Difference(whole, float(low), float(high))


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
