"""Maps: composites, classes, layers, splits and errors.

Axes are in kilometres from the south-west corner, in degrees on a geographic grid, and in
pixels for a plain array.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cryonet.change import KINDS
from cryonet.chips import GAP, TEST, TRAIN, VALIDATION
from cryonet.classes import CLASSES, NODATA
from cryonet.errors import CryonetError, SceneError
from cryonet.layers import LAYERS
from cryonet.plotting.frame import Frame, Values, axes_of, class_named, frame_of
from cryonet.scene import VARIABLES

#: Colour of pixels without a value: light, so that holes are not taken for shadow or water,
#: and a lilac that no ground has, so that they are not taken for snow.
MISSING = "#e6d9f0"

#: Percentiles between which a picture is stretched.
STRETCH = (2.0, 98.0)

#: Colour maps of each family: for plain layers, and for those signed about zero.
COLOUR_MAPS: Mapping[str, tuple[str, str]] = {
    "optical": ("gray", "gray"),
    "indices": ("viridis", "BrBG"),
    "pca": ("gray", "PuOr"),
    "tasseled_cap": ("viridis", "BrBG"),
    "terrain": ("cividis", "PuOr_r"),
    "texture": ("magma", "PuOr"),
    "coherence": ("gray", "gray"),
    "phase": ("twilight", "RdBu_r"),
}

#: Layers whose range reaches below zero, but whose zero means nothing in particular.
UNSIGNED = ("elevation", "tc_brightness")

#: Split codes with their wording and colour, and hits and errors likewise: both after
#: Okabe and Ito (2008), told apart with colour-blind eyes.
SPLIT_ROWS = (
    (TRAIN, "training", "#56b4e9"),
    (VALIDATION, "validation", "#e69f00"),
    (TEST, "test", "#0a3d91"),
    (GAP, "gap, not used", "#ececec"),
)
ERROR_ROWS = (
    (0, "rightly not mapped", "#e4e2db"),
    (1, "right", "#4ba6dd"),
    (2, "missed", "#f0a500"),
    (3, "false", "#9c0f5f"),
)


def _draw(ax: Axes, image: NDArray[Any], frame: Frame, *, title: str, **options: Any) -> Any:
    shown = ax.imshow(
        image, extent=frame.extent, origin="upper", interpolation="nearest", **options
    )
    ax.set_facecolor(MISSING)
    ax.set(xlabel=frame.x, ylabel=frame.y, title=title)
    return shown


def _legend(ax: Axes, rows: Sequence[tuple[str, str]]) -> None:
    handles = [Patch(facecolor=colour, edgecolor="#555555", label=text) for text, colour in rows]
    ax.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=2,
        frameon=False,
        fontsize="small",
    )


def plot_composite(
    scene: xr.Dataset,
    *,
    bands: Sequence[str] = ("red", "green", "blue"),
    gamma: float = 1.8,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Return the Axes with three bands of a scene as red, green and blue.

    All three are stretched between the same two percentiles of the whole scene, so that
    snow stays neutral; pixels where one is missing are light.

    Parameters
    ----------
    gamma
        Above 1 it opens the shadows.

    Raises
    ------
    SceneError
        If the scene lacks one of `bands`.
    """
    if missing := [band for band in bands if band not in scene]:
        held = ", ".join(str(name) for name in scene.data_vars)
        raise SceneError("the scene lacks a band", missing[0], f"It holds {held}.")
    picture = composite_image([scene[band].values for band in bands], gamma=gamma)
    ax = axes_of(ax)
    _draw(ax, picture, frame_of(scene[bands[0]]), title=title or ", ".join(bands))
    return ax


def composite_image(bands: Sequence[NDArray[Any]], *, gamma: float = 1.8) -> NDArray[np.float64]:
    """Return three bands as a picture ``(y, x, 4)`` of 0 to 1; see `plot_composite`.

    Pixels where one is missing are black and transparent.
    """
    image = np.stack(bands, axis=-1).astype("float64")
    known = np.isfinite(image).all(axis=-1)
    low, high = _limits(image[known])
    image = np.clip((image - low) / (high - low), 0, 1) ** (1 / gamma)
    return np.dstack([np.where(known[..., None], image, 0), known])


def _limits(values: NDArray[Any]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if known.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(known, STRETCH))
    return low, high if high > low else low + 1.0


def plot_classes(
    codes: Values, *, title: str = "", legend: bool = True, ax: Axes | None = None
) -> Axes:
    """Return the Axes with a map of class codes in the colours of `cryonet.classes`.

    Codes that are no class (255: no label, no prediction) are light.
    """
    values = np.asarray(codes)
    ax = axes_of(ax)
    rows = [(c.code, c.title, c.colour) for c in CLASSES]
    _draw_codes(ax, values, frame_of(codes), rows, title=title, legend=legend)
    return ax


