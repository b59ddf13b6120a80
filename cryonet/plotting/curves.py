"""Deletion and insertion: what becomes of the evidence as layers go, or come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike, NDArray

from cryonet.errors import CryonetError
from cryonet.plotting.frame import axes_of

#: Of deletion and insertion, after Okabe and Ito (2008); the lines differ in kind as well.
_DELETION, _INSERTION, _RANDOM = "#d55e00", "#0072b2", "#777777"


def plot_curves(
    deletion: ArrayLike,
    insertion: ArrayLike,
    random: ArrayLike | None = None,
    *,
    shares: Sequence[float] | None = None,
    unit: str = "evidence, log-odds",
    ax: Axes | None = None,
) -> Axes:
    """Return the Axes with the curves of deletion and of insertion; the legend has their areas.

    Where an order by importance means something, deletion falls at once and lies below the
    random orders, and insertion rises at once. An area is the mean of a curve over the share.

    Parameters
    ----------
    deletion, insertion
        The evidence ``(step,)`` as more and more is taken from the inputs, the most important
        first, and as as much is put into the baseline.
    random
        ``(order, step)``: deletion in random orders. Their range is shown, and their mean.
    shares
        The share of the whole at each step, 0 to 1; equal steps by default.

    Raises
    ------
    CryonetError
        If the curves differ in length, or have fewer than two steps.
    """
    gone, come = (np.asarray(curve, float) for curve in (deletion, insertion))
    across = np.linspace(0, 1, gone.size) if shares is None else np.asarray(shares, float)
    chance = None if random is None else np.atleast_2d(np.asarray(random, float))
    sizes = {gone.size, come.size, across.size} | (set() if chance is None else {chance.shape[-1]})
    if len(sizes) > 1 or across.size < 2:
        shown = ", ".join(map(str, sorted(sizes)))
        raise CryonetError("the curves do not fit each other", shown, "Give as many steps of each.")
    ax = axes_of(ax, (5.2, 3.6))
    if chance is not None:
        middle = chance.mean(axis=0)
        ax.fill_between(
            across, chance.min(axis=0), chance.max(axis=0), color=_RANDOM, alpha=0.2, linewidth=0
        )
        ax.plot(
            across,
            middle,
            ":",
            color=_RANDOM,
            label=f"taken away in random order, area {_figure(area(across, middle))}",
        )
    for curve, line, colour, words in (
        (gone, "-o", _DELETION, "deletion: the strongest taken away first"),
        (come, "--s", _INSERTION, "insertion: the strongest put in first"),
    ):
        label = f"{words}, area {_figure(area(across, curve))}"
        ax.plot(across, curve, line, color=colour, markersize=3.5, label=label)
    ax.set(xlabel="share taken away, or put in", ylabel=unit, xlim=(0, 1))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.grid(color="#e5e5e5")
    ax.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    return ax


def area(shares: NDArray[np.float64], curve: NDArray[np.float64]) -> float:
    """Return the mean of a curve over the share, by the trapezoidal rule."""
    return float(np.trapezoid(curve, shares) / (shares[-1] - shares[0]))


def _figure(value: float) -> str:
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
