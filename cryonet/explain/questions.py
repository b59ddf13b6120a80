"""Makers of questions: a pixel, a polygon, a class of a window, right against wrong pixels.

Each takes a `View` of the same bundle and scene in place of computing one: the question is
then asked in its window, as a map on a screen does for every click.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import rasterio.features
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from shapely.geometry.base import BaseGeometry

from cryonet.bundle import Bundle
from cryonet.classes import NODATA
from cryonet.errors import ConfigError, CryonetError, GridError, SceneError
from cryonet.explain.evidence import class_code
from cryonet.explain.question import Question
from cryonet.explain.view import View, check_window, surroundings
from cryonet.grid import Window, geobox_of
from cryonet.layers.windows import ReadPixels

Mask = NDArray[np.bool_]
Codes = NDArray[np.uint8]

#: Which pixels of a class count as wrong, by name: from the map, the labels and the code.
#: ``mapped`` are mapped as the class and are not; ``missed`` are of the class and not mapped.
WRONG: Mapping[str, Callable[[Codes, Codes, int], Mask]] = MappingProxyType(
    {
        "mapped": lambda codes, labels, code: (codes == code) & (labels != code),
        "missed": lambda codes, labels, code: (codes != code) & (labels == code),
    }
)


def at_pixel(
    bundle: Bundle,
    scene: xr.Dataset,
    row: int,
    col: int,
    target: str = "",
    against: str = "",
    *,
    read: ReadPixels | None = None,
    view: View | None = None,
) -> Question:
    """Ask about one pixel, with a window of the model's tile round it.

    Parameters
    ----------
    row, col
        Of the pixel in the scene, from 0.
    target
        The class; empty for the one that the model gives there.
    against
        The class it is held against; empty for all others together.

    Raises
    ------
    GridError
        If the pixel is outside the scene, or the view.
    CryonetError
        If a layer that the model cannot do without is missing there.
    ConfigError
        If the model has no such class.
    """
    shape = _shape(scene)
    if not (0 <= row < shape[0] and 0 <= col < shape[1]):
        raise GridError("the pixel is outside the scene", (row, col), f"The scene is {shape}.")
    pixel = Window(row, col, 1, 1)
    seen = view or _view(bundle, scene, pixel, read)
    mask = _mask(seen, pixel, np.ones((1, 1), bool))
    if not (mask & seen.valid).any():
        raise CryonetError(
            "the pixel lies in a hole of the scene",
            f"row {row}, column {col}",
            "The model needs layers that are missing there; take another.",
        )
    return _mean(seen, mask, target, against, f"row {row}, column {col}")


def in_polygon(
    bundle: Bundle,
    scene: xr.Dataset,
    polygon: BaseGeometry,
    target: str = "",
    against: str = "",
    *,
    crs: Any = None,
    name: str = "",
    read: ReadPixels | None = None,
    view: View | None = None,
) -> Question:
    """Ask about the pixels whose centres lie in a polygon.

    Parameters
    ----------
    polygon
        In the scene's CRS, or in `crs`.
    target
        The class; empty for the one that the model gives to most of the pixels.
    name
        Of the polygon, for the label.

    Raises
    ------
    GridError
        If no pixel of the scene lies in it, or its window is too large to explain at once.
    CryonetError
        If all its pixels lie in holes.
    ConfigError
        If the model has no such class.
    """
    grid = geobox_of(scene)
    if crs is not None and grid.crs is not None:
        polygon = Geometry(polygon, crs).to_crs(grid.crs, resolution="auto").geom
    what = name or "the polygon"
    window = _bounds(polygon, grid, what)
    check_window(window, _shape(scene))
    inside: Mask = rasterio.features.geometry_mask(
        [polygon], (window.height, window.width), grid[window.slices].affine, invert=True
    )
    if not inside.any():
        raise GridError("no pixel lies in the polygon", what, "It must hold a pixel's centre.")
    seen = view or _view(bundle, scene, window, read)
    mask = _mask(seen, window, inside) & seen.valid
    if not mask.any():
        raise CryonetError("the polygon lies in a hole of the scene", what, "Take another.")
    return _mean(seen, mask, target, against, what)


def of_class(
    bundle: Bundle,
    scene: xr.Dataset,
    target: str,
    window: Window | None = None,
    against: str = "",
    *,
    by: str = "map",
    read: ReadPixels | None = None,
    view: View | None = None,
) -> Question:
    """Ask about all pixels of a class in a window.

    Parameters
    ----------
    window
        All of the scene, or of the view, by default.
    by
        ``map``: the pixels that the model maps as the class; ``labels``: those labelled so.

    Raises
    ------
    GridError
        If the window is outside the scene, or too large to explain at once.
    CryonetError
        If the class has no pixel there.
    SceneError
        If the scene has no labels and they are asked for.
    ConfigError
        If the model has no such class, or `by` is unknown.
    """
    code = class_code(target, bundle.manifest.classes)
    if by not in ("map", "labels"):
        raise ConfigError("the source of classes is unknown", by, "Give map or labels.")
    seen, part = _looked_at(bundle, scene, window, read, view)
    codes = seen.codes if by == "map" else _labels(seen)
    mask = part & seen.valid & (codes == code)
    where = "mapped as it" if by == "map" else "labelled as it"
    if not mask.any():
        raise CryonetError(
            "the window has no pixel of the class",
            target,
            f"None with all layers is {where}; take another window.",
        )
    return _mean(seen, mask, target, against, f"the {int(mask.sum()):,} pixels {where}")


def correct_against_wrong(
    bundle: Bundle,
    scene: xr.Dataset,
    target: str,
    window: Window | None = None,
    against: str = "",
    *,
    wrong: str = "mapped",
    read: ReadPixels | None = None,
    view: View | None = None,
) -> Question:
    """Ask what sets the pixels where the map is right about a class apart from wrong ones.

    Parameters
    ----------
    window
        All of the scene, or of the view, by default.
    wrong
        Which pixels those are, a name from `WRONG`. Right ones are mapped and labelled as
        the class.

    Raises
    ------
    GridError
        If the window is outside the scene, or too large to explain at once.
    SceneError
        If the scene has no labels.
    CryonetError
        If there is no right pixel, or no wrong one.
    ConfigError
        If the model has no such class, or `wrong` is unknown.
    """
    code = class_code(target, bundle.manifest.classes)
    if wrong not in WRONG:
        raise ConfigError("the kind of wrong pixels is unknown", wrong, f"Give {', '.join(WRONG)}.")
    seen, part = _looked_at(bundle, scene, window, read, view)
    labels = _labels(seen)
    part = part & seen.valid & (labels != NODATA)
    right = part & (seen.codes == code) & (labels == code)
    off = part & WRONG[wrong](seen.codes, labels, code)
    for mask, word in ((right, "right"), (off, "wrong")):
        if not mask.any():
            rule = f"Of {target}, none is {word} ({wrong}) here; take another window."
            raise CryonetError(f"the window has no {word} pixel", target, rule)
    counts = f"{int(right.sum()):,} right against {int(off.sum()):,} wrong pixels ({wrong})"
    weights = right / right.sum() - off / off.sum()
    return Question(seen.window, weights, target, against, _label(target, against, counts))


def _shape(scene: xr.Dataset) -> tuple[int, int]:
    height, width = geobox_of(scene).shape
    return int(height), int(width)


def _view(bundle: Bundle, scene: xr.Dataset, window: Window, read: ReadPixels | None) -> View:
    shape = _shape(scene)
    check_window(window, shape)
    return View.of(bundle, scene, surroundings(window, shape, bundle.manifest.tile), read=read)


def _looked_at(
    bundle: Bundle,
    scene: xr.Dataset,
    window: Window | None,
    read: ReadPixels | None,
    view: View | None,
) -> tuple[View, Mask]:
    whole = view.window if view else Window(0, 0, *_shape(scene))
    asked = window or whole
    seen = view or _view(bundle, scene, asked, read)
    return seen, _mask(seen, asked, np.ones((asked.height, asked.width), bool))


def _mask(view: View, window: Window, inside: Mask) -> Mask:
    """Return a mask on the view's pixels from one on a window in it."""
    inner = window.within(view.window)
    height, width = view.flags.shape
    if not (
        inner.row >= 0
        and inner.col >= 0
        and inner.row + inner.height <= height
        and inner.col + inner.width <= width
    ):
        rule = "Move the view, or ask without one."
        raise GridError("what is asked about is not inside the view", window, rule)
    found = np.zeros((height, width), bool)
    found[inner.slices] = inside
    return found


