"""What each family and layer adds to the evidence: signed bars, and a waterfall."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cryonet.explain.attribution import Attribution
from cryonet.explain.words import (
    asked,
    completeness,
    digits_of,
    family_title,
    how,
    layer_title,
    ranked,
    signed,
    signs,
)
from cryonet.plotting.frame import axes_of

#: Colours of what adds and what speaks against: of ColorBrewer's PiYG, which colour-blind eyes
#: tell apart, by lightness as well. The maps have that scale too; no layer is drawn in it.
ADDS, AGAINST = "#7fbc41", "#8e0152"

#: Of what is not shared out, and of the evidence itself.
_REST, _WHOLE = "#b0b0b0", "#4d4d4d"

#: Layers shown under a family, and letters in a line of a title.
LAYERS_SHOWN, _LETTERS = 3, 74

#: What the waterfall calls what the shares miss.
_MISSED = "not shared out"


def plot_families(
    attribution: Attribution, *, layers: int = LAYERS_SHOWN, ax: Axes | None = None
) -> Axes:
    """Return the Axes with a bar a family, and under it thinner ones of its strongest layers.

    Bars to the right add to the class, to the left they speak against it; each ends in its
    number with its sign. Families stand by size, layers in their family likewise.

    Parameters
    ----------
    layers
        Shown of each family at most. A family of one layer has its own bar only; what further
        layers add is in the family's bar.
    """
    rows = _rows(attribution, layers)
    ax = axes_of(ax, (7.2, 1.9 + 0.24 * len(rows)))
    places: list[float] = []
    place = 0.0
    for _, _, family in rows:
        place += 0.95 if family and places else 0.62
        places.append(place)
    values = np.array([value for _, value, _ in rows])
    known = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    heights = [0.66 if family else 0.34 for _, _, family in rows]
    colours = [ADDS if value >= 0 else AGAINST for value in known]
    ax.barh(places, known, heights, color=colours)
    _numbers(ax, places, values, [0.0 if f else -1.0 for *_, f in rows])
    ax.axvline(0, color=_WHOLE, linewidth=1)
    ax.set_yticks(places, [text for text, _, _ in rows])
    for label, (_, _, family) in zip(ax.get_yticklabels(), rows, strict=True):
        label.set(weight="bold" if family else "normal", fontsize=9 if family else 7.5)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(places[-1] + 0.6, places[0] - 0.6)
    _reach(ax, known)
    _finish(ax, attribution)
    return ax


def _rows(attribution: Attribution, layers: int) -> list[tuple[str, float, bool]]:
    """Return label, total and whether it is a family, from the top down."""
    family_of = dict(zip(attribution.layers, attribution.families, strict=True))
    rows = []
    for family, total in ranked(attribution.by_family):
        rows.append((family_title(family), float(total), True))
        held = {k: v for k, v in attribution.by_layer.items() if family_of[k] == family}
        if len(held) > 1:
            shown = ranked(held)[: max(layers, 0)]
            rows += [(_cut(layer_title(name)), float(v), False) for name, v in shown]
    return rows or [("no family", 0.0, True)]


def plot_waterfall(attribution: Attribution, *, ax: Axes | None = None) -> Axes:
    """Return the Axes with the way from the baseline's evidence to that of the inputs.

    Each family's bar begins where the last one ended, the largest first. What the shares miss
    of the difference has a grey bar of its own, if it can be seen.
    """
    steps = [(family_title(f), float(v)) for f, v in ranked(attribution.by_family)]
    steps = [(name, value if math.isfinite(value) else 0.0) for name, value in steps]
    missed = attribution.difference - sum(value for _, value in steps)
    reach = max([abs(attribution.difference), *(abs(value) for _, value in steps)])
    if abs(missed) > 0.005 * reach:
        steps.append((_MISSED, missed))
    ends = attribution.base + np.cumsum([0.0, *(value for _, value in steps)])
    last = len(steps) + 1
    ax = axes_of(ax, (7.2, 1.9 + 0.34 * (last + 1)))
    for place, ((name, value), start) in enumerate(zip(steps, ends, strict=False), start=1):
        sign = ADDS if value >= 0 else AGAINST
        ax.barh(place, value, 0.66, start, color=_REST if name == _MISSED else sign)
        ax.plot([start, start], [place - 1, place], color="#999999", linewidth=0.8, zorder=0)
    ax.plot([ends[-1]] * 2, [last - 1, last], color="#999999", linewidth=0.8, zorder=0)
    for place, value in ((0, attribution.base), (last, attribution.value)):
        ax.plot([value], [place], "D", color=_WHOLE, markersize=6)
    digits = digits_of([value for _, value in steps])
    right = np.maximum(ends[:-1], ends[1:])
    held = [attribution.base, *right, attribution.value]
    texts = [attribution.base, *(value for _, value in steps), attribution.value]
    for place, (where, value) in enumerate(zip(held, texts, strict=True)):
        _number(ax, where, place, signed(value, digits), bold=place in (0, last))
    one = np.count_nonzero(attribution.question.weights) == 1
    names = ["baseline", *(name for name, _ in steps), "this pixel" if one else "these pixels"]
    ax.set_yticks(range(last + 1), names, fontsize=9)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(last + 0.6, -0.6)
    low, high = float(ends.min()), float(max(held))
    span = (high - low) or 1.0
    ax.set_xlim(low - 0.05 * span, high + 0.16 * span)
    _finish(ax, attribution)
    return ax


def _finish(ax: Axes, attribution: Attribution) -> None:
    """Give the Axes its label, its title and the legend of signs."""
    ax.set_xlabel("evidence, log-odds")
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.grid(axis="x", color="#e5e5e5")
    ax.set_axisbelow(True)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.set_title(title_of(attribution), fontsize=9, loc="left")
    adds, against = signs(attribution.question)
    handles = [
        Patch(facecolor=ADDS, label=f"+ {adds}"),
        Patch(facecolor=AGAINST, label=f"\N{MINUS SIGN} {against}"),
    ]
    # Below the axis and its label: elsewhere it would lie over bars.
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, 0), "borderaxespad": 4.8}
    ax.legend(handles=handles, frameon=False, fontsize=8, **place)


def title_of(attribution: Attribution) -> str:
    """Return the title of a picture: question, method and baseline, completeness."""
    lines = (asked(attribution.question), how(attribution), completeness(attribution))
    return "\n".join(_folded(line) for line in lines)


def _folded(text: str) -> str:
    return textwrap.fill(text, _LETTERS, break_long_words=True)


def _cut(text: str, most: int = 42) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def _numbers(
    ax: Axes, places: list[float], values: NDArray[np.float64],
    smaller: list[float],
) -> None:  # fmt: skip
    digits = digits_of(values.tolist())
    for place, value, less in zip(places, values, smaller, strict=True):
        end = float(value) if math.isfinite(value) else 0.0
        _number(ax, end, place, signed(float(value), digits), left=end < 0, size=8 + less)


def _number(
    ax: Axes,
    x: float,
    y: float,
    text: str,
    *,
    left: bool = False,
    size: float = 8,
    bold: bool = False,
) -> None:
    ax.annotate(
        text,
        (x, y),
        xytext=(-4 if left else 6 if bold else 4, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="center",
        fontsize=size,
        weight="bold" if bold else "normal",
    )


def _reach(ax: Axes, values: NDArray[np.float64]) -> None:
    """Leave room for the numbers at the ends of the bars."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    span = (high - low) or 1.0
    ax.set_xlim(low - (0.18 if low < 0 else 0.02) * span, high + 0.16 * span)
