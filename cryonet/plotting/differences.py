"""A figure of differences in IoU, by class, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from cryonet.plotting.frame import class_named, line_colour

#: A difference with its interval: mean, low and high, None where not defined.
Interval = Mapping[str, float | None]

#: The shape of each class's point, so that colour is not needed.
_MARKERS = {"other": "s", "clean_ice": "o", "debris": "^", "lake": "D"}


def plot_differences(
    panels: Mapping[str, Mapping[str, Mapping[str, Interval]]], *, label: str, title: str = ""
) -> Figure:
    """Return a figure of differences in IoU: a panel a model, a row a change, a point a class.

    Lines are the intervals of 95 %. Classes differ in colour, shape and place.

    Parameters
    ----------
    panels
        Differences by panel, what was changed, and class.
    label
        What the difference is, for the axis.
    """
    most = sum(len(groups) for groups in panels.values())
    figure = Figure(figsize=(7.2, 1.2 + 0.6 * len(panels) + 0.42 * most), layout="constrained")
    heights = [len(groups) + 1 for groups in panels.values()]
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, (panel, groups) in zip(axes, panels.items(), strict=True):
        classes = list(next(iter(groups.values())))
        for place, name in enumerate(classes):
            found = [groups[group][name] for group in groups]
            mean, low, high = (
                np.array([np.nan if f[key] is None else f[key] for f in found], float)
                for key in ("mean", "low", "high")
            )
            y = np.arange(len(groups)) + (place - (len(classes) - 1) / 2) * 0.8 / len(classes)
            entry = class_named(name)
            colour = line_colour(entry)
            ax.hlines(y, low, high, color=colour, linewidth=1.5)
            marker = _MARKERS.get(name, "o")
            ax.plot(mean, y, marker, color=colour, markersize=5, label=entry.title)
        ax.axvline(0, color="#777777", linewidth=1, zorder=0)
        ax.set_yticks(range(len(groups)), [group.replace("_", " ") for group in groups])
        ax.set_ylim(len(groups) - 0.5, -0.5)
        ax.grid(axis="x", color="#e5e5e5")
        ax.set_xlabel(label)
        ax.set_title(panel, fontsize=9, loc="left")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=11)
    return figure
