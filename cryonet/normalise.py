"""Layer statistics from training pixels, and their use: clip, centre, scale, fill."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from cryonet.errors import LayerError
from cryonet.layers.spec import LayerSpec
from cryonet.normalise_kernel import normalise_layers
from cryonet.value_counts import ValueCounts


class LayerStatistics(BaseModel):
    """What is done to one layer before the network: clip, then (value − mean) / std.

    A missing value becomes `fill`, in the layer's own units.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float
    std: float
    low: float
    high: float
    fill: float


#: From nothing to the blocks of one pass: for each layer a 1-D array, NaN where missing.
Blocks = Callable[[], Iterable[Iterable[NDArray[np.float32]]]]


def fit_statistics(
    values: Sequence[NDArray[np.float32]], specs: Sequence[LayerSpec], *, clip: float = 0.1
) -> list[LayerStatistics]:
    """Return the statistics of each layer over training pixels.

    Values outside the `clip` and 100 − `clip` percentiles are clipped; mean and standard
    deviation are those of the clipped values, in double precision, holes left out. The
    components of one direction get mean 0 and one common scale, so that turning a chip
    and normalising it commute.

    Parameters
    ----------
    values
        For each layer the 1-D array of its training pixels, NaN where missing.
    specs
        The layers, in the same order.

    Raises
    ------
    LayerError
        If a layer has no valid training pixel.
    """
    return stream_statistics(lambda: [values], specs, clip=clip)


def stream_statistics(
    blocks: Blocks, specs: Sequence[LayerSpec], *, clip: float = 0.1
) -> list[LayerStatistics]:
    """Return what `fit_statistics` does, from pixels that come in blocks, in three passes.

    Percentiles are exact; means and deviations of blocks are brought together (Chan et al.
    1979), so that another cut into blocks changes them by rounding only.

    Parameters
    ----------
    blocks
        Gives the blocks of a pass, the same ones in every pass.

    Raises
    ------
    LayerError
        If a layer has no valid training pixel.
    """
    counts = [ValueCounts((clip, 100 - clip)) for _ in specs]
    for turn in range(2):
        for block in blocks():
            for layer, values in zip(counts, block, strict=True):
                layer.look(values[np.isfinite(values)])
        for layer, spec in zip(counts, specs, strict=True):
            if layer.count == 0:
                raise LayerError("the layer is empty in training", spec.name, "Leave it out.")
            if turn == 0:
                layer.narrow()
    limits = [layer.percentiles() for layer in counts]
    moments = [_Moments() for _ in specs]
    for block in blocks():
        for layer_moments, (low, high), values in zip(moments, limits, block, strict=True):
            known = values[np.isfinite(values)].astype("float64")
            layer_moments.add(known.clip(low, high))
    fitted = [_statistics(m, low, high) for m, (low, high) in zip(moments, limits, strict=True)]
    return _share_directions(fitted, specs)


@dataclass(slots=True)
class _Moments:
    """Count, mean and sum of squared deviations, brought together block by block."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        if not values.size:
            return
        mean = float(values.mean())
        squares = float(np.square(values - mean).sum())
        total, apart = self.count + values.size, mean - self.mean
        self.squares += squares + apart**2 * self.count * values.size / total
        self.mean = mean if not self.count else self.mean + apart * values.size / total
        self.count = total


def _statistics(moments: _Moments, low: float, high: float) -> LayerStatistics:
    std = math.sqrt(moments.squares / moments.count)
    # A constant layer carries nothing; a scale of one keeps it finite.
    scale = std if std > 1e-9 * max(1.0, abs(moments.mean)) else 1.0
    return LayerStatistics(mean=moments.mean, std=scale, low=low, high=high, fill=moments.mean)


def _share_directions(
    fitted: list[LayerStatistics], specs: Sequence[LayerSpec]
) -> list[LayerStatistics]:
    shared = list(fitted)
    for vector in {s.vector for s in specs if s.direction != "scalar"}:
        members = [i for i, s in enumerate(specs) if s.vector == vector]
        power = np.mean([fitted[i].mean ** 2 + fitted[i].std ** 2 for i in members])
        reach = max(max(abs(fitted[i].low), abs(fitted[i].high)) for i in members)
        for i in members:
            shared[i] = LayerStatistics(
                mean=0.0, std=float(np.sqrt(power)), low=-reach, high=reach, fill=0.0
            )
    return shared


def normalise(
    stack: NDArray[np.float32], statistics: Sequence[LayerStatistics]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the stack as the network sees it, and where every layer is valid.

    Parameters
    ----------
    stack
        Array ``(layer, y, x)`` in the layers' own units, NaN or infinite where missing.
    statistics
        One for each layer, in order.

    Returns
    -------
    normalised
        Array ``(layer, y, x)``, finite everywhere.
    valid
        Array ``(y, x)``: False where any layer is missing. The holes of a scene are the
        union of the holes of its layers.
    """
    out, lacking = np.empty(stack.shape, np.float32), np.empty(stack.shape[1:], np.uint8)
    normalise_into(out, lacking, stack, statistics, np.zeros(len(stack), np.uint8))
    return out, lacking == 0


def normalise_into(
    out: NDArray[np.float32],
    lacking: NDArray[np.uint8],
    stack: NDArray[np.float32],
    statistics: Sequence[LayerStatistics],
    groups: NDArray[np.uint8],
) -> None:
    """Fill `out` with what `normalise` returns, and `lacking` with what is missing.

    Parameters
    ----------
    out
        Array ``(layer, y, x)`` in any order in memory.
    lacking
        Array ``(y, x)``: bits, 0 where nothing is missing.
    stack, statistics
        As for `normalise`.
    groups
        For each layer the bit that is set where it is missing. Layers of one group, but of
        group 0, become 0 together where one of them is missing.
    """
    if stack.shape[0] != len(statistics):
        raise LayerError(
            "the stack does not fit its statistics",
            f"{stack.shape[0]} layers, {len(statistics)} statistics",
            "Give one for each layer.",
        )
    numbers = [(s.mean, s.std, s.low, s.high, s.fill) for s in statistics]
    normalise_layers(stack, np.array(numbers, np.float32), groups, out, lacking)
