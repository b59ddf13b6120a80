"""Compiled sums over windows of two complex images.

Complex rows arrive as flat float32 rows (real, imaginary, real …) and leave as one flat row
of segments, each as long as the image row: real and imaginary part of s1 conj(s2), both
powers, and, where samples are missing, 1 or 0 for known or missing.

Windows are added up without ever subtracting: along a row by sums of 4, 16, 64 …
neighbours, down the columns by suffix sums of the last block of rows and a prefix sum of
the present one (van Herk 1992, Pattern Recognit. Lett. 13, 517-521, with sums for maxima).
The cost hardly depends on the window, and, unlike with running sums that subtract what
leaves, a bright target leaves no rounding error behind it: float32 is enough here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba.extending import register_jitable

from cryonet.layers.terrain_kernel import SERIES, series_of_arctangent

_ZERO, _ONE = np.float32(0), np.float32(1)

#: Powers beyond these are those of no samples: zero and NaN, and amplitudes, 1e-16 and 1e16,
#: that float32 cannot square.
_LOW, _HIGH = np.float32(1e-16) ** 2, np.float32(1e16) ** 2

#: float32 rounds pi upwards: this is the largest number below it.
_PI = np.nextafter(np.float32(np.pi), _ZERO)

# A half and a quarter of a turn; a plain number would make double precision of a float32.
_HALF, _QUARTER = np.float32(np.pi), np.float32(np.pi / 2)
_SERIES = tuple(np.float32(value) for value in SERIES)

#: Columns that are worked on at once, so that the sums stay in the fastest cache.
WIDE = 344

_compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


# Loops that write to one or two arrays: beyond that the compiler gives up proving that the
# arrays are distinct, and no longer works on several pixels at once.
@_compiled
def _cross(first: Any, second: Any, real: Any, imag: Any) -> None:
    for j in range(real.size):
        a, b, c, d = first[2 * j], first[2 * j + 1], second[2 * j], second[2 * j + 1]
        real[j] = a * c + b * d
        imag[j] = b * c - a * d


@_compiled
def _powers(first: Any, second: Any, one: Any, two: Any) -> None:
    for j in range(one.size):
        a, b, c, d = first[2 * j], first[2 * j + 1], second[2 * j], second[2 * j + 1]
        one[j] = a * a + b * b
        two[j] = c * c + d * d


@register_jitable
def are_samples(one: Any, two: Any) -> Any:
    """Return whether two powers are those of samples: neither missing nor out of range."""
    return (one > _LOW) & (two > _LOW) & (one < _HIGH) & (two < _HIGH)


@_compiled
def _mark(one: Any, two: Any, known: Any) -> None:
    for j in range(known.size):
        known[j] = _ONE if are_samples(one[j], two[j]) else _ZERO


@_compiled
def _mask(known: Any, values: Any) -> None:
    for j in range(known.size):
        values[j] = values[j] if known[j] > _ZERO else _ZERO


@_compiled
def _all_known(one: Any, two: Any) -> bool:
    missing = False
    for j in range(one.size):
        missing |= not are_samples(one[j], two[j])
    return not missing


@_compiled
def products(first: Any, second: Any, out: Any) -> bool:
    """Fill the first four segments of `out`; return whether all samples are known."""
    w = first.size // 2
    _cross(first, second, out[:w], out[w : 2 * w])
    _powers(first, second, out[2 * w : 3 * w], out[3 * w : 4 * w])
    return bool(_all_known(out[2 * w : 3 * w], out[3 * w : 4 * w]))


@_compiled
def blank(out: Any, w: int) -> None:
    """Fill the fifth segment of `out`, and set the others to 0 where it is 0."""
    known = out[4 * w : 5 * w]
    _mark(out[2 * w : 3 * w], out[3 * w : 4 * w], known)
    for k in range(4):
        _mask(known, out[k * w : (k + 1) * w])


@_compiled
def _four(source: Any, lag: int, target: Any) -> None:
    b, c, d = source[lag:], source[2 * lag :], source[3 * lag :]
    for i in range(d.size):
        target[i] = (source[i] + b[i]) + (c[i] + d[i])


@_compiled
def _two(first: Any, second: Any, target: Any) -> None:
    for i in range(second.size):
        target[i] = first[i] + second[i]


@_compiled
def _keep(first: Any, second: Any, kept: Any, prefix: Any) -> None:
    for i in range(second.size):
        total = first[i] + second[i]
        kept[i] = total
        prefix[i] += total


@_compiled
def _sum_along(row: Any, count: int, work: Any, nothing: Any, kept: Any, prefix: Any) -> None:
    """Set `kept` to the sums of `count` neighbours from each sample on; add them to `prefix`.

    `count` is taken apart to base 4, and each level holds the sums of 1, 4, 16 … samples.
    Sums that reach beyond their segment mean nothing and are never used.
    """
    parts, rest = 0, count
    while rest > 0:
        parts, rest = parts + rest % 4, rest // 4
    level, result, size, got, used, rest = row, row, 1, 0, 2, count
    while parts > 0:
        for _ in range(rest % 4):
            parts -= 1
            if got == 0:
                result = level
            elif parts > 0:
                # The first two rows of `work` take turns as source and target.
                _two(result, level[got:], work[parts % 2])
                result = work[parts % 2]
            else:
                _keep(result, level[got:], kept, prefix)
                return
            got += size
        rest //= 4
        if rest > 0:
            _four(level, size, work[used])
            level, size, used = work[used], 4 * size, used + 1
    _keep(result, nothing, kept, prefix)


@_compiled
def _suffix(block: Any) -> None:
    """Turn the rows of `block` into sums of themselves and all rows below."""
    for row in range(block.shape[0] - 2, 0, -1):
        here, below = block[row], block[row + 1]
        for i in range(here.size):
            here[i] += below[i]


@_compiled
def _normalise(above: Any, below: Any, w: int, out: Any) -> None:
    a, b, c, d = above[:w], above[w : 2 * w], above[2 * w : 3 * w], above[3 * w : 4 * w]
    e, f, g, h = below[:w], below[w : 2 * w], below[2 * w : 3 * w], below[3 * w : 4 * w]
    for j in range(out.size):
        real, imag = a[j] + e[j], b[j] + f[j]
        one, two = _ONE / (c[j] + g[j]), _ONE / (d[j] + h[j])
        # Each factor stays in the range of float32, which the product of powers may leave.
        square = (real * one) * (real * two) + (imag * one) * (imag * two)
        out[j] = np.sqrt(min(square, _ONE))


@register_jitable
def turn(real: Any, imag: Any) -> Any:
    """Return the angle of a complex number as float32, within 2e-7 and below pi."""
    across, up = abs(real), abs(imag)
    t = np.float32(min(across, up) / max(across, up))
    angle = series_of_arctangent(t, t * t, _SERIES)
    angle = _QUARTER - angle if up > across else angle
    angle = min(_HALF - angle if real < _ZERO else angle, _PI)
    return angle if imag >= _ZERO else -angle


@_compiled
def _angles(above: Any, below: Any, w: int, out: Any) -> None:
    a, b, e, f = above[:w], above[w : 2 * w], below[:w], below[w : 2 * w]
    for j in range(out.size):
        out[j] = turn(a[j] + e[j], b[j] + f[j])


@_compiled
def _directions(above: Any, below: Any, w: int, cosine: Any, sine: Any) -> None:
    a, b, e, f = above[:w], above[w : 2 * w], below[:w], below[w : 2 * w]
    for j in range(cosine.size):
        real, imag = a[j] + e[j], b[j] + f[j]
        # Squares of the sums themselves might leave the range of float32.
        size = _ONE / max(abs(real), abs(imag))
        real, imag = real * size, imag * size
        length = _ONE / np.sqrt(real * real + imag * imag)
        cosine[j], sine[j] = real * length, imag * length


@_compiled
def _drop_empty(
    above: Any, below: Any, tall: int, first: int, cols: int, width: int, out: Any
) -> None:
    """Set to NaN where less than half of the window's part inside the image is known."""
    for j in range(out.size):
        inside = tall * (min(first + j + cols, width) - max(first + j, 0))
        if 2 * (above[j] + below[j]) < inside:
            out[j] = np.nan


