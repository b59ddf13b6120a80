"""Rows of a prediction as they are stored, and who makes them: this process, or others."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cryonet.map_strips import add_filled, map_strip, model_strips
from cryonet.model_pass import ModelPass
from cryonet.prediction_record import to_bytes
from cryonet.progress import SILENT, Progress
from cryonet.stitch import Strip


@dataclass(frozen=True, slots=True)
class PredictionRows:
    """Whole rows of a prediction's rasters.

    Attributes
    ----------
    top
        The first of them.
    rasters
        By name, ``(band, y, x)`` as they are stored.
    filled
        For each model, at how many pixels it found each group of optional families missing.
    """

    top: int
    rasters: dict[str, NDArray[np.uint8]]
    filled: list[dict[str, int]]


#: Makes rows whose probabilities are known: work for the thread that writes them.
Pending = Callable[[], PredictionRows]


class RowMaker(Protocol):
    """Makes the rows that a prediction still lacks."""

    def rows(self, gaps: Sequence[range], progress: Progress) -> Generator[Pending]:
        """Yield rows until every one of `gaps` was given once, in any order."""
        ...


@dataclass(frozen=True, slots=True)
class OwnRows:
    """Makes rows in this process, from the top down.

    Attributes
    ----------
    passes
        Of the models over the same windows of the same scene.
    ahead
        Batches that a thread reads ahead of each model.
    """

    passes: Sequence[ModelPass]
    ahead: int = 0

    def rows(self, gaps: Sequence[range], progress: Progress = SILENT) -> Generator[Pending]:
        """Yield the rows of `gaps`, each of which begins at a strip and ends with one."""
        for gap in gaps:
            found = model_strips(self.passes, first=gap.start, ahead=self.ahead, progress=progress)
            with closing(found):
                for parts in found:
                    yield partial(self._stored, parts)
                    if parts[0].top + len(parts[0].flags) >= gap.stop:
                        break

    def block(self, rows: range, progress: Progress = SILENT) -> PredictionRows:
        """Return the rows of several strips as one."""
        strips = [pending() for pending in self.rows([rows], progress)]
        filled: list[dict[str, int]] = []
        for strip in strips:
            filled = add_filled(filled, strip.filled)
        rasters = {
            name: np.concatenate([strip.rasters[name] for strip in strips], axis=1)
            for name in strips[0].rasters
        }
        return PredictionRows(rows.start, rasters, filled)

    def _stored(self, parts: Sequence[Strip]) -> PredictionRows:
        strip = map_strip(parts, self.passes, disagree=len(self.passes) > 1)
        rasters = {name: to_bytes(name, values) for name, values in strip.maps.items()}
        return PredictionRows(strip.top, rasters, list(strip.filled))
