"""Calibration: one temperature for the probabilities, and how far they are from shares.

A probability is calibrated when, of the pixels that get 0.8, eight in ten are right.

The temperature is applied to the probabilities that prediction has blended from windows
(and, if asked for, averaged over flips), as ``softmax(ln p / T)``, that is ``p^(1/T)``
brought to the sum one. Where one window lies over a pixel this is the temperature scaling of
logits of Guo et al. (2017), ``softmax(z / T)``. Where several do, dividing the logits of
each by T before the mean could let another class win; afterwards it cannot, so that a
calibrated map is the map. This place of T is our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from cryonet.errors import CryonetError
from cryonet.manifest import Calibration

#: Bins of the reliability table, as in Guo et al. (2017).
BINS = 15

#: Temperatures that are tried. A map without one wrong validation pixel would ask for 0, one
#: no better than chance for infinity: it gets the end. Our choice.
COLDEST, HOTTEST = 0.05, 100.0

#: Probabilities below the least normal float32 count as that; ln 0 would undo any other.
_LEAST = float(np.finfo(np.float32).tiny)

#: Values held in double precision at once.
_CHUNK = 4_000_000

Shares = NDArray[np.floating]
Codes = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often pixels of a given confidence are right, bin by bin.

    Attributes
    ----------
    counts
        Pixels of each bin, int64. Bin i of n holds confidences in (i/n, (i+1)/n], the first
        one 0 too.
    confidence, accuracy
        Mean confidence and share of right pixels of each bin, float64, NaN where empty.
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def ece(self) -> float:
        """The expected calibration error, 0 to 1: Σ n_b / n · |accuracy − confidence|.

        NaN without a pixel. Naeini et al. (2015); Guo et al. (2017).
        """
        filled = self.counts > 0
        if not filled.any():
            return float("nan")
        gaps = np.abs(self.accuracy[filled] - self.confidence[filled])
        return float((self.counts[filled] * gaps).sum() / self.counts.sum())


def temper(probabilities: Shares, temperature: float) -> NDArray[np.float32]:
    """Return probabilities at a temperature: ``p^(1/T)``, brought to the sum one.

    The order of the classes at a pixel stays, but for those that rounding makes equal.

    Parameters
    ----------
    probabilities
        ``(class, …)``, NaN where unknown, and so it stays.
    temperature
        Above 1 the probabilities become less sure, below 1 surer. At 1 they are as given.

    Returns
    -------
    NDArray
        Of the same shape, float32.

    Raises
    ------
    CryonetError
        If the temperature is not a number above zero.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise CryonetError("the temperature is out of range", temperature, "Give one above 0.")
    out = np.array(probabilities, np.float32, order="C")
    if temperature == 1:
        return out
    flat = out.reshape(len(out), -1)
    step = max(1, _CHUNK // len(out))
    for start in range(0, flat.shape[1], step):
        part = flat[:, start : start + step]
        logits = np.log(np.maximum(part.astype(np.float64), _LEAST)) / temperature
        part[:] = np.exp(logits - logsumexp(logits, axis=0))
    return out


def negative_log_likelihood(
    probabilities: Shares, labels: Codes, *, temperature: float = 1.0
) -> float:
    """Return the mean of −ln of the probability of the labelled class, nats a pixel.

    Parameters
    ----------
    probabilities
        ``(class, pixel)``, known everywhere.
    labels
        Class codes ``(pixel,)``.
    temperature
        At which it is taken; see `temper`.
    """
    total, step = 0.0, max(1, _CHUNK // len(probabilities))
    for start in range(0, len(labels), step):
        some = slice(start, start + step)
        part = np.maximum(probabilities[:, some].astype(np.float64), _LEAST)
        logits = np.log(part) / temperature
        mine = np.take_along_axis(logits, labels[some].astype(np.int64)[None], axis=0)[0]
        total += float((logsumexp(logits, axis=0) - mine).sum())
    return total / len(labels)


def fit_temperature(probabilities: Shares, labels: Codes) -> float:
    """Return the temperature with the least negative log-likelihood of the labels.

    The likelihood has one minimum along T, as it is convex in 1/T; it is sought on ln T.

    Parameters
    ----------
    probabilities
        ``(class, pixel)``, known everywhere, uncalibrated.
    labels
        Class codes ``(pixel,)`` of pixels the model was not trained on, nor is tested on.

    Raises
    ------
    CryonetError
        If there is no pixel.

    References
    ----------
    Guo et al. (2017), On calibration of modern neural networks, ICML.
    """
    if len(labels) == 0:
        raise CryonetError("there is nothing to calibrate with", 0, "Give labelled pixels.")
    ends = (float(np.log(COLDEST)), float(np.log(HOTTEST)))

    def loss(log_temperature: float) -> float:
        at = float(np.exp(log_temperature))
        return negative_log_likelihood(probabilities, labels, temperature=at)

    found = float(minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-7}).x)
    # A bounded search stops short of its ends, and may miss what changes nothing.
    best = min((found, *ends, 0.0), key=loss)
    return float(np.exp(best))


