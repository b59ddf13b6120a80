"""Weighted sums of overlapping windows, compiled."""

from __future__ import annotations

from typing import Any

from numba import njit


@njit(cache=True, nogil=True, boundscheck=False)
def add_weighted(sums: Any, values: Any, by_row: Any, by_col: Any) -> None:
    """Add `values` ``(output, y, x)``, times a weight a row and a column, to `sums` in place.

    In double precision, without temporary arrays.
    """
    outputs, height, width = values.shape
    for k in range(outputs):
        for y in range(height):
            weight = by_row[y]
            for x in range(width):
                sums[k, y, x] += values[k, y, x] * (weight * by_col[x])
