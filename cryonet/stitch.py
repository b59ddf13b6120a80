"""Run a function over overlapping windows and blend the results without seams or frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cryonet.blend_kernel import add_weighted
from cryonet.errors import ConfigError, GridError
from cryonet.grid import Window, starts
from cryonet.progress import SILENT, Progress
from cryonet.side_by_side import run_in_order

Blend = Literal["cosine", "linear", "constant"]

#: The flag of a valid pixel.
VALID = 1

#: From a window to its input ``(layer, y, x)`` and where it is valid ``(y, x)``: true, or a
#: number with the flag `VALID`; other flags are handed on.
Read = Callable[[Window], tuple[NDArray[np.float32], NDArray[np.bool_] | NDArray[np.uint8]]]
#: From inputs ``(batch, layer, y, x)``, or what `stage` of `strips` makes of them, to outputs
#: ``(batch, class, y, x)``.
Run = Callable[[Any], NDArray[np.float32]]


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


def window_count(shape: tuple[int, int], tile: int, overlap: float) -> int:
    """Return how many windows cover rows and columns, with an overlap as a share of one."""
    pixels = overlap_pixels(tile, overlap)
    return len(starts(shape[0], tile, pixels)) * len(starts(shape[1], tile, pixels))


@dataclass(frozen=True, slots=True)
class Strip:
    """Rows of the blended output that no later window will change.

    Attributes
    ----------
    top
        Its first row in the whole.
    values
        ``(output, y, x)``, NaN in holes.
    flags
        ``(y, x)``, uint8, what `Read` gave: 1 is set where pixels are valid.
    """

    top: int
    values: NDArray[np.float32]
    flags: NDArray[np.uint8]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Where pixels are valid, ``(y, x)``."""
        return (self.flags & VALID).astype(bool)


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

    The strips of `strips`, one under the other; the parameters are the same.
    """
    total = np.empty((outputs, *shape), np.float32)
    valid = np.zeros(shape, bool)
    options = {"outputs": outputs, "tile": tile, "overlap": overlap, "blend": blend}
    for strip in strips(read, run, shape, **options, batch=batch, progress=progress):  # type: ignore[arg-type]
        rows = slice(strip.top, strip.top + len(strip.flags))
        total[:, rows], valid[rows] = strip.values, strip.valid
    return total, valid


def strips(
    read: Read,
    run: Run,
    shape: tuple[int, int],
    *,
    outputs: int,
    tile: int,
    overlap: float,
    blend: str = "cosine",
    batch: int = 4,
    first: int = 0,
    ahead: int = 0,
    workers: int = 1,
    stage: Callable[[NDArray[np.float32]], Any] = np.asarray,
    progress: Progress = SILENT,
) -> Iterator[Strip]:
    """Yield the blended output from the top down, each row of windows as it is finished.

    Each pixel is the mean, weighted by `blend`, of the outputs of all windows over it.
    Windows with no valid pixel are never run. Memory holds one row of windows.

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
    first
        The first row that is wanted, the top of a strip: what lies above is run only as far
        as windows over that row reach up.
    ahead, workers
        Batches that a thread reads ahead, 0 reads in turn; batches run at once: see
        `cryonet.side_by_side.run_in_order`.
    stage
        What is done there with inputs before they are run.

    Raises
    ------
    Cancelled
        From `progress`, told of every batch.
    """
    sweep = _Sweep.over(shape, tile, overlap_pixels(tile, overlap), blend, first)
    batches = sweep.batches(max(1, batch))
    # Windows above the first wanted row count as done.
    skipped = sweep.begin * len(sweep.cols)
    total = len(sweep.rows) * len(sweep.cols)
    progress.step(skipped, total, "predicting")

    def load(number: int) -> tuple[list[NDArray[np.uint8]], list[int], Any]:
        row, cols = batches[number]
        flags: list[NDArray[np.uint8]] = []
        full: list[int] = []
        inputs = None
        for place, col in enumerate(cols):
            values, known = read(sweep.window(row, col))
            flags.append(np.asarray(known).astype(np.uint8))
            if (flags[-1] & VALID).any():
                if inputs is None:
                    inputs = _room(len(cols), values)
                inputs[len(full)] = values
                full.append(place)
        return flags, full, None if inputs is None else stage(inputs[: len(full)])

    def ran(batch: tuple[list[NDArray[np.uint8]], list[int], Any]) -> tuple[Any, ...]:
        known, full, inputs = batch
        return known, full, () if inputs is None else run(inputs)

    # Single precision would do for the result, not for a constant model's sum of one.
    buffer = np.zeros((outputs, sweep.height, shape[1]))
    flags = np.zeros((sweep.height, shape[1]), np.uint8)
    done = skipped
    with closing(run_in_order(load, ran, len(batches), ahead=ahead, workers=workers)) as results:
        for (row, cols), (known, full, found) in zip(batches, results, strict=True):
            places = [sweep.window(row, col).slices[1] for col in cols]
            for place, part in zip(places, known, strict=True):
                flags[:, place] = part
            for number, result in zip(full, found, strict=True):
                weights = sweep.by_row[row], sweep.by_col[cols[number]]
                add_weighted(buffer[:, :, places[number]], result, *weights)
            done += len(cols)
            progress.step(done, total, "predicting")
            if cols[-1] + 1 < len(sweep.cols):
                continue
            count = sweep.finished(row)
            if sweep.rows[row] >= first:
                yield _strip(sweep.rows[row], buffer[:, :count], flags[:count])
            left = sweep.height - count
            buffer[:, :left], flags[:left] = buffer[:, count:], flags[count:]
            buffer[:, left:], flags[left:] = 0, 0


def _room(count: int, like: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return room for windows, each in memory in the order of the one given."""
    order = sorted(range(like.ndim), key=lambda axis: -like.strides[axis])
    whole = np.empty((count, *(like.shape[axis] for axis in order)), np.float32)
    return whole.transpose(0, *(1 + order.index(axis) for axis in range(like.ndim)))