def reliability(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], *, bins: int = BINS
) -> Reliability:
    """Return the reliability table of confidences, in bins of equal width.

    Parameters
    ----------
    confidence
        Probability of what was said, 0 to 1, of any shape.
    right
        Whether it was so, of the same shape.
    """
    said = np.asarray(confidence, np.float64).ravel()
    place = np.clip(np.ceil(said * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    empty = np.full(bins, np.nan)
    mean = [
        np.divide(np.bincount(place, values, bins), counts, out=empty.copy(), where=counts > 0)
        for values in (said, np.asarray(right, np.float64).ravel())
    ]
    return Reliability(counts, mean[0], mean[1])


def pooled(tables: Sequence[Reliability]) -> Reliability:
    """Return the reliability table of the pixels of all `tables` together."""
    counts = np.sum([table.counts for table in tables], axis=0)
    means = []
    for name in ("confidence", "accuracy"):
        sums = [np.nan_to_num(getattr(table, name)) * table.counts for table in tables]
        empty = np.full(counts.shape, np.nan)
        means.append(np.divide(np.sum(sums, axis=0), counts, out=empty, where=counts > 0))
    return Reliability(counts, means[0], means[1])


def top_label(probabilities: Shares, labels: Codes, *, bins: int = BINS) -> Reliability:
    """Return how reliable the probability of the likeliest class is.

    Parameters
    ----------
    probabilities
        ``(class, pixel)``, known everywhere.
    labels
        Class codes ``(pixel,)``.
    """
    chosen = probabilities.argmax(axis=0)
    return reliability(probabilities.max(axis=0), chosen == labels, bins=bins)


def classwise_ece(probabilities: Shares, labels: Codes, *, bins: int = BINS) -> float:
    """Return the mean over the classes of the calibration error of each one's probability.

    All pixels count for every class, those where it is unlikely too. Arguments are those of
    `top_label`.

    References
    ----------
    Kull et al. (2019), Beyond temperature scaling, NeurIPS.
    """
    errors = [
        reliability(share, labels == code, bins=bins).ece
        for code, share in enumerate(probabilities)
    ]
    return float(np.mean(errors))


def calibrate(
    probabilities: Sequence[Shares], labels: Sequence[Codes], *, bins: int = BINS
) -> Calibration | None:
    """Return the calibration on validation pixels; None if none has a label.

    Parameters
    ----------
    probabilities
        For each scene ``(class, y, x)``, blended but uncalibrated, NaN where unknown.
    labels
        For each scene class codes ``(y, x)`` of its validation pixels, 255 elsewhere.
    """
    pairs = [labelled(shares, codes) for shares, codes in zip(probabilities, labels, strict=True)]
    shares = np.concatenate([pair[0] for pair in pairs], axis=1)
    codes = np.concatenate([pair[1] for pair in pairs])
    if codes.size == 0:
        return None
    temperature = fit_temperature(shares, codes)
    figures: dict[str, float] = {}
    for when, at in (("before", 1.0), ("after", temperature)):
        these = temper(shares, at)
        figures |= {
            f"nll_{when}": negative_log_likelihood(shares, codes, temperature=at),
            f"ece_{when}": top_label(these, codes, bins=bins).ece,
            f"classwise_ece_{when}": classwise_ece(these, codes, bins=bins),
        }
    return Calibration(
        temperature=temperature, split="validation", pixels=codes.size, bins=bins, **figures
    )


def labelled(probabilities: Shares, labels: Codes) -> tuple[Shares, Codes]:
    """Return ``(class, pixel)`` and ``(pixel,)`` where a label is a class and p is known."""
    counted = (labels < len(probabilities)) & np.isfinite(probabilities).all(axis=0)
    return probabilities[:, counted], labels[counted]
