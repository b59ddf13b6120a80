"""Weighted sums of bands: the arithmetic of principal components and tasseled caps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cryonet.layers.spec import Array

#: Pixels whose sums stay in the processor's nearest cache while all bands are added.
_SPAN = 1024


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"}, boundscheck=False)
def _sum_bands(bands: Any, weights: Any, shifts: Any, out: Any) -> None:
    # Two bands at a time: half as many passes over the sums.
    for start in range(0, out.shape[1], _SPAN):
        stop = min(start + _SPAN, out.shape[1])
        for axis in range(weights.shape[0]):
            line = out[axis, start:stop]
            line[:] = shifts[axis]
            for number in range(0, len(bands) - 1, 2):
                one, two = bands[number][start:stop], bands[number + 1][start:stop]
                a, b = weights[axis, number], weights[axis, number + 1]
                for x in range(line.size):
                    line[x] += a * one[x] + b * two[x]
            if len(bands) % 2:
                one, a = bands[len(bands) - 1][start:stop], weights[axis, len(bands) - 1]
                for x in range(line.size):
                    line[x] += a * one[x]


def weighted_sums(
    bands: Sequence[Array], weights: NDArray[np.floating[Any]], shifts: NDArray[np.floating[Any]]
) -> Array:
    """Return ``shifts + weights @ bands`` for every pixel, NaN where any band is missing.

    Parameters
    ----------
    bands
        Arrays of one shape ``(y, x)``.
    weights
        ``(axis, band)``.
    shifts
        ``(axis,)``.

    Returns
    -------
    ``(axis, y, x)`` float32.
    """
    shape = bands[0].shape
    flat = tuple(np.ascontiguousarray(band, np.float32).reshape(-1) for band in bands)
    out = np.empty((len(weights), flat[0].size), np.float32)
    _sum_bands(flat, np.asarray(weights, np.float32), np.asarray(shifts, np.float32), out)
    return out.reshape(len(weights), *shape)
