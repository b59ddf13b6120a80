"""What was set by hand in a prediction: how much ground of which class, in place of which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.binned_areas import BinnedAreas
from cryonet.classes import NODATA
from cryonet.evaluate import Scores
from cryonet.prediction_files import PredictionStrip


@dataclass(frozen=True, slots=True)
class HandAreas:
    """Ground set by hand.

    Attributes
    ----------
    classes
        Their names.
    pixels
        How many.
    km2
        ``(class now, class of the model)``; the last column is of pixels that had none.
    """

    classes: tuple[str, ...]
    pixels: int
    km2: NDArray[np.float64]

    @property
    def by_class(self) -> NDArray[np.float64]:
        """The area of each class that was set by hand, km²."""
        return np.asarray(self.km2.sum(axis=1), np.float64)

    @property
    def changed(self) -> float:
        """The area whose class is another than the model's, km²."""
        return float(self.km2.sum() - np.trace(self.km2))

    def changes(self) -> Iterator[tuple[str, str, float]]:
        """Yield the model's class, the class by hand and the area, km², where they differ.

        The model's class is empty where it had none.
        """
        for now, row in zip(self.classes, self.km2, strict=True):
            for was, area in zip((*self.classes, ""), row, strict=True):
                if area > 0 and was != now:
                    yield was, now, float(area)


class HandTally:
    """Counts ground set by hand, rows added from the top."""

    def __init__(self, geobox: GeoBox, *, classes: Sequence[str]) -> None:
        self._classes, self._pixels = tuple(classes), 0
        self._bins = BinnedAreas(geobox, (len(self._classes), len(self._classes) + 1))

    def add(self, strip: PredictionStrip) -> None:
        """Add rows below those that were added before."""
        now = np.where(strip.hand, strip.codes, NODATA)
        self._bins.add(now, np.minimum(strip.model_codes, len(self._classes)))
        self._pixels += int(strip.hand.sum())

    def areas(self) -> HandAreas:
        """Return what was counted."""
        return HandAreas(self._classes, self._pixels, self._bins.km2.copy())


@dataclass(frozen=True, slots=True)
class HandScored:
    """What hands did to the pixels that scores are of.

    Attributes
    ----------
    pixels
        How many of them were set by hand.
    model
        The scores of the model's own map, on the same labels.
    """

    pixels: int
    model: Scores
