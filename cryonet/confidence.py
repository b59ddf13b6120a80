"""Confidence: how it is spread over the classes of a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.binned_areas import BinnedAreas
from cryonet.prediction_record import STEP

#: Confidence below this is low: of four classes, an even choice between two has it. Our choice.
LOW = 0.5

_STEPS = round(1 / STEP)


@dataclass(frozen=True, slots=True)
class ConfidenceShares:
    """Areas by class and confidence, km².

    Attributes
    ----------
    classes
        Their names.
    km2
        ``(class, step)``: step i has the confidence i / 250, as predictions store it.
    """

    classes: tuple[str, ...]
    km2: NDArray[np.float64]

    def between(self, low: float, high: float) -> NDArray[np.float64]:
        """Return the share of each class's area with confidence in [low, high); NaN without area.

        Of all classes together it is the last.
        """
        # Compared as integers: the ends are no sums of binary fractions.
        steps = np.arange(_STEPS + 1)
        inside = (steps >= low * _STEPS) & (steps < high * _STEPS)
        return _over(self._rows[:, inside].sum(axis=1), self._rows)

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean over the area of each class, and of all together; NaN without area."""
        return _over(self._rows @ (np.arange(_STEPS + 1) / _STEPS), self._rows)

    @property
    def _rows(self) -> NDArray[np.float64]:
        return np.concatenate([self.km2, self.km2.sum(axis=0, keepdims=True)])


def _over(sums: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    total, share = rows.sum(axis=1), np.full(len(rows), np.nan)
    np.divide(sums, total, out=share, where=total > 0)
    return share


class ConfidenceTally:
    """Counts areas by class and confidence, rows added from the top.

    Parameters
    ----------
    geobox
        Of all rows.
    classes
        Names in the order of their codes.
    """

    def __init__(self, geobox: GeoBox, *, classes: Sequence[str]) -> None:
        self._classes = tuple(classes)
        self._bins = BinnedAreas(geobox, (len(self._classes), _STEPS + 1))

    def add(self, codes: NDArray[np.integer], stored: NDArray[np.uint8]) -> None:
        """Add rows ``(y, x)`` below those that were added before.

        Parameters
        ----------
        codes
            Class codes; 255 has no area.
        stored
            Confidence as predictions store it, in steps of 1/250; more is none.
        """
        self._bins.add(codes, stored)

    def shares(self) -> ConfidenceShares:
        """Return what was counted."""
        return ConfidenceShares(self._classes, self._bins.km2.copy())