@_compiled
def _place(source: Any, at: int, target: Any) -> None:
    target[:at] = _ZERO
    target[at : at + source.size] = source
    target[at + source.size :] = _ZERO


@_compiled
def _strip_products(first: Any, second: Any, at: int, one: Any, two: Any, out: Any) -> bool:
    """As `products`, of a strip that may reach beyond the image on both sides."""
    if first.size == one.size:
        return bool(products(first, second, out))
    _place(first, 2 * at, one)
    _place(second, 2 * at, two)
    products(one, two, out)
    # What was put beside the image is no sample, and none that is missing.
    w, end = one.size // 2, at + first.size // 2
    return bool(_all_known(out[2 * w + at : 2 * w + end], out[3 * w + at : 3 * w + end]))


@_compiled
def window_rows(
    primary: Any, secondary: Any, window: tuple[int, int], first: int, last: int, holes: bool,
    outs: Any,
) -> bool:  # fmt: skip
    """Fill rows `first` to `last` (not included) with coherence and phase of windows.

    Return False, with the work undone, if `holes` is not set and a sample is missing.

    Parameters
    ----------
    primary, secondary
        Flat rows ``(y, 2 x)`` float32.
    window
        Rows and columns; of an even side the larger half lies above, or to the left.
    holes
        Whether to count samples, which takes a fifth segment.
    outs
        Coherence ``(y, x)`` float32; wrapped phase, its cosine and its sine likewise, or three
        arrays of size 0 if only the coherence is asked for.
    """
    rows, cols = window
    height, width = outs[0].shape
    up, back = rows // 2, cols // 2
    w = WIDE + cols - 1
    segments = 5 if holes else 4
    n = segments * w
    work = np.zeros((7, n), np.float32)  # 2, and a level for each power of 4 up to 256
    line, nothing = np.zeros(n, np.float32), np.zeros(n, np.float32)
    prefix = np.zeros(n, np.float32)
    block = np.zeros((rows + 1, n), np.float32)  # the last row stays zero
    one, two = np.zeros(2 * w, np.float32), np.zeros(2 * w, np.float32)
    for left in range(-back, width - back, WIDE):
        start, stop = max(left, 0), min(left + w, width)
        for k in range(last - first + rows - 1):
            slot, row = k % rows, first - up + k
            if slot == 0:
                _suffix(block[:rows])
                prefix[:] = _ZERO
            if 0 <= row < height:
                a = primary[row][2 * start : 2 * stop]
                b = secondary[row][2 * start : 2 * stop]
                known = _strip_products(a, b, start - left, one, two, line)
                if holes:
                    blank(line, w)
                elif not known:
                    return False
                _sum_along(line, cols, work, nothing, block[slot], prefix)
            else:
                block[slot] = _ZERO
            if k >= rows - 1:
                at, above = first + k - rows + 1, block[slot + 1]
                here = slice(left + back, left + back + WIDE)
                _normalise(above, prefix, w, outs[0][at, here])
                if outs[1].size:
                    _angles(above, prefix, w, outs[1][at, here])
                    _directions(above, prefix, w, outs[2][at, here], outs[3][at, here])
                if holes:
                    tall = min(row + 1, height) - max(row - rows + 1, 0)
                    for out in outs:
                        if out.size:
                            counts = above[4 * w :], prefix[4 * w :]
                            _drop_empty(*counts, tall, left, cols, width, out[at, here])
    return True
