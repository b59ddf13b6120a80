"""A contact sheet of layers: every layer a small picture, family by family."""

from __future__ import annotations

import math

import xarray as xr
from matplotlib.figure import Figure

from cryonet.errors import LayerError
from cryonet.plotting.maps import layer_image

#: Pictures in a row, and the side of a picture in inches.
COLUMNS, SIDE = 6, 1.9

#: Largest side of a picture in pixels: a sheet needs no more.
LARGEST = 400


def layer_gallery(stack: xr.Dataset, *, columns: int = COLUMNS) -> Figure:
    """Return a figure with every layer of a stack, by family, in the stack's order.

    Under each picture stand its name, and the two values between which its colours run
    with their unit. Colours are those of `plot_layer`.

    Parameters
    ----------
    stack
        Layers as `cryonet.layers.build_stack` gives them.
    columns
        Pictures in a row.

    Raises
    ------
    LayerError
        If the stack holds no layer.
    """
    families: dict[str, list[str]] = {}
    for name, layer in stack.data_vars.items():
        families.setdefault(str(layer.attrs.get("family", "")), []).append(str(name))
    if not families:
        raise LayerError("the stack is empty", 0, "Build it with one layer or more.")
    step = max(1, math.ceil(max(stack.sizes["y"], stack.sizes["x"]) / LARGEST))
    small = stack.isel(y=slice(None, None, step), x=slice(None, None, step))
    rows = [math.ceil(len(names) / columns) for names in families.values()]
    heights = [count * (SIDE + 0.45) + 0.4 for count in rows]
    figure = Figure(figsize=(columns * SIDE, sum(heights)))
    parts = figure.subfigures(len(families), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (family, names), count, height in zip(
        parts, families.items(), rows, heights, strict=True
    ):
        part.suptitle(_title(family), x=0.01, y=1 - 0.08 / height, ha="left", weight="bold")
        axes = part.subplots(count, columns, squeeze=False).ravel()
        part.subplots_adjust(
            left=0.01,
            right=0.99,
            top=1 - 0.4 / height,
            bottom=0.4 / height,
            hspace=0.45 / SIDE,
            wspace=0.04,
        )
        for ax in axes:
            ax.set_axis_off()
        for ax, name in zip(axes, names, strict=False):
            shown, low, high = layer_image(small[name], ax=ax)
            shown.axes.set_aspect("equal")
            units = str(small[name].attrs.get("units", "1"))
            unit = "" if units == "1" else f" {units}"
            words = f"{name}\n{_figure(low)} … {_figure(high)}{unit}"
            place = {"transform": ax.transAxes, "ha": "center", "va": "top"}
            ax.text(0.5, -0.03, words, fontsize=7, **place)
    return figure


def _title(family: str) -> str:
    return "Principal components" if family == "pca" else family.replace("_", " ").capitalize()


def _figure(value: float) -> str:
    """Return three digits, or all those before the point of a larger number."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
