"""One image of several passes: the best pixel, or the median of the clear ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: The pass of a pixel that none shows.
NONE = 255


@dataclass(frozen=True, slots=True)
class Layer:
    """What one item shows of a window.

    Attributes
    ----------
    place
        Which pass it is of, the best being 0.
    clear
        ``(y, x)``: where it can be used.
    values
        Gives ``(band, y, x)``, NaN where missing; asked for only if it is needed.
    """

    place: int
    clear: Mask
    values: Callable[[], Array]


def best_pixel(
    layers: Iterable[Layer], shape: tuple[int, int, int]
) -> tuple[Array, NDArray[np.uint8]]:
    """Return each pixel of the first layer that shows it whole, and its pass.

    All bands of a pixel are of one pass: its spectrum is one that was measured. Layers are
    asked for their values only where earlier ones left holes.

    Parameters
    ----------
    layers
        The best first.
    shape
        Bands, rows and columns.
    """
    out = np.full(shape, np.nan, np.float32)
    source = np.full(shape[1:], NONE, np.uint8)
    for layer in layers:
        wanted = layer.clear & (source == NONE)
        if not wanted.any():
            continue
        values = layer.values()
        taken = wanted & np.isfinite(values).all(axis=0)
        out[:, taken] = values[:, taken]
        source[taken] = layer.place
    return out, source


def median_of(
    layers: Iterable[Layer], shape: tuple[int, int, int], *, most: int
) -> tuple[Array, NDArray[np.uint8]]:
    """Return the median of each band over the first `most` passes that show a pixel, and how many.

    The bands of a pixel may then be of different passes.
    """
    stack: list[Array] = []
    count = np.zeros(shape[1:], np.uint8)
    for values in _passes(layers, shape):
        known = np.isfinite(values).all(axis=0) & (count < most)
        if known.any():
            stack.append(np.where(known, values, np.float32(np.nan)))
            count += known
    out = np.full(shape, np.nan, np.float32)
    seen = count > 0
    if stack:
        for k in range(shape[0]):  # a band at a time: the copies are large
            out[k, seen] = np.nanmedian(np.stack([values[k, seen] for values in stack]), axis=0)
    return out, count


def _passes(layers: Iterable[Layer], shape: tuple[int, int, int]) -> Iterator[Array]:
    """Yield one image a pass: where its tiles overlap the first one counts, and only it."""
    place, held = None, np.empty(0, np.float32)
    for layer in layers:
        if layer.place != place:
            if place is not None:
                yield held
            place, held = layer.place, np.full(shape, np.nan, np.float32)
        wanted: Any = layer.clear & ~np.isfinite(held).all(axis=0)
        if wanted.any():
            held[:, wanted] = layer.values()[:, wanted]
    if place is not None:
        yield held
