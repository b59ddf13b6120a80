"""Weighted sums of bands: the arithmetic of principal components and tasseled caps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cryonet.layers.spec import Array


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"}, boundscheck=False)
def _sum_line(bands: Any, weights: Any, shifts: Any, start: int, stop: int, out: Any) -> None:
    for axis in range(weights.shape[0]):
        line = out[axis]
        for x in range(start, stop):
            line[x] = shifts[axis]
        for number in range(len(bands)):
            band, weight = bands[number], weights[axis, number]
            for x in range(start, stop):
                line[x] += weight * band[x]


#: Pixels whose bands stay in the processor's nearest cache while all axes are summed.
_SPAN = 1024


@njit(cache=True, nogil=True, boundscheck=False)
def _sum_bands(bands: Any, weights: Any, shifts: Any, out: Any) -> None:
    for start in range(0, out.shape[1], _SPAN):
        stop = min(start + _SPAN, out.shape[1])
        _sum_line(bands, weights, shifts, start, stop, out)


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
