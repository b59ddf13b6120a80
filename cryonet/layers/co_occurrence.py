"""Kernels of the grey-level co-occurrence measures (Haralick 1973).

For every window the measures need the pairs of grey levels ``(i, j)`` an offset apart. Three
things keep the cost of a pixel small and free of the number of levels:

- Contrast, dissimilarity, homogeneity, mean, variance and correlation are sums over pairs:
  column sums are updated a row at a time, and a running sum goes along the row.
- Angular second moment and entropy need the counts of the pairs. One histogram slides along
  the row; it loses a column and gains one, and what a count's change does to Σ n² and
  Σ n ln n stands in a table, both packed into one 64-bit integer.
- A pair with a missing member falls into a slot of its own whose changes are zero, and so
  does every pair beyond the raster's edge.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: Steps of Σ n ln n in the table; 24 bits below it hold Σ n².
STEPS = float(1 << 20)

#: Steps of the homogeneity of one pair.
PARTS = float(1 << 20)

Table = NDArray[np.int64]


def count_changes(window: int, levels: int) -> tuple[Table, NDArray[np.uint16]]:
    """Return what the next pair does to the packed sums, and the empty histogram.

    The slots of a histogram start in three stretches of the table: unequal levels, where
    one pair counts for ``(i, j)`` and ``(j, i)``; equal levels, where it counts twice in
    one place; and the slot of missing pairs, where nothing changes.
    """
    most = window * window + 1
    count = np.arange(most, dtype=float)
    log = np.log(np.maximum(count, 1))
    table = np.zeros(3 * most, np.int64)
    for start, squares, entropy in (
        (0, 2 * count**2, 2 * count * log),
        (most, 4 * count**2, 2 * count * (log + np.log(2.0))),
    ):
        packed = (np.rint(entropy * STEPS).astype(np.int64) << 24) + squares.astype(np.int64)
        table[start : start + most - 1] = np.diff(packed)
    empty = np.zeros(levels * levels + 1, np.uint16)
    empty[np.arange(levels) * (levels + 1)] = most
    empty[-1] = 2 * most
    return table, empty


@njit(cache=True, nogil=True, boundscheck=False)
def grey_levels(values: Any, low: float, scale: float, levels: int, out: Any) -> None:
    """Write level 0 to `levels` − 1 of every value, and `levels` where it is not finite."""
    for row in range(out.shape[0]):
        source, target = values[row], out[row]
        for col in range(target.size):
            level = (np.float64(source[col]) - low) * scale
            inside = min(max(level, 0.0), levels - 1.0)
            target[col] = np.uint8(inside if level - level == 0.0 else levels)


@njit(cache=True, nogil=True, boundscheck=False)
def pair_codes(grey: Any, down: int, right: int, levels: int, out: Any) -> None:
    """Write the histogram slot of every pair of a block; `levels` is the missing level."""
    height, width = grey.shape[0] - down, grey.shape[1] - abs(right)
    first = 0 if right >= 0 else -right
    for row in range(height):
        for col in range(width):
            i = np.int32(grey[row, col + first])
            j = np.int32(grey[row + down, col + first + right])
            low, high = min(i, j), max(i, j)
            out[row, col] = low * levels + high if high < levels else levels * levels


@njit(cache=True, nogil=True, boundscheck=False)
def slide(codes: Any, row: int, rows: int, cols: int, histogram: Any, table: Any, out: Any) -> None:
    """Write the packed sums of one row of windows of `rows` by `cols` pairs."""
    one = np.uint16(1)
    total = np.int64(0)
    for col in range(cols):
        for k in range(rows):
            code = codes[row + k, col]
            n = histogram[code]
            total += table[n]
            histogram[code] = n + one
    out[0] = total
    for x in range(1, out.size):
        for k in range(rows):
            code = codes[row + k, x - 1]
            n = np.uint16(histogram[code] - one)
            histogram[code] = n
            total -= table[n]
            code = codes[row + k, x + cols - 1]
            n = histogram[code]
            total += table[n]
            histogram[code] = n + one
        out[x] = total
    for col in range(out.size - 1, out.size - 1 + cols):
        for k in range(rows):
            histogram[codes[row + k, col]] -= one


@njit(cache=True, nogil=True, boundscheck=False)
def move_pairs(
    grey: Any, top: int, bottom: int, down: int, right: int, parts: Any, sums: Any
) -> None:
    """Take the pairs of row `top` from the column sums and add those of row `bottom`.

    The sums are Σ(i−j)², Σ|i−j|, Σ1/(1+(i−j)²), Σ(i+j), Σ(i²+j²) and the number of pairs.
    Before row 0 there is nothing to take. Each sum has a loop of its own: the compiler then
    works on several columns at once.
    """
    levels = np.int32(parts.size)
    first = 0 if right >= 0 else -right
    width = grey.shape[1] - abs(right)
    for row, sign in ((top, np.int32(-1)), (bottom, np.int32(1))):
        if row < 0:
            continue
        upper = grey[row, first : first + width]
        lower = grey[row + down, first + right : first + right + width]
        far, known = sums[6, :width], sums[7, :width]
        for col in range(width):
            i, j = np.int32(upper[col]), np.int32(lower[col])
            known[col] = sign if max(i, j) < levels else np.int32(0)
            far[col] = abs(i - j) if max(i, j) < levels else np.int32(0)
        line = sums[0]
        for col in range(width):
            line[col] += known[col] * far[col] * far[col]
        line = sums[1]
        for col in range(width):
            line[col] += known[col] * far[col]
        line = sums[2]
        for col in range(width):
            line[col] += known[col] * parts[far[col]]
        line = sums[3]
        for col in range(width):
            line[col] += known[col] * (np.int32(upper[col]) + np.int32(lower[col]))
        line = sums[4]
        for col in range(width):
            i, j = np.int32(upper[col]), np.int32(lower[col])
            line[col] += known[col] * (i * i + j * j)
        line = sums[5]
        for col in range(width):
            line[col] += known[col]


@njit(cache=True, nogil=True, boundscheck=False)
def sum_windows(sums: Any, cols: int, out: Any) -> None:
    """Write the sums of `cols` neighbouring column sums, of each of the six kinds."""
    first, second, third = sums[0], sums[1], sums[2]
    fourth, fifth, sixth = sums[3], sums[4], sums[5]
    a = b = c = d = e = n = np.int32(0)
    for col in range(cols - 1):
        a, b, c = a + first[col], b + second[col], c + third[col]
        d, e, n = d + fourth[col], e + fifth[col], n + sixth[col]
    for x in range(out.shape[1]):
        new = x + cols - 1
        a, b, c = a + first[new], b + second[new], c + third[new]
        d, e, n = d + fourth[new], e + fifth[new], n + sixth[new]
        out[0, x], out[1, x], out[2, x] = a, b, c
        out[3, x], out[4, x], out[5, x] = d, e, n
        a, b, c = a - first[x], b - second[x], c - third[x]
        d, e, n = d - fourth[x], e - fifth[x], n - sixth[x]


# A loop a measure: the compiler then works on several pixels at once.
@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def add_measures(found: Any, packed: Any, logs: Any, part: Any, out: Any, seen: Any) -> None:
    """Add the eight measures of one offset along a row, and count the offsets seen."""
    squares, sizes, alike = found[0], found[1], found[2]
    total, powers, number = found[3], found[4], found[5]
    width = seen.size
    for x in range(width):
        part[x] = 1.0 / number[x] if number[x] > 0 else 0.0
    for x in range(width):
        seen[x] += 1.0 if number[x] > 0 else 0.0
    for x in range(width):
        out[0, x] += squares[x] * part[x]
    for x in range(width):
        out[1, x] += sizes[x] * part[x]
    for x in range(width):
        out[2, x] += alike[x] * (part[x] / PARTS)
    for x in range(width):
        out[3, x] += 0.25 * (packed[x] & 0xFFFFFF) * part[x] * part[x]
        out[4, x] += logs[number[x]] - 0.5 * (packed[x] >> 24) * part[x] / STEPS
    for x in range(width):
        out[5, x] += 0.5 * total[x] * part[x]
    for x in range(width):
        mean = 0.5 * total[x] * part[x]
        out[6, x] += 0.5 * powers[x] * part[x] - mean * mean
    for x in range(width):
        mean = 0.5 * total[x] * part[x]
        variance = 0.5 * powers[x] * part[x] - mean * mean
        # Grey without variance is fully correlated: our choice, scikit-image's too.
        fall = 0.5 * squares[x] * part[x] / variance
        known = 1.0 if number[x] > 0 else 0.0
        out[7, x] += known - (fall if variance > 1e-9 else 0.0)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def co_occurrence(
    grey: Any,
    window: int,
    offsets: Any,
    parts: Any,
    table: Any,
    empty: Any,
    logs: Any,
    counted: bool,
    top: int,
    bottom: int,
    outs: Any,
) -> None:
    """Write rows `top` to `bottom` (not included) of measures, the mean over the offsets.

    Parameters
    ----------
    grey
        Levels ``(y + window − 1, x + window − 1)`` uint8; the number of levels itself
        means missing.
    offsets
        Rows and columns from i to j, ``(offset, 2)``, rows not negative.
    parts, table, empty, logs
        `PARTS` of the homogeneity by distance, see `count_changes`, and ln 2n by n, 0 for 0.
    counted
        Whether a measure of the histogram is asked for.
    outs
        For each of the eight measures an array ``(y, x)`` float32 to write to, or one of
        size 0 if the measure is not asked for.
    """
    count = offsets.shape[0]
    levels = parts.size
    wide = grey.shape[1]
    width = wide - window + 1
    block = grey[top : bottom + window - 1]
    codes = np.empty((count, block.shape[0], wide), np.uint16)
    histogram = np.empty((count, empty.size), np.uint16)
    sums = np.zeros((count, 8, wide), np.int32)
    found = np.empty((6, width), np.int32)
    packed = np.zeros(width, np.int64)
    line = np.empty((8, width))
    part, seen = np.empty(width), np.empty(width)
    for k in range(count):
        if counted:
            pair_codes(block, offsets[k, 0], offsets[k, 1], levels, codes[k])
            histogram[k] = empty
        for row in range(window - offsets[k, 0] - 1):
            move_pairs(block, -1, row, offsets[k, 0], offsets[k, 1], parts, sums[k])
    for row in range(bottom - top):
        line[:] = 0
        seen[:] = 0
        for k in range(count):
            down, right = offsets[k, 0], offsets[k, 1]
            rows, cols = window - down, window - abs(right)
            move_pairs(block, row - 1, row + rows - 1, down, right, parts, sums[k])
            if counted:
                slide(codes[k], row, rows, cols, histogram[k], table, packed)
            sum_windows(sums[k], cols, found)
            add_measures(found, packed, logs, part, line, seen)
        for m in range(8):
            if outs[m].size:
                source, target = line[m], outs[m][top + row]
                for x in range(width):
                    target[x] = source[x] / seen[x]