def _strip(top: int, sums: NDArray[np.float64], flags: NDArray[np.uint8]) -> Strip:
    # Every window over a valid pixel was run, so the weights there sum to one.
    values = sums.astype(np.float32)
    values[:, (flags & VALID) == 0] = np.nan
    return Strip(top, values, flags.copy())


@dataclass(frozen=True, slots=True)
class _Sweep:
    """The windows over a grid, row by row, and their weights."""

    rows: list[int]
    cols: list[int]
    by_row: list[NDArray[np.float64]]
    by_col: list[NDArray[np.float64]]
    length: int
    begin: int

    @classmethod
    def over(
        cls, shape: tuple[int, int], tile: int, overlap: int, blend: str, first: int
    ) -> _Sweep:
        rows, cols = starts(shape[0], tile, overlap), starts(shape[1], tile, overlap)
        if first and first not in rows:
            raise GridError("no strip begins at a row", first, f"Strips begin at {rows}.")
        by_row, by_col = (blend_weights(length, tile, overlap, blend) for length in shape)
        begin = next(n for n, row in enumerate(rows) if row + len(by_row[0]) > first)
        return cls(rows, cols, by_row, by_col, shape[0], begin)

    @property
    def height(self) -> int:
        return len(self.by_row[0])

    def window(self, row: int, col: int) -> Window:
        return Window(self.rows[row], self.cols[col], self.height, len(self.by_col[0]))

    def batches(self, size: int) -> list[tuple[int, range]]:
        """Return rows of windows with some of their columns, in order."""
        return [
            (row, range(col, min(col + size, len(self.cols))))
            for row in range(self.begin, len(self.rows))
            for col in range(0, len(self.cols), size)
        ]

    def finished(self, row: int) -> int:
        """Return how many rows from the top of a row of windows no later one covers."""
        below = self.rows[row + 1] if row + 1 < len(self.rows) else self.length
        return below - self.rows[row]
