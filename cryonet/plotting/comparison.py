"""A figure of several models side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from cryonet.plotting.frame import class_named, line_colour

if TYPE_CHECKING:
    from cryonet.comparison import Spread


def plot_comparison(
    groups: Mapping[str, Mapping[str, Mapping[str, Spread]]], *, title: str = ""
) -> Figure:
    """Return a figure of IoU by class: a panel a group, a cluster a class, a bar a model.

    Lines on the bars are standard deviations over seeds; a class without a score has no bar.

    Parameters
    ----------
    groups
        Spreads by group, model and class name.
    """
    figure = Figure(figsize=(7.2, 1.0 + 2.6 * len(groups)), layout="constrained")
    panels = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
    for ax, (group, models) in zip(panels, groups.items(), strict=True):
        classes = list(next(iter(models.values())))
        width = 0.8 / len(models)
        for place, (model, scores) in enumerate(models.items()):
            x = np.arange(len(classes)) + (place - (len(models) - 1) / 2) * width
            means = np.array([scores[c].mean for c in classes])
            spreads = np.nan_to_num([scores[c].deviation for c in classes])
            colours = [line_colour(class_named(c)) for c in classes]
            # The class by its colour, the model by its place, name and density.
            density = 1 - 0.6 * place / len(models)
            ax.bar(x, means, width * 0.92, yerr=spreads, color=colours, alpha=density)
            for left, mean, reach, name in zip(x, means, spreads, classes, strict=True):
                light = density * _darkness(line_colour(class_named(name))) > 0.45
                colour = "white" if light else "black"
                # A name that its bar is too low for stands above the figure, in black.
                low = not mean > 0.05
                name_of = {"rotation": 90, "ha": "center", "fontsize": 6.5}
                ax.text(
                    left, 0.07 if low else 0.02, model, color="black" if low else colour, **name_of
                )
                if np.isfinite(mean):
                    ax.text(left, mean + reach + 0.015, f"{mean:.2f}", ha="center", fontsize=6)
        ax.set_xticks(range(len(classes)), [class_named(c).title for c in classes])
        ax.set_ylim(0, 1.1)
        ax.set_yticks(np.arange(0, 1.01, 0.2))
        ax.set_ylabel("IoU")
        ax.set_title(group, fontsize=9, loc="left")
    figure.suptitle(title, fontsize=11)
    return figure


def _darkness(colour: str) -> float:
    """Return how dark a colour is, 0 to 1, after the luma of ITU-R BT.601."""
    return 1 - float(np.dot(to_rgb(colour), (0.299, 0.587, 0.114)))
