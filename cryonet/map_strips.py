"""Maps of a prediction, strip by strip: of one model, or the mean of several."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from cryonet.calibrate import temper
from cryonet.classes import NODATA
from cryonet.model_pass import ModelPass
from cryonet.progress import SILENT, Progress
from cryonet.stitch import Strip

#: Numbers that are mapped at once.
_PART = 2**16

#: Arrays by name: ``classes`` ``(y, x)`` uint8, 255 where missing; ``probabilities``
#: ``(class, y, x)``, ``confidence`` ``(y, x)`` and of several models ``disagreement``
#: ``(y, x)``, float32 and NaN where missing.
Maps = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class MapStrip:
    """Rows of a prediction.

    Attributes
    ----------
    top
        Their first row in the prediction.
    maps
        See `Maps`.
    filled
        For each model, at how many pixels it found each group of optional families missing.
    """

    top: int
    maps: Maps
    filled: tuple[dict[str, int], ...]


def map_strips(
    passes: Sequence[ModelPass], *, disagree: bool = False, progress: Progress = SILENT
) -> Iterator[MapStrip]:
    """Yield the maps of one model, or the mean of several, from the top down.

    Parameters
    ----------
    passes
        Of models with the same windows over the same scene.
    disagree
        Map where they disagree, too.
    """
    for parts in model_strips(passes, progress=progress):
        yield map_strip(parts, passes, disagree=disagree)


def model_strips(
    passes: Sequence[ModelPass], *, first: int = 0, ahead: int = 0, progress: Progress = SILENT
) -> Generator[tuple[Strip, ...]]:
    """Yield strips of every model side by side; see `cryonet.model_pass.ModelPass.strips`."""
    counts = [0] * len(passes)
    shares: list[Progress] = [_Share(progress, counts, number) for number in range(len(passes))]
    told = [progress] if len(passes) == 1 else shares
    each = [
        one.strips(first=first, ahead=ahead, progress=said)
        for one, said in zip(passes, told, strict=True)
    ]
    yield from zip(*each, strict=True)


def map_strip(
    parts: Sequence[Strip], passes: Sequence[ModelPass], *, disagree: bool = False
) -> MapStrip:
    """Return the maps of the same rows of one model, or the mean of several."""
    if disagree or len(parts) > 1:
        maps = _mean_maps(parts, passes, disagree=disagree)
    else:
        maps = maps_of(parts[0].values, temperature=passes[0].temperature)
    filled = tuple(one.inputs.filled(part.flags) for one, part in zip(passes, parts, strict=True))
    return MapStrip(parts[0].top, maps, filled)


def collect(strips: Iterator[MapStrip], geobox: GeoBox, classes: Sequence[str]) -> xr.Dataset:
    """Return strips as one prediction in memory; see `as_dataset`.

    Its attribute ``filled`` has the sums of what was filled, for each model.
    """
    whole: Maps = {}
    filled: list[dict[str, int]] = []
    for strip in strips:
        for name, values in strip.maps.items():
            if name not in whole:
                whole[name] = np.empty((*values.shape[:-2], *geobox.shape), values.dtype)
            whole[name][..., strip.top : strip.top + values.shape[-2], :] = values
        filled = add_filled(filled, strip.filled)
    return as_dataset(whole, geobox, classes).assign_attrs(filled=filled)


def add_filled(
    before: Sequence[dict[str, int]], more: Sequence[dict[str, int]]
) -> list[dict[str, int]]:
    """Return counts of filled pixels added up, for each model."""
    if not before:
        return [dict(counts) for counts in more]
    return [
        {group: count + new[group] for group, count in old.items()}
        for old, new in zip(before, more, strict=True)
    ]


def maps_of(probabilities: NDArray[np.float32], *, temperature: float = 1.0) -> Maps:
    """Return the maps of probabilities ``(class, y, x)``, NaN where missing.

    Probabilities and confidence are brought to `temperature` (`cryonet.calibrate.temper`).
    """
    shape = probabilities.shape[1:]
    codes, confidence = np.empty(shape, np.uint8), np.empty(shape, np.float32)
    shares = temper(probabilities, temperature)
    # In parts that stay in the cache.
    step = max(1, _PART // max(1, probabilities[:, :1].size))
    for top in range(0, shape[0], step):
        part = (slice(None), slice(top, top + step))
        # The classes come first: rounding may make two tempered probabilities equal.
        codes[part[1:]] = _likeliest(probabilities[part])
        confidence[part[1:]] = _confidence(shares[part])
    return {"classes": codes, "probabilities": shares, "confidence": confidence}


def _likeliest(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the first class with the largest probability; `NODATA` where one is missing."""
    best = probabilities[0].copy()
    codes = np.zeros(best.shape, np.uint8)
    for code, shares in enumerate(probabilities[1:], start=1):
        codes[shares > best] = code
        np.maximum(best, shares, out=best)
    # A maximum with NaN is NaN.
    codes[np.isnan(best)] = NODATA
    return codes