def _bounds(polygon: BaseGeometry, grid: GeoBox, what: str) -> Window:
    """Return the pixels that a polygon may touch."""
    height, width = (int(side) for side in grid.shape)
    if not polygon.is_empty:
        west, south, east, north = polygon.bounds
        left, top = ~grid.affine * (west, north)
        right, bottom = ~grid.affine * (east, south)
        first = (max(0, int(np.floor(top))), max(0, int(np.floor(left))))
        last = (min(height, int(np.ceil(bottom))), min(width, int(np.ceil(right))))
        if first[0] < last[0] and first[1] < last[1]:
            return Window(*first, last[0] - first[0], last[1] - first[1])
    rule = "It must hold a pixel's centre; its coordinates are the scene's, or give its CRS."
    raise GridError("no pixel of the scene lies in the polygon", what, rule)


def _labels(view: View) -> Codes:
    if view.labels is None:
        rule = "Ask by the map, or add labels to the scene."
        raise SceneError("the scene has no labels", list(view.scene.data_vars), rule)
    return view.labels


def _mean(view: View, mask: Mask, target: str, against: str, where: str) -> Question:
    classes = view.bundle.manifest.classes
    mask = mask & view.valid
    if not target:
        codes = view.codes[mask]
        target = classes[int(np.bincount(codes, minlength=len(classes)).argmax())]
    for name in filter(None, (target, against)):
        class_code(name, classes)
    return Question(view.window, mask / mask.sum(), target, against, _label(target, against, where))


def _label(target: str, against: str, where: str) -> str:
    return f"{target}{f' against {against}' if against else ''} at {where}"
