"""What families have in common: how far their layers tell the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


@dataclass(frozen=True, slots=True)
class Link:
    """The two layers of two families that go together most.

    Attributes
    ----------
    families, layers
        Their names.
    correlation
        The signed correlation whose size is the largest.
    kind
        ``Spearman`` or ``Pearson``: which of the two it is.
    """

    families: tuple[str, str]
    layers: tuple[str, str]
    correlation: float
    kind: str


@dataclass(frozen=True, slots=True)
class Shared:
    """What families have in common.

    Attributes
    ----------
    links
        One for each two families, the strongest first; NaN ones, of constant layers, are left
        out.
    told
        For each family the share of its layers' variance that a linear regression on all
        layers of the other families tells, mean over its layers.
    pixels
        That this was measured on.
    """

    links: tuple[Link, ...]
    told: dict[str, float]
    pixels: int

    def of(self, family: str) -> tuple[Link, ...]:
        """Return the links of a family, the strongest first."""
        return tuple(link for link in self.links if family in link.families)


def shared_information(
    image: NDArray[np.float32],
    valid: NDArray[np.bool_],
    layers: Sequence[str],
    families: Sequence[str],
    *,
    pixels: int = 20_000,
    seed: int = 0,
) -> Shared:
    """Return how far the layers of families tell the same over valid pixels.

    Parameters
    ----------
    image
        ``(layer, y, x)``.
    valid
        ``(y, x)``.
    layers, families
        Names of the layers, and of the family of each.
    pixels, seed
        Drawn at most, and from what.
    """
    places = np.flatnonzero(valid)
    if len(places) > pixels:
        places = np.random.default_rng(seed).choice(places, pixels, replace=False)
    values = np.array([layer.ravel()[places] for layer in image], np.float64)
    kinds = {"Spearman": _correlations(rankdata(values, axis=1)), "Pearson": _correlations(values)}
    member = {f: np.array([own == f for own in families]) for f in dict.fromkeys(families)}
    links = []
    for one, two in combinations(member, 2):
        best = None
        for kind, table in kinds.items():
            part = table[np.ix_(member[one], member[two])]
            if np.isnan(part).all():
                continue
            row, col = np.unravel_index(np.nanargmax(np.abs(part)), part.shape)
            found = float(part[row, col])
            if best is None or abs(found) > abs(best.correlation) + 1e-9:
                pair = (_names(layers, member[one])[row], _names(layers, member[two])[col])
                best = Link((one, two), pair, found, kind)
        if best is not None:
            links.append(best)
    told = {family: _told(values[mine], values[~mine]) for family, mine in member.items()}
    links.sort(key=lambda link: -abs(link.correlation))
    return Shared(tuple(links), told, len(places))


def _names(layers: Sequence[str], mask: NDArray[np.bool_]) -> list[str]:
    return [name for name, held in zip(layers, mask, strict=True) if held]


def _correlations(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlations of series ``(layer, pixel)``; NaN of constant ones."""
    found = values - values.mean(axis=1, keepdims=True) if values.size else values
    size = np.sqrt((found**2).sum(axis=1))
    # What is left of a constant by rounding is no variance.
    flat = np.ptp(values, axis=1) == 0 if values.size else np.ones(len(values), bool)
    found = found / np.where(flat, 1, size)[:, None]
    table: NDArray[np.float64] = found @ found.T
    table[flat], table[:, flat] = np.nan, np.nan
    return np.clip(table, -1, 1)


def _told(mine: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Return the mean R² of layers regressed on others; NaN with none, or constant ones."""
    if not len(others) or mine.shape[1] <= len(others) + 1:
        return float("nan")
    centred = (mine - mine.mean(axis=1, keepdims=True)).T
    given = (others - others.mean(axis=1, keepdims=True)).T
    varies = np.ptp(mine, axis=1) > 0
    if not varies.any():
        return float("nan")
    weights, *_ = np.linalg.lstsq(given, centred, rcond=None)
    left = ((centred - given @ weights) ** 2).sum(axis=0)[varies]
    return float(np.mean(1 - left / (centred**2).sum(axis=0)[varies]))
