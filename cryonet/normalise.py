"""Layer statistics from training pixels, and their use: clip, centre, scale, fill."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from cryonet.errors import LayerError
from cryonet.layers.spec import LayerSpec


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
    fitted: list[LayerStatistics] = []
    for spec, layer in zip(specs, values, strict=True):
        known = layer[np.isfinite(layer)].astype("float64")
        if known.size == 0:
            raise LayerError("the layer is empty in training", spec.name, "Leave it out.")
        low, high = np.percentile(known, [clip, 100 - clip])
        known = known.clip(low, high)
        mean, std = float(known.mean()), float(known.std())
        # A constant layer carries nothing; a scale of one keeps it finite.
        scale = std if std > 1e-9 * max(1.0, abs(mean)) else 1.0
        fitted.append(
            LayerStatistics(mean=mean, std=scale, low=float(low), high=float(high), fill=mean)
        )
    return _share_directions(fitted, specs)


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
    if stack.shape[0] != len(statistics):
        raise LayerError(
            "the stack does not fit its statistics",
            f"{stack.shape[0]} layers, {len(statistics)} statistics",
            "Give one for each layer.",
        )
    out = np.empty(stack.shape, np.float32)
    valid = np.ones(stack.shape[1:], bool)
    for index, stats in enumerate(statistics):
        known = np.isfinite(stack[index])
        valid &= known
        values = np.where(known, stack[index], np.float32(stats.fill))
        np.clip(values, stats.low, stats.high, out=values)
        out[index] = (values - np.float32(stats.mean)) / np.float32(stats.std)
    return out, valid
