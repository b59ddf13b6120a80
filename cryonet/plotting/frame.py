"""Axes to draw on, and how a picture lies on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from cryonet.classes import CLASSES, MapClass
from cryonet.errors import CryonetError, GridError
from cryonet.grid import geobox_of

#: A map's values: with a grid, or a plain array ``(y, x)``.
Values = xr.DataArray | NDArray[Any]

#: The pale class colour for other ground would not be seen as a line.
_LINES = {"other": "#8a8270"}


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a picture lies: left, right, bottom, top, and what the axes say."""

    extent: tuple[float, float, float, float]
    x: str
    y: str


def frame_of(data: Values) -> Frame:
    """Return where `data` lies: on its grid if it has one, else in pixels."""
    try:
        box = geobox_of(data) if isinstance(data, xr.DataArray) else None
    except GridError:
        box = None
    if box is None:
        height, width = data.shape
        return Frame((-0.5, width - 0.5, height - 0.5, -0.5), "column", "row")
    edges = box.boundingbox
    if box.crs is not None and box.crs.geographic:
        extent = (edges.left, edges.right, edges.bottom, edges.top)
        return Frame(extent, "longitude, °", "latitude, °")
    size = (edges.right - edges.left, edges.top - edges.bottom)
    return Frame((0.0, size[0] / 1000, 0.0, size[1] / 1000), "east, km", "north, km")


def axes_of(ax: Axes | None, size: tuple[float, float] = (5.2, 5.2)) -> Axes:
    """Return `ax`, or the Axes of a new figure of `size` inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def class_named(name: str) -> MapClass:
    """Return the class called `name`, or raise a CryonetError that lists the names."""
    for entry in CLASSES:
        if entry.name == name:
            return entry
    known = ", ".join(c.name for c in CLASSES)
    raise CryonetError("there is no such class", name, f"Known are: {known}.")


def line_colour(entry: MapClass) -> str:
    """Return the colour in which a class is drawn as a line on white."""
    return _LINES.get(entry.name, entry.colour)
