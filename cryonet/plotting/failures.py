"""The blocks where a model fails, one a row: picture, label, map, confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cryonet.classes import CLASSES
from cryonet.errors import CryonetError
from cryonet.plotting.maps import MISSING, plot_classes


@dataclass(frozen=True, slots=True)
class FailurePicture:
    """What is shown of one block.

    Attributes
    ----------
    title
        Where it is.
    picture
        ``(y, x, 3)``, 0 to 1, or ``(y, x)`` grey; NaN where missing.
    picture_title
        Which bands or layer it shows.
    labels, classes
        Class codes ``(y, x)``, 255 where there is none.
    confidence
        ``(y, x)``, 0 to 1, NaN where there is none.
    """

    title: str
    picture: NDArray[np.float32]
    picture_title: str
    labels: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    confidence: NDArray[np.float32]


def plot_failures(rows: Sequence[FailurePicture], *, classes: Sequence[str]) -> Figure:
    """Return a figure of blocks, one a row, with a legend of the classes and of the confidence.

    Class colours are told apart with colour-blind eyes (`cryonet.classes`); confidence runs in
    cividis, which is made for them too (Nuñez et al. 2018).

    Parameters
    ----------
    rows
        What is shown.
    classes
        Names of the model's classes: those in the legend.

    Raises
    ------
    CryonetError
        If there is nothing to draw.
    """
    if not rows:
        raise CryonetError("there is no block to draw", 0, "Give one or more.")
    figure = Figure(figsize=(7.6, 0.9 + 1.95 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 4, squeeze=False)
    for row, panels in zip(rows, axes, strict=True):
        _picture(panels[0], row.picture)
        panels[0].set_title(row.picture_title, fontsize=8)
        panels[0].set_ylabel(row.title, fontsize=8)
        for ax, codes, title in ((panels[1], row.labels, "label"), (panels[2], row.classes, "map")):
            plot_classes(codes, title="", legend=False, ax=ax)
            ax.set(xlabel="", ylabel="")
            ax.set_title(title, fontsize=8)
        shown = panels[3].imshow(
            np.ma.masked_invalid(row.confidence), cmap="cividis", vmin=0, vmax=1
        )
        panels[3].set_facecolor(MISSING)
        panels[3].set_title("confidence", fontsize=8)
        for ax in panels:
            ax.set_xticks([])
            ax.set_yticks([])
    figure.colorbar(shown, ax=axes[:, 3], shrink=0.8).ax.tick_params(labelsize=7)
    named = [c for c in CLASSES if c.name in classes]
    keys = [(c.title, c.colour) for c in named] + [("no label, no map", MISSING)]
    handles = [Patch(facecolor=colour, edgecolor="#555555", label=text) for text, colour in keys]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    return figure


def _picture(ax: Any, picture: NDArray[np.float32]) -> None:
    known = np.isfinite(picture) if picture.ndim == 2 else np.isfinite(picture).all(axis=-1)
    values = np.clip(np.where(np.isfinite(picture), picture, 0), 0, 1)
    colours = np.dstack([values] * 3) if values.ndim == 2 else values
    ax.set_facecolor(MISSING)
    ax.imshow(np.dstack([colours, known]))
