"""Charts: spectra, the course of training, the confusion matrix, reliability, areas."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from cryonet.classes import CLASSES
from cryonet.errors import CryonetError, SceneError
from cryonet.plotting.frame import axes_of, class_named, line_colour

if TYPE_CHECKING:
    from cryonet.confidence import ConfidenceShares
    from cryonet.evaluate import ProbabilityScore, Scores
    from cryonet.hypsometry import Hypsometry

#: Centre wavelengths of Sentinel-2A's bands, nm (Drusch et al. 2012; ESA, mean of S2A).
WAVELENGTHS: Mapping[str, float] = {
    "coastal": 442.7,
    "blue": 492.4,
    "green": 559.8,
    "red": 664.6,
    "rededge1": 704.1,
    "rededge2": 740.5,
    "rededge3": 782.8,
    "nir": 832.8,
    "nir08": 864.7,
    "nir09": 945.1,
    "swir16": 1613.7,
    "swir22": 2202.4,
}


def plot_spectra(scene: xr.Dataset, *, names: Sequence[str] = (), ax: Axes | None = None) -> Axes:
    """Return the Axes with the reflectance of each class against wavelength.

    Lines join the medians of the labelled pixels; bands run from the lower to the upper
    quartile.

    Parameters
    ----------
    names
        The classes drawn; all that occur by default.

    Raises
    ------
    SceneError
        If the scene has no labels or no optical band.
    """
    bands = [band for band in WAVELENGTHS if band in scene]
    if "labels" not in scene or not bands:
        held = ", ".join(str(name) for name in scene.data_vars)
        raise SceneError("the scene gives no spectra", held, "It takes labels and bands.")
    labels = scene["labels"].values
    chosen = [class_named(name) for name in names] or [
        c for c in CLASSES if (labels == c.code).any()
    ]
    across = [WAVELENGTHS[band] for band in bands]
    ax = axes_of(ax, (6.2, 4.0))
    for entry in chosen:
        inside = np.stack([scene[band].values[labels == entry.code] for band in bands])
        inside = inside[:, np.isfinite(inside).all(axis=0)]
        if inside.shape[1] == 0:
            continue
        lower, middle, upper = np.percentile(inside, (25, 50, 75), axis=1)
        colour = line_colour(entry)
        ax.fill_between(across, lower, upper, color=colour, alpha=0.25, linewidth=0)
        ax.plot(across, middle, marker="o", markersize=4, color=colour, label=entry.title)
    ax.set(xlabel="wavelength, nm", ylabel="reflectance", title="Median and quartiles by class")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    return ax


def plot_distributions(
    layer: xr.DataArray,
    labels: xr.DataArray,
    *,
    names: Sequence[str] = ("other", "debris"),
    ax: Axes | None = None,
) -> Axes:
    """Return the Axes with how the values of a layer are spread within some classes.

    Each curve is a histogram of area one, so that large and small classes compare; the
    outer half per cent at either end is cut off.

    Raises
    ------
    CryonetError
        If no labelled pixel of these classes has a value.
    """
    values, codes = np.asarray(layer.values), np.asarray(labels.values)
    groups = [(e, values[(codes == e.code) & np.isfinite(values)]) for e in map(class_named, names)]
    pooled = np.concatenate([inside for _, inside in groups])
    if pooled.size == 0:
        raise CryonetError("there is nothing to compare", list(names), "Name classes that occur.")
    low, high = (float(v) for v in np.percentile(pooled, (0.5, 99.5)))
    edges = np.linspace(low, high, 41)
    ax = axes_of(ax, (4.6, 3.4))
    for entry, inside in groups:
        if edges[0] < edges[-1] and inside.size:
            shares = np.histogram(inside, edges, density=True)[0]
            ax.stairs(shares, edges, color=line_colour(entry), linewidth=2, label=entry.title)
    units = str(layer.attrs.get("units", "1"))
    name = str(layer.attrs.get("long_name", layer.name))
    ax.set(xlabel=name if units == "1" else f"{name}, {units}", ylabel="density", yticks=[])
    ax.legend(frameon=False, fontsize="small")
    return ax


def plot_history(
    history: str | Path | Sequence[Mapping[str, Any]], *, ax: Axes | None = None
) -> Axes:
    """Return the Axes with validation IoU by class and epoch; the loss on a second axis.

    Parameters
    ----------
    history
        ``metrics.csv`` of a training run, or one mapping an epoch with its columns.

    Raises
    ------
    CryonetError
        If there is no epoch in it.
    """
    records = _records(history) if isinstance(history, (str, Path)) else list(history)
    if not records:
        raise CryonetError("the history is empty", str(history), "Give one epoch or more.")
    epochs = [int(row["epoch"]) for row in records]
    ax = axes_of(ax, (6.2, 4.0))
    for entry in CLASSES:
        if (key := f"iou_{entry.name}") in records[0]:
            colour = line_colour(entry)
            line = _column(records, key)
            ax.plot(epochs, line, marker="o", markersize=3, color=colour, label=entry.title)
    if "macro_iou" in records[0]:
        line = _column(records, "macro_iou")
        ax.plot(epochs, line, "k--", linewidth=2, label="mean of the classes")
    ax.set(xlabel="epoch", ylabel="validation IoU", title="Training", ylim=(0, 1))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if "loss" in records[0]:
        other = ax.twinx()
        other.plot(epochs, _column(records, "loss"), ":", color="#777777")
        other.set_ylabel("training loss (dotted)", color="#555555")
        other.set_ylim(bottom=0)
    ax.legend(frameon=False, fontsize="small", ncols=2)
    return ax


def _records(path: str | Path) -> list[Mapping[str, Any]]:
    file = Path(path)
    if not file.is_file():
        raise CryonetError("there is no history", str(path), "Give a run's metrics.csv.")
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _column(records: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    # A class that is nowhere in the validation blocks has no score.
    return [float("nan" if row[key] in (None, "") else row[key]) for row in records]


def plot_reliability(scores: Sequence[ProbabilityScore], *, ax: Axes | None = None) -> Axes:
    """Return the Axes with the share of right pixels against the probability they were given.

    On the diagonal both agree; below it the map is too sure of itself. Bars show the share of
    the pixels in each bin, for the last of `scores`. The legend gives the expected calibration
    error.

    Parameters
    ----------
    scores
        As `cryonet.evaluate.score_probabilities` gives them.

    Raises
    ------
    CryonetError
        If there is nothing to draw.
    """
    if not scores:
        raise CryonetError("there is no reliability", 0, "Score probabilities against labels.")
    ax = axes_of(ax, (4.6, 4.6))
    counts = scores[-1].table.counts
    edges = np.linspace(0, 1, len(counts) + 1)
    ax.stairs(counts / counts.sum(), edges, fill=True, color="#dddddd", label="share of pixels")
    ax.plot([0, 1], [0, 1], "--", color="#777777", linewidth=1)
    for row, colour in zip(scores, ("#d55e00", "#0a3d91"), strict=False):
        filled = row.table.counts > 0
        name = "as the model gave them" if row.temperature == 1 else "calibrated"
        ax.plot(
            row.table.confidence[filled],
            row.table.accuracy[filled],
            marker="o",
            markersize=4,
            color=colour,
            label=f"{name}, error {row.table.ece:.3f}",
        )
    ax.set(xlabel="probability of the mapped class", ylabel="share of right pixels")
    ax.set(title="Reliability", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.legend(frameon=False, fontsize="small", loc="upper left")
    return ax


def plot_confusion(scores: Scores, *, ax: Axes | None = None) -> Axes:
    """Return the Axes with the confusion matrix: rows are labels, columns the map.

    Colours and percentages are shares of the labelled pixels of a row, so that the
    diagonal is recall; the pixels stand below.
    """
    counts = scores.confusion
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    titles = [class_named(row.name).title.replace(" ", "\n", 1) for row in scores.classes]
    ax = axes_of(ax)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, col), share in np.ndenumerate(shares):
        ax.text(
            col,
            row,
            f"{share:.0%}\n{counts[row, col]:,}",
            ha="center",
            va="center",
            fontsize="small",
            color="white" if share > 0.55 else "black",
        )
    ticks = range(len(titles))
    ax.set_xticks(ticks, titles)
    ax.set_yticks(ticks, titles)
    ax.set(xlabel="map", ylabel="label", title="Confusion, share of each label")
    return ax


def plot_hypsometry(found: Hypsometry, *, ax: Axes | None = None) -> Axes:
    """Return the Axes with the area of ice and lakes by elevation, class upon class.

    Other ground is left out: there is so much of it that the rest would not be seen.

    Raises
    ------
    CryonetError
        If no ice and no lake has an elevation.
    """
    shown = [
        (class_named(name), row)
        for name, row in zip(found.classes, found.km2, strict=True)
        if name != "other" and row.any()
    ]
    if not shown:
        raise CryonetError("there is no hypsometry", "no ice", "Map ice where elevation is known.")
    ax = axes_of(ax, (5.0, 3.6))
    left = np.zeros(len(found.edges) - 1)
    step = int(found.edges[1] - found.edges[0])
    for entry, row in shown:
        ax.barh(
            found.edges[:-1],
            row,
            step,
            left,
            align="edge",
            color=entry.colour,
            edgecolor="white",
            linewidth=0.4,
            label=entry.title,
        )
        left += row
    held = np.flatnonzero(left)
    ax.set_xlim(0, 1.05 * left.max())
    ax.set_ylim(found.edges[held[0]], found.edges[held[-1] + 1])
    ax.set(xlabel=f"area in bands of {step} m, km²", ylabel="elevation, m")
    ax.legend(frameon=False, fontsize="small")
    return ax


#: Between these lie the kinds of confidence that `plot_confidence` tells apart; low ends at 0.5.
CONFIDENCE_EDGES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.01)


def plot_confidence(found: ConfidenceShares, *, ax: Axes | None = None) -> Axes:
    """Return the Axes with the share of each class's area by confidence, a bar a class.

    Raises
    ------
    CryonetError
        If no pixel has a class and a confidence.
    """
    parts = [found.between(low, high) for low, high in pairwise(CONFIDENCE_EDGES)]
    shares = np.array(parts)
    rows = [*(class_named(name).title for name in found.classes), "all"]
    held = np.flatnonzero(np.isfinite(shares[0]))
    if held.size == 0:
        raise CryonetError("there is no confidence", "no pixel", "Give a map with some.")
    ax = axes_of(ax, (5.0, 2.4))
    places, left = np.arange(held.size)[::-1], np.zeros(held.size)
    # The colours of the map of confidence, at the middle of each kind.
    for share, (low, high) in zip(shares[:, held], pairwise(CONFIDENCE_EDGES), strict=True):
        top = min(high, 1.0)
        colour = colormaps["cividis"]((low + top) / 2)
        name = f"{low:g}\N{EN DASH}{top:g}"
        ax.barh(places, share, 0.7, left, color=colour, label=name)
        left += share
    ax.set_yticks(places, [rows[n] for n in held])
    ax.set(xlabel="share of the area", xlim=(0, 1))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.legend(
        frameon=False,
        fontsize="small",
        ncols=5,
        loc="lower center",
        bbox_to_anchor=(0.42, 1.0),
        columnspacing=0.9,
        handlelength=1.0,
        title="confidence",
        title_fontsize="small",
    )
    return ax
