"""Hypsometry: the area of each class by elevation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.binned_areas import BinnedAreas
from cryonet.scene import VARIABLES

#: Heights of bands to choose from, m; the first of them is what is counted in. Our choice.
STEPS = (10, 20, 50, 100, 200, 500)

#: More bands than this are not read.
MOST = 30

# A multiple of every step, below all ground.
_BASE, _TOP = -1000, 9000
_UNKNOWN = (_TOP - _BASE) // STEPS[0]


@dataclass(frozen=True, slots=True)
class Hypsometry:
    """Areas by class and elevation band, km².

    Attributes
    ----------
    classes
        Their names.
    edges
        Of the bands, m, from the lowest up: band i holds elevations in [edge i, edge i + 1).
    km2
        ``(class, band)``.
    unknown
        Area of each class where no elevation is known, km².
    """

    classes: tuple[str, ...]
    edges: NDArray[np.int64]
    km2: NDArray[np.float64]
    unknown: NDArray[np.float64]


class HypsometryTally:
    """Counts areas by class and elevation, rows added from the top.

    Parameters
    ----------
    geobox
        Of all rows.
    classes
        Names in the order of their codes.
    """

    def __init__(self, geobox: GeoBox, *, classes: Sequence[str]) -> None:
        self._classes = tuple(classes)
        # The last bin is of unknown elevation.
        self._bins = BinnedAreas(geobox, (len(self._classes), _UNKNOWN + 1))

    def add(self, codes: NDArray[np.integer], elevation: NDArray[np.floating]) -> None:
        """Add rows ``(y, x)`` below those that were added before.

        Parameters
        ----------
        codes
            Class codes; 255 has no area.
        elevation
            In m. NaN, and what no ground has, is unknown.
        """
        low, high = VARIABLES["elevation"].limits
        known = (elevation >= low) & (elevation < min(high, _TOP))
        bins = np.full(codes.shape, _UNKNOWN)
        heights = elevation[known].astype(np.float64)
        bins[known] = np.floor((heights - _BASE) / STEPS[0]).astype(np.int64)
        self._bins.add(codes, bins)

    def hypsometry(self) -> Hypsometry:
        """Return what was counted, in the lowest bands of `STEPS` of which `MOST` are enough."""
        fine = self._bins.km2[:, :-1]
        held = np.flatnonzero(fine.any(axis=0))
        first, last = (held[0], held[-1]) if held.size else (0, -1)
        for step in STEPS:
            width = step // STEPS[0]
            start, end = first // width, last // width + 1
            if end - start <= MOST:
                break
        coarse = fine[:, start * width : end * width]
        edges = _BASE + step * np.arange(start, end + 1)
        km2 = coarse.reshape(len(self._classes), end - start, width).sum(axis=2)
        return Hypsometry(self._classes, edges, km2, self._bins.km2[:, -1].copy())
