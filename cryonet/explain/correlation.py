"""Rank correlation, of attributions among other things."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from cryonet.explain.attribution import Attribution

#: Values of attribution maps that are ranked, at most: every so many of more.
MOST = 1_000_000


def pearson(first: ArrayLike, second: ArrayLike) -> float:
    """Return the correlation of two series; NaN if one is constant or they are under two."""
    one, two = (np.asarray(v, np.float64).ravel() for v in (first, second))
    one, two = one - one.mean() if one.size else one, two - two.mean() if two.size else two
    size = float(np.sqrt((one @ one) * (two @ two)))
    return float(np.clip(one @ two / size, -1, 1)) if one.size > 1 and size > 0 else float("nan")


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Return the rank correlation of two series, ties at their mean rank (Spearman 1904).

    NaN if one is constant, or there are under two values.
    """
    return pearson(rankdata(np.asarray(first).ravel()), rankdata(np.asarray(second).ravel()))


def totals_agree(
    first: Mapping[str, float], second: Mapping[str, float], *, sign: bool = True
) -> float:
    """Return the rank correlation of totals by name.

    Names that are 0 in both, as missing layers are, say nothing and are left out.

    Parameters
    ----------
    sign
        Rank the totals themselves; else their sizes, for how much a layer counts either way.
    """
    names = [n for n in first if n in second and (first[n] != 0 or second[n] != 0)]
    pairs = np.array([(first[n], second[n]) for n in names]).reshape(-1, 2)
    return spearman(*(pairs if sign else np.abs(pairs)).T)


def agreement(first: Attribution, second: Attribution) -> dict[str, float]:
    """Return how two attributions of the same layers agree, as rank correlations.

    Of ``families`` and, where both have them, of ``layers`` and ``maps``; with ``, size`` of
    the sizes without signs. NaN where there is nothing to rank.
    """
    found = {}
    for name, one, two in (
        ("families", first.by_family, second.by_family),
        ("layers", first.by_layer, second.by_layer),
    ):
        if one and two:
            found[name] = totals_agree(one, two)
            found[f"{name}, size"] = totals_agree(one, two, sign=False)
    if first.maps is not None and second.maps is not None:
        pair = [
            np.asarray(one.maps.values).ravel() for one in (first, second) if one.maps is not None
        ]
        every = max(1, pair[0].size // MOST)
        both = np.stack([values[::every] for values in pair])
        both = both[:, (both != 0).any(axis=0)]
        found["maps"] = spearman(*both)
        found["maps, size"] = spearman(*np.abs(both))
    return found