def _confidence(shares: NDArray[np.float32]) -> NDArray[np.float32]:
    # The logarithm of the smallest number is finite, and 0 of it is 0.
    logs = np.log(np.maximum(shares, np.finfo(np.float32).tiny))
    entropy = -(shares * logs).sum(axis=0)
    found: NDArray[np.float32] = (1 - entropy / np.log(len(shares))).astype(np.float32)
    return found


def as_dataset(maps: Maps, geobox: GeoBox, classes: Sequence[str]) -> xr.Dataset:
    """Return maps as a dataset on their grid, with the names of the classes."""
    layers = {
        name: wrap_xr(values, geobox, nodata=NODATA if name == "classes" else None)
        for name, values in maps.items()
        if name != "probabilities"
    }
    shares = wrap_xr(maps["probabilities"], geobox, axis=1, dims=("class", "y", "x"))
    return xr.Dataset({**layers, "probabilities": shares.assign_coords({"class": list(classes)})})


def as_prediction(
    probabilities: NDArray[np.float32],
    geobox: GeoBox,
    classes: Sequence[str],
    *,
    temperature: float = 1.0,
) -> xr.Dataset:
    """Return the dataset of the maps of probabilities ``(class, y, x)``; see `maps_of`."""
    return as_dataset(maps_of(probabilities, temperature=temperature), geobox, classes)


def _mean_maps(parts: Sequence[Strip], passes: Sequence[ModelPass], *, disagree: bool) -> Maps:
    """Return the maps of the mean of several models, each at its own temperature."""
    total = np.zeros(parts[0].values.shape)
    entropies = np.zeros(total.shape[1:])
    for part, one in zip(parts, passes, strict=True):
        shares = temper(part.values, one.temperature).astype(np.float64)
        total += shares
        entropies += entropy_of(shares)
    mean = total / len(parts)
    maps = maps_of(mean.astype(np.float32))
    if disagree:
        maps["disagreement"] = disagreement_of(mean, entropies / len(parts))
    return maps


def entropy_of(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy of probabilities ``(class, y, x)`` over the classes, in nats.

    NaN where one is NaN; a probability of 0 adds nothing.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(probabilities == 0, 0.0, probabilities * np.log(probabilities))
    found: NDArray[np.float64] = -parts.sum(axis=0)
    return found


def disagreement_of(
    mean: NDArray[np.float64], mean_entropy: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return how far members disagree at each pixel, 0 to 1: their mutual information.

    It is the entropy of the mean less the mean of the entropies, divided by ln n of n classes as
    the confidence is: the information that a pixel's class carries about which member was asked.
    It is 0 where all say the same, however unsure they are, and at most ln m / ln n of m members.

    Parameters
    ----------
    mean
        Mean of the members' probabilities, ``(class, y, x)``.
    mean_entropy
        Mean of their entropies ``(y, x)``, nats.

    References
    ----------
    Houlsby et al. (2011), Bayesian active learning for classification and preference learning;
    Depeweg et al. (2018), Decomposition of uncertainty in Bayesian deep learning, ICML.
    """
    # Never below zero but for rounding.
    gap = np.maximum(entropy_of(mean) - mean_entropy, 0.0)
    share: NDArray[np.float32] = (gap / np.log(len(mean))).astype(np.float32)
    return share


class _Share:
    """Progress of one model among several that go on side by side."""

    def __init__(self, progress: Progress, counts: list[int], number: int) -> None:
        self._progress, self._counts, self._number = progress, counts, number

    def step(self, done: int, total: int, message: str = "") -> None:
        self._counts[self._number] = done
        said = f"model {self._number + 1} of {len(self._counts)}, {message}"
        self._progress.step(sum(self._counts), total * len(self._counts), said)
