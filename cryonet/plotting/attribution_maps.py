"""The strongest layers, each beside the map of what its pixels add to the evidence."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from cryonet.errors import CryonetError
from cryonet.explain.attribution import Attribution
from cryonet.explain.words import digits_of, family_title, layer_title, ranked, signed, signs
from cryonet.layers import LAYERS
from cryonet.plotting.frame import frame_of
from cryonet.plotting.maps import layer_image

#: Magenta speaks against, green adds, as in the bars. Missing pixels are grey here: light ones
#: would be taken for small shares.
DIVERGING, _NO_SHARE = "PiYG", "#a8a8a8"

#: A share below this part of the largest is not seen; pixels of room round what is, and the
#: smallest side shown.
_FAINT, _ROOM, _LEAST = 0.02, 4, 24

#: A part is shown if it is no more of the window than this.
_WORTH = 0.6

#: Layers shown, and the share of the pixels whose size the scale reaches.
MOST, _REACH = 4, 99.8


def plot_attribution_maps(
    attribution: Attribution,
    values: xr.DataArray | NDArray[np.float32],
    *,
    most: int = MOST,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Return a figure of the strongest layers, each beside its map of shares.

    All maps have one scale, the same on either side of zero, so that they compare; a few
    pixels beyond it have the colour of its end. A ring or an outline shows the pixels that
    were asked about. Pixels without a share are grey. Of a window that adds nothing but near
    those pixels, that part is shown.

    Parameters
    ----------
    values
        The layers ``(layer, y, x)`` in their own units, in the order of the attribution.
    most
        Layers shown at most, the strongest in size first.
    figure
        To draw on; a new one by default.

    Raises
    ------
    CryonetError
        If the method gives no maps, or `values` has another shape.
    """
    maps = attribution.maps
    if maps is None:
        rule = "Integrated gradients or gradient times input give them."
        raise CryonetError("the method gives no maps", attribution.method, rule)
    if tuple(values.shape) != tuple(maps.shape):
        shown = f"{tuple(values.shape)} / {tuple(maps.shape)}"
        raise CryonetError("layers and shares differ in shape", shown, "Give the same window.")
    shares = np.asarray(maps.values, float)
    totals = attribution.by_layer or dict(
        zip(attribution.layers, np.nansum(shares, axis=(1, 2)).tolist(), strict=True)
    )
    names = [name for name, _ in ranked(totals)][: max(most, 1)]
    figure = figure or Figure(figsize=(7.2, 0.9 + 2.5 * len(names)), layout="constrained")
    digits = digits_of([totals[name] for name in names])
    places = [attribution.layers.index(name) for name in names]
    weights = attribution.question.weights
    part = _part(shares[places], weights)
    top = reach(shares[places][:, *part])
    drawn: list[AxesImage] = []
    panels = figure.subplots(len(names), 2, squeeze=False)
    for (left, right), name, place in zip(panels, names, places, strict=True):
        layer = maps.isel(layer=place, drop=True).copy(data=np.asarray(values[place]))[part]
        layer = layer.rename(name)
        layer.attrs = {}
        _show_layer(left, layer, name, attribution.families[place])
        layer.data = shares[place][part]
        right.set_facecolor(_NO_SHARE)
        image = right.imshow(
            np.ma.masked_invalid(layer.values),
            extent=frame_of(layer).extent,
            interpolation="nearest",
            cmap=DIVERGING,
            vmin=-top,
            vmax=top,
        )
        drawn.append(image)
        right.set_title(f"what it adds: {signed(totals[name], digits)} log-odds", fontsize=8.5)
        for ax in (left, right):
            mark_pixels(ax, weights[part], layer)
            ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    adds, against = signs(attribution.question)
    place_of: dict[str, Any] = {"location": "bottom", "shrink": 0.7, "aspect": 40}
    bar = figure.colorbar(drawn[-1], ax=panels, extend="both", **place_of)
    seen, whole = (" × ".join(map(str, sides)) for sides in (weights[part].shape, weights.shape))
    some = "" if seen == whole else f"; the {seen} of {whole} pixels that matter"
    words = f"log-odds a pixel{some}\n+ {adds}\n\N{MINUS SIGN} {against}"
    bar.set_label(words, fontsize=8.5)
    bar.ax.tick_params(labelsize=8)
    return figure


def _show_layer(ax: Axes, layer: xr.DataArray, name: str, family: str) -> None:
    shown, _, _ = layer_image(layer, ax=ax)
    ax.set_title(f"{layer_title(name)} ({family_title(family)})", fontsize=8.5, wrap=True)
    bar = ax.figure.colorbar(shown, ax=ax, shrink=0.85)
    spec = LAYERS.get(name)
    bar.set_label("" if spec is None or spec.units == "1" else spec.units, fontsize=8)
    bar.ax.tick_params(labelsize=7)


def mark_pixels(ax: Axes, weights: NDArray[np.float64], layer: xr.DataArray) -> None:
    """Show which pixels were asked about: a ring round one, an outline round many."""
    asked = weights != 0
    if asked.all() or not asked.any():
        return
    left, right, bottom, top = frame_of(layer).extent
    height, width = asked.shape
    if asked.sum() == 1:
        row, col = (int(v[0]) for v in np.nonzero(asked))
        x = left + (col + 0.5) / width * (right - left)
        y = top + (row + 0.5) / height * (bottom - top)
        for size, colour in ((11, "black"), (9, "white")):
            ax.plot([x], [y], "o", markersize=size, markeredgecolor=colour, markerfacecolor="none")
        return
    limits = ax.get_xlim(), ax.get_ylim()
    for inside, line in ((weights > 0, "-"), (weights < 0, ":")):
        if inside.any() and not inside.all():
            padded = np.pad(inside.astype(float), 1)
            step = ((right - left) / width, (bottom - top) / height)
            ax.contour(
                left + (np.arange(width + 2) - 0.5) * step[0],
                top + (np.arange(height + 2) - 0.5) * step[1],
                padded,
                levels=[0.5],
                colors=["black"],
                linewidths=0.9,
                linestyles=[line],
            )
    ax.set(xlim=limits[0], ylim=limits[1])


def _part(shares: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[slice, slice]:
    """Return the rows and columns where anything is to be seen, with some room."""
    sizes = np.nan_to_num(np.abs(shares)).max(axis=0)
    seen = (weights != 0) | (sizes > _FAINT * sizes.max())
    found = []
    for axis in (1, 0):
        places, length = np.flatnonzero(seen.any(axis=axis)), seen.shape[1 - axis]
        side = max(int(np.ptp(places)) + 1 + 2 * _ROOM, _LEAST) if places.size else length
        first = (int(places[0]) + int(places[-1])) // 2 - side // 2 if places.size else 0
        start = max(0, min(first, length - side))
        found.append(slice(start, min(start + side, length)))
    rows, cols = found
    if (rows.stop - rows.start) * (cols.stop - cols.start) > _WORTH * seen.size:
        return slice(0, seen.shape[0]), slice(0, seen.shape[1])
    return rows, cols


def reach(shares: NDArray[np.float64]) -> float:
    """Return where the colours end on either side of zero."""
    sizes = np.abs(shares[np.isfinite(shares)])
    sizes = sizes[sizes > 0]
    return float(np.percentile(sizes, _REACH)) if sizes.size else 1.0