def plot_change(codes: Values, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Return the Axes with a map of the kinds of `cryonet.change`."""
    ax = axes_of(ax)
    rows = [(kind.code, kind.title, "#" + bytes(kind.rgb).hex()) for kind in KINDS]
    _draw_codes(ax, np.asarray(codes), frame_of(codes), rows, title=title)
    return ax


def _draw_codes(
    ax: Axes,
    values: NDArray[Any],
    frame: Frame,
    rows: Sequence[tuple[int, str, str]],
    *,
    title: str,
    legend: bool = True,
) -> None:
    ordered = sorted(rows)
    known = np.isin(values, [code for code, _, _ in ordered])
    table = ListedColormap([colour for _, _, colour in ordered])
    image = np.ma.masked_array(values, ~known)
    _draw(ax, image, frame, title=title, cmap=table, vmin=-0.5, vmax=len(ordered) - 0.5)
    if legend:
        entries = [(text, colour) for _, text, colour in rows]
        _legend(ax, entries if known.all() else [*entries, ("no data", MISSING)])


def plot_layer(layer: xr.DataArray, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Return the Axes with one layer or scene variable, its units on the colour bar.

    The colour map is that of the layer's family. Coherence runs from 0 to 1, phase round
    its circle; a layer with a meaningful zero has that in the middle; others run between
    two percentiles.
    """
    ax = axes_of(ax)
    name = str(layer.name)
    shown, _, _ = layer_image(layer, ax=ax)
    ax.set_title(title or _sentence(str(layer.attrs.get("long_name", name))))
    units = str(layer.attrs.get("units", "1"))
    bar = ax.figure.colorbar(shown, ax=ax, shrink=0.8)
    bar.set_label(name if units == "1" else f"{name}, {units}")
    return ax


def layer_image(layer: xr.DataArray, *, ax: Axes) -> tuple[AxesImage, float, float]:
    """Draw a layer in the colours of its family; return it and where its colours end."""
    values = np.asarray(layer.values, dtype="float64")
    colours, low, high = _colours(str(layer.name), str(layer.attrs.get("family", "")), values)
    masked = np.ma.masked_invalid(values)
    frame = frame_of(layer)
    shown = _draw(ax, masked, frame, title="", cmap=colours, vmin=low, vmax=high)
    return shown, low, high


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _colours(name: str, family: str, values: NDArray[Any]) -> tuple[Colormap, float, float]:
    spec = LAYERS.get(name)
    variable = VARIABLES.get(name)
    family = family or (spec.family if spec else variable.asset if variable else "")
    plain, diverging = COLOUR_MAPS.get(family, ("viridis", "PuOr"))
    if name == "phase":
        return colormaps[plain], -np.pi, np.pi
    if family == "coherence":
        return colormaps[plain], 0.0, 1.0
    reach = spec.valid_range[0] if spec else 0.0
    low, high = _limits(values)
    if reach < 0 and family != "optical" and name not in UNSIGNED:
        top = max(abs(low), abs(high))
        return colormaps[diverging], -top, top
    return colormaps[plain], low, high


def plot_outlines(
    labels: Values, *, name: str = "debris", colour: str = "#ffd500", ax: Axes
) -> Axes:
    """Return `ax` with the outline of one class drawn over what it shows."""
    frame = frame_of(labels)
    inside = (np.asarray(labels) == class_named(name).code).astype(float)
    ax.contour(
        inside, levels=[0.5], colors=[colour], linewidths=1.2, extent=frame.extent, origin="upper"
    )
    return ax


def plot_splits(splits: Values, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Return the Axes with a map of split codes, as `cryonet.chips.split_map` gives them."""
    ax = axes_of(ax)
    codes = np.asarray(splits)
    _draw_codes(ax, codes, frame_of(splits), SPLIT_ROWS, title=title or "Splits")
    return ax


def plot_errors(
    predicted: Values,
    labels: Values,
    *,
    name: str = "debris",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Return the Axes with where one class is mapped rightly, missed, or mapped falsely.

    Pixels without a label or a prediction are light.

    Raises
    ------
    CryonetError
        If the class is unknown, or the two maps differ in shape.
    """
    entry = class_named(name)
    mapped, truth = np.asarray(predicted), np.asarray(labels)
    if mapped.shape != truth.shape:
        pair = f"{mapped.shape} / {truth.shape}"
        raise CryonetError("map and labels differ in shape", pair, "Bring both to one grid first.")
    ours, theirs = mapped == entry.code, truth == entry.code
    kinds = np.select([ours & theirs, theirs, ours], [1, 2, 3], 0)
    kinds[(mapped == NODATA) | (truth == NODATA)] = NODATA
    ax = axes_of(ax)
    rows = (*ERROR_ROWS[1:], ERROR_ROWS[0])
    frame = frame_of(labels if isinstance(labels, xr.DataArray) else predicted)
    _draw_codes(ax, kinds, frame, rows, title=title or f"Errors: {entry.title}")
    return ax
