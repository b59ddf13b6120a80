"""Run a function over overlapping windows and blend the results without seams or frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cryonet.errors import ConfigError
from cryonet.grid import Window, starts, tile_windows
from cryonet.progress import SILENT, Progress

Blend = Literal["cosine", "linear", "constant"]

#: From a window to its input ``(layer, y, x)`` and where it is valid ``(y, x)``.
Read = Callable[[Window], tuple[NDArray[np.float32], NDArray[np.bool_]]]
#: From inputs ``(batch, layer, y, x)`` to outputs ``(batch, class, y, x)``.
Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def _cosine(length: int) -> NDArray[np.float64]:
    return np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2


def _linear(length: int) -> NDArray[np.float64]:
    place = np.arange(length)
    return np.minimum(place + 1, length - place) / (length / 2)


def _constant(length: int) -> NDArray[np.float64]:
    return np.ones(length)


BLENDS: Mapping[str, Callable[[int], NDArray[np.float64]]] = {
    "cosine": _cosine,
    "linear": _linear,
    "constant": _constant,
}


def blend_weights(length: int, tile: int, overlap: int, blend: str) -> list[NDArray[np.float64]]:
    """Return, along one side, the weights of each window: at every pixel they sum to one.

    A weight of zero at a window's edge would leave the raster's own edge without any
    prediction; a floor of one thousandth keeps a frame from forming.

    Parameters
    ----------
    length
        Pixels of the whole side.
    tile, overlap
        Pixels of a window, and pixels that neighbours share at least.
    """
    if blend not in BLENDS:
        raise ConfigError("the blend is unknown", blend, f"Known are: {', '.join(BLENDS)}.")
    profile = np.maximum(BLENDS[blend](min(tile, length)), 1e-3)
    firsts = starts(length, tile, overlap)
    total = np.zeros(length)
    for first in firsts:
        total[first : first + len(profile)] += profile
    return [profile / total[first : first + len(profile)] for first in firsts]


def overlap_pixels(tile: int, overlap: float) -> int:
    """Return the overlap of neighbouring windows in pixels, from a share of 0 to 0.5."""
    if not 0 <= overlap <= 0.5:
        raise ConfigError("the overlap is out of range", overlap, "Give a share from 0 to 0.5.")
    return round(tile * overlap)


def stitch(
    read: Read,
    run: Run,
    shape: tuple[int, int],
    *,
    outputs: int,
    tile: int,
    overlap: float,
    blend: str = "cosine",
    batch: int = 4,
    progress: Progress = SILENT,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the blended output ``(output, y, x)``, NaN in holes, and the valid mask.

    Each pixel is the mean, weighted by `blend`, of the outputs of all windows over it.
    Windows with no valid pixel are never run.

    Parameters
    ----------
    read, run
        Give a window's input and validity; turn a batch of inputs into outputs.
    shape
        Rows and columns of the whole.
    outputs
        Number of output channels.
    tile, overlap
        Side of a window in pixels and the share its neighbour covers too.
    batch
        Windows run at once.

    Raises
    ------
    Cancelled
        From `progress`, told of every batch.
    """
    pixels = overlap_pixels(tile, overlap)
    windows = list(tile_windows(shape, tile, overlap=pixels))
    by_row, by_col = (blend_weights(length, tile, pixels, blend) for length in shape)
    rows, cols = starts(shape[0], tile, pixels), starts(shape[1], tile, pixels)
    # The strip under the current row of windows, in double precision: rounding of a sum
    # of windows stays below that of the result.
    strip = np.zeros((outputs, len(by_row[0]), shape[1]))
    total = np.empty((outputs, *shape), np.float32)
    valid = np.zeros(shape, bool)
    done = 0
    progress.step(0, len(windows), "predicting")
    for number, (top, height_weights) in enumerate(zip(rows, by_row, strict=True)):
        line = windows[number * len(cols) : (number + 1) * len(cols)]
        for start in range(0, len(line), max(1, batch)):
            group = range(start, min(start + max(1, batch), len(line)))
            read_group = [(index, *read(line[index])) for index in group]
            for index, _, known in read_group:
                valid[line[index].slices] = known
            full = [(index, values) for index, values, known in read_group if known.any()]
            if full:
                results = run(np.stack([values for _, values in full]))
                for (index, _), result in zip(full, results, strict=True):
                    weight = np.outer(height_weights, by_col[index])
                    strip[:, :, line[index].slices[1]] += result * weight
            done += len(group)
            progress.step(done, len(windows), "predicting")
        # Rows above the next row of windows are finished.
        finished = (rows[number + 1] if number + 1 < len(rows) else shape[0]) - top
        total[:, top : top + finished] = strip[:, :finished]
        strip = np.roll(strip, -finished, axis=1)
        strip[:, strip.shape[1] - finished :] = 0
    # Every window over a valid pixel was run, so the weights there sum to one.
    total[:, ~valid] = np.nan
    return total, valid
