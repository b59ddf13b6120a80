"""Deletion and insertion: what evidence does as layers go, or come, in order of importance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryonet.errors import ConfigError

#: From ``(mixture, layer)``, true where the layer is the scene's and not the baseline's, to the
#: evidence of each mixture.
Mixtures = Callable[[NDArray[np.bool_]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Curves:
    """Evidence after each layer or family is put to the baseline, or brought back.

    An order that tells what matters makes the deletion curve fall, and the insertion curve
    rise, sooner than a random one (Petsiuk et al. 2018, RISE; there by pixels).

    Attributes
    ----------
    order
        Names, the one that adds most to the difference from the baseline first.
    deletion, insertion
        Evidence, log-odds, after 0 … n of them were put to the baseline, or brought in.
    random
        ``(order, 0 … n)``: deletion in random orders.
    seed
        Those were drawn from.
    """

    order: tuple[str, ...]
    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    random: NDArray[np.float64]
    seed: int

    @property
    def value(self) -> float:
        """The evidence of the inputs."""
        return float(self.deletion[0])

    @property
    def base(self) -> float:
        """The evidence of the baseline."""
        return float(self.insertion[0])

    def as_share(self, evidence: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return evidence as a share of the difference: 0 at the baseline, 1 at the inputs.

        NaN if there is no difference.
        """
        size = self.value - self.base
        if size == 0:
            return np.full(evidence.shape, np.nan)
        found: NDArray[np.float64] = (evidence - self.base) / size
        return found

    def area(self, evidence: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the area under curves ``(…, 0 … n)`` of shares, n taken as 1 (trapezoids)."""
        shares = self.as_share(evidence)
        inner = shares[..., 1:-1].sum(axis=-1) + (shares[..., 0] + shares[..., -1]) / 2
        found: NDArray[np.float64] = inner / (shares.shape[-1] - 1)
        return found

    @property
    def deletion_area(self) -> float:
        """Under the deletion curve: the less, the better the order."""
        return float(self.area(self.deletion))

    @property
    def insertion_area(self) -> float:
        """Under the insertion curve: the more, the better the order."""
        return float(self.area(self.insertion))

    @property
    def random_areas(self) -> NDArray[np.float64]:
        """Under the curves of random orders, for deletion and insertion alike.

        Putting layers in is taking them out in the reverse order, seen backwards, so that the
        two areas have one distribution.
        """
        return self.area(self.random)


def importance_curves(
    mixtures: Mixtures,
    totals: Mapping[str, float],
    names: Sequence[str],
    *,
    orders: int = 10,
    seed: int = 0,
) -> Curves:
    """Return deletion and insertion curves of totals by layer or family.

    Parameters
    ----------
    mixtures
        Gives the evidence.
    totals
        Signed, by layer or family.
    names
        Of the layer or family of each input channel, in order.
    orders, seed
        Random orders to compare with, and what they are drawn from.

    Raises
    ------
    ConfigError
        If there are no orders, fewer than two totals, or they are not those of the channels.
    """
    if orders < 1:
        raise ConfigError("there is no random order to compare with", orders, "Give 1 or more.")
    if set(totals) != set(names) or len(totals) < 2:
        rule = "Give two or more, those of the input channels."
        raise ConfigError("the totals are not those of the layers", ", ".join(totals), rule)
    ends = mixtures(np.array([np.ones(len(names), bool), np.zeros(len(names), bool)]))
    sign = -1.0 if ends[0] < ends[1] else 1.0
    order = sorted(totals, key=lambda name: -sign * totals[name])
    generator = np.random.default_rng(seed)
    drawn = [order, *([order[k] for k in generator.permutation(len(order))] for _ in range(orders))]
    keep = np.concatenate([_without_first(row, names) for row in drawn])
    # Bringing in: the complement of taking out.
    found = mixtures(np.concatenate([keep, ~_without_first(order, names)]))
    curves = found.reshape(orders + 2, len(order) - 1)
    first, last = (np.full((len(curves), 1), end) for end in ends)
    whole = np.hstack([first, curves, last])
    whole[-1, [0, -1]] = ends[1], ends[0]
    return Curves(tuple(order), whole[0], whole[-1], whole[1:-1], seed)


def _without_first(order: Sequence[str], names: Sequence[str]) -> NDArray[np.bool_]:
    """Return mixtures without the first 1 … n − 1 of an order, ``(mixture, channel)``."""
    place = np.array([order.index(name) for name in names])
    return place[None] >= np.arange(1, len(order))[:, None]
