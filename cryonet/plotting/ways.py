"""A figure of several ways to say what families of layers are worth, side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

#: Colour and hatching of each way: safe for colour-blind readers, and not colour alone.
_STYLES = {
    "retraining": ("#0072b2", ""),
    "permutation": ("#e69f00", "///"),
    "shapley": ("#009e73", "..."),
}


def plot_ways(tables: Mapping[str, Mapping[str, Mapping[str, float]]], *, title: str) -> Figure:
    """Return a figure: a panel for all and each class, a bar for each family and way.

    The ways have different units, so that each bar is a share of its way's largest in the panel;
    below 0 a family does harm.

    Parameters
    ----------
    tables
        Importance by panel, way and family, NaN where unknown.
    """
    count = len(tables)
    figure = Figure(figsize=(2.2 + 2.3 * count, 5.2), layout="constrained")
    axes = figure.subplots(1, count, sharey=True, squeeze=False)[0]
    for ax, (panel, ways) in zip(axes, tables.items(), strict=True):
        families = list(next(iter(ways.values())))
        height = 0.8 / len(ways)
        for number, (way, values) in enumerate(ways.items()):
            found = np.array([values[family] for family in families], float)
            largest = np.nanmax(np.abs(found)) if np.isfinite(found).any() else 0.0
            shares = found / largest if largest > 0 else found
            places = np.arange(len(families)) + (number - (len(ways) - 1) / 2) * height
            colour, hatch = _STYLES[way]
            ax.barh(
                places,
                np.nan_to_num(shares),
                height,
                label=way,
                color=colour,
                hatch=hatch,
                edgecolor="white",
                linewidth=0,
            )
        ax.axvline(0, color="0.3", linewidth=0.8)
        ax.set_title("all classes" if panel == "macro" else panel.replace("_", " "), fontsize=10)
        ax.set_yticks(range(len(families)), [name.replace("_", " ") for name in families])
        ax.set_xlabel("share of the way's largest", fontsize=8)
        ax.tick_params(axis="x", labelsize=8)
    axes[0].invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(f"What each family is worth: {title}", fontsize=11)
    return figure
