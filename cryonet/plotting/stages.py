"""A figure of encoder stages inside the network: at which scale, and where, it found evidence."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from cryonet.explain.stages import StageAttribution
from cryonet.explain.words import signed, signs
from cryonet.plotting.attribution_maps import DIVERGING, mark_pixels, reach
from cryonet.plotting.frame import frame_of


def plot_stages(found: StageAttribution) -> Figure:
    """Return a figure of the stages' maps, finest first, each with a scale of its own.

    Values of different stages do not compare, nor add up: what one tells goes on into the next.
    A ring or an outline shows the pixels that were asked about.
    """
    count = len(found.by_stage)
    figure = Figure(figsize=(0.6 + 2.6 * count, 4.2), layout="constrained")
    panels = figure.subplots(1, count, squeeze=False)[0]
    for ax, (name, total), values in zip(panels, found.by_stage.items(), found.maps, strict=True):
        layer = values.drop_vars("stage")
        top = reach(np.asarray(layer.values, float))
        image = ax.imshow(
            layer.values,
            extent=frame_of(layer).extent,
            interpolation="nearest",
            cmap=DIVERGING,
            vmin=-top,
            vmax=top,
        )
        mark_pixels(ax, found.question.weights, layer)
        ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
        ax.set_title(f"{name}\n{signed(total)} in all", fontsize=8.5)
        bar = figure.colorbar(image, ax=ax, location="bottom", shrink=0.85, extend="both")
        bar.set_ticks([-top, 0, top], labels=[f"{x:+.1g}" if x else "0" for x in (-top, 0, top)])
        bar.ax.tick_params(labelsize=8)
    adds, against = signs(found.question)
    held = f", held against {found.baseline}" if found.baseline else ""
    figure.suptitle(
        f"Inside the network, not its input layers: {found.method}{held}\n"
        f"+ {adds}, \N{MINUS SIGN} {against}",
        fontsize=10,
    )
    return figure
