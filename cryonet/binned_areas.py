"""Binned areas: how much ground of each class lies in each bin of another quantity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.grid import pixel_areas


class BinnedAreas:
    """Adds up areas by class and bin, rows added from the top.

    Attributes
    ----------
    km2
        Of the rows so far, ``(class, bin)``.

    Parameters
    ----------
    geobox
        Of all rows.
    shape
        How many classes and bins there are.
    """

    def __init__(self, geobox: GeoBox, shape: tuple[int, int]) -> None:
        self._areas, self._row = pixel_areas(geobox), 0
        self.km2 = np.zeros(shape)

    def add(self, codes: NDArray[np.integer], bins: NDArray[np.integer]) -> None:
        """Add rows ``(y, x)`` below those before; codes and bins that are none have no area."""
        count, width = self.km2.shape
        areas = np.broadcast_to(self._areas[self._row : self._row + len(codes)], codes.shape)
        known = (codes < count) & (bins < width)
        places = codes[known].astype(np.int64) * width + bins[known]
        sums = np.bincount(places, areas[known], self.km2.size)
        self.km2 += sums.reshape(self.km2.shape)
        self._row += len(codes)
