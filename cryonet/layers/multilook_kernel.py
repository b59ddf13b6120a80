"""Compiled sums over blocks of two complex images: multilooking.

Rows and segments are those of `cryonet.layers.coherence_kernel`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from cryonet.layers.coherence_kernel import are_samples, blank, products, turn

#: Rows that are added up in single precision.
_FEW = 16

_ZERO = np.float32(0)

_compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


@_compiled
def _add_cross(first: Any, second: Any, real: Any, imag: Any) -> None:
    for j in range(real.size):
        a, b, c, d = first[2 * j], first[2 * j + 1], second[2 * j], second[2 * j + 1]
        real[j] += a * c + b * d
        imag[j] += b * c - a * d


@_compiled
def _add_powers(first: Any, second: Any, one: Any, two: Any) -> bool:
    missing = False
    for j in range(one.size):
        a, b, c, d = first[2 * j], first[2 * j + 1], second[2 * j], second[2 * j + 1]
        p, q = a * a + b * b, c * c + d * d
        one[j] += p
        two[j] += q
        missing |= not are_samples(p, q)
    return not missing


@_compiled
def _add_rows(primary: Any, secondary: Any, first: int, last: int, out: Any) -> bool:
    """Fill the first four segments of `out` with sums over rows, or return False for holes."""
    w = out.size // 5
    out[: 4 * w] = _ZERO
    for row in range(first, last):
        one, two = primary[row][: 2 * w], secondary[row][: 2 * w]
        _add_cross(one, two, out[:w], out[w : 2 * w])
        if not _add_powers(one, two, out[2 * w : 3 * w], out[3 * w : 4 * w]):
            return False
    return True


@_compiled
def _accumulate(line: Any, total: Any) -> None:
    for i in range(line.size):
        total[i] += line[i]


@_compiled
def _sum_blocks(line: Any, out: Any) -> None:
    cols = line.size // out.size
    for j in range(out.size):
        total = 0.0
        for i in range(j * cols, (j + 1) * cols):
            total += line[i]
        out[j] = total


@_compiled
def _close_blocks(sums: Any, samples: int, out: Any) -> None:
    """Write a row of results from sums of the five segments, float64 ``(5, block)``."""
    real, imag, one, two, known = sums[0], sums[1], sums[2], sums[3], sums[4]
    for j in range(real.size):
        size = np.sqrt(real[j] * real[j] + imag[j] * imag[j])
        size = size if 2 * known[j] >= samples else np.nan
        out[0, j] = min(size / np.sqrt(one[j]) / np.sqrt(two[j]), 1.0)
        # Of no size no direction: 0 / 0.
        out[2, j], out[3, j] = real[j] / size, imag[j] / size
    for j in range(real.size):
        out[1, j] = turn(real[j], imag[j]) + _ZERO * out[2, j]


@_compiled
def block_rows(
    primary: Any, secondary: Any, looks: tuple[int, int], first: int, last: int, out: Any
) -> None:
    """Fill rows `first` to `last` (not included) of a multilooked interferogram.

    Parameters
    ----------
    primary, secondary
        Flat rows ``(y, 2 x)`` float32.
    looks
        Rows and columns of a block.
    first, last
        Rows of blocks.
    out
        ``(4, y, x)`` float32: coherence, wrapped phase, its cosine and its sine.
    """
    rows, cols = looks
    width = out.shape[2] * cols
    line, total = np.zeros(5 * width, np.float32), np.zeros(5 * width)
    sums = np.zeros((5, out.shape[2]))
    for block in range(first, last):
        top, bottom = block * rows, (block + 1) * rows
        # Few rows lose no digit that counts in single precision, and most have no hole.
        if rows <= _FEW and _add_rows(primary, secondary, top, bottom, line):
            for k in range(4):
                _sum_blocks(line[k * width : (k + 1) * width], sums[k])
            sums[4] = rows * cols
        else:
            total[:] = 0.0
            for row in range(top, bottom):
                products(primary[row][: 2 * width], secondary[row][: 2 * width], line)
                blank(line, width)
                _accumulate(line, total)
            for k in range(5):
                _sum_blocks(total[k * width : (k + 1) * width], sums[k])
        _close_blocks(sums, rows * cols, out[:, block])
