"""The compiled code of the terrain layers: every measure of a line, all lines in one pass.

The window is written as in Horn (1981), north up, with square cells of side L metres::

    a b c
    d e f
    g h i

Heights enter as differences of two pixels, taken in float32: exact while one height is at
most twice the other, which neighbours in mountains are, and never off by more than the
spacing of the heights themselves. Curvatures, whose terms cancel, go on in float64. Single
precision lets the processor work on twice as many pixels at once; the results differ from
those in double precision by a step or two of the float32 they are given in.

Each measure has a loop over a line of its own, without branches or calls, and each line is
worked on for all the measures asked for while it is in the processor's nearest cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numba.extending import register_jitable

#: Rise over run below which ground is flat. float32 metres are spaced 0.0005 m at 5000 m,
#: so on 10 m cells a gradient under some 2e-5 is rounding; this is a few times as much.
FLAT = 1e-4

#: The measures, in the order of the kernel's `outs`.
MEASURES = (
    "slope",
    "aspect_sin",
    "aspect_cos",
    "profile_curvature",
    "planform_curvature",
    "tpi",
    "tri",
    "roughness",
)

Real = np.floating[Any]
Cells = tuple[Real, Real, Real, Real, Real, Real, Real, Real, Real]
Gradient = Callable[[Cells], tuple[Real, Real]]
Measure = Callable[[Cells, float], Real]
Line = Callable[[Any, Any, Any, float, Any], None]

# The compiler would make double precision of a plain 0 or 2 beside a float32.
_ZERO, _ONE, _TWO, _FOUR, _NINETY = (np.float32(value) for value in (0, 1, 2, 4, 90))
_EIGHTH = np.float32(0.125)
_FLAT_SQUARE = np.float32(FLAT * FLAT)

# A product and the sum it goes into are rounded once: faster, and no less exact.
_compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})

#: Arctangent of t as t (s0 + s1 t^2 + s2 t^4 …) for 0 <= t <= 1, within 2e-8: 4.4.49 of
#: Abramowitz and Stegun (1964).
SERIES = (
    1.0,
    -0.3333314528,
    0.1999355085,
    -0.1420889944,
    0.1065626393,
    -0.0752896400,
    0.0429096138,
    -0.0161657367,
    0.0028662257,
)
_SERIES_DEGREES = tuple(np.float32(math.degrees(value)) for value in SERIES)


@register_jitable
def series_of_arctangent(t: Any, square: Any, terms: Any) -> Any:
    """Return the arctangent of `t`, with its `square`, in the unit of the `terms`."""
    tail = terms[5] + square * (terms[6] + square * (terms[7] + square * terms[8]))
    tail = terms[2] + square * (terms[3] + square * (terms[4] + square * tail))
    return t * (terms[0] + square * (terms[1] + square * tail))


def arctangent(value: float) -> float:
    """Return the arctangent of `value` >= 0 in radians, within 2e-8.

    What `slope` computes in degrees and float32. Unlike a library call it lets the compiler
    work on several pixels at once, and its error is below the spacing of the result.
    """
    t = value if value <= 1 else 1 / value
    angle = series_of_arctangent(t, t * t, SERIES)
    return float(angle if value <= 1 else math.pi / 2 - angle)


@register_jitable
def horn(window: Cells) -> tuple[Real, Real]:
    """Return the eastward and northward gradient after Horn (1981), times 8 L."""
    a, b, c, d, e, f, g, h, i = window
    rising, falling = c - g, i - a
    # e has no weight, and NaN times 0 is NaN: so one part carries a missing centre on.
    east = (rising + falling) + _TWO * (f - d) + _ZERO * e
    return east, (rising - falling) + _TWO * (b - h)


@register_jitable
def zevenbergen_thorne(window: Cells) -> tuple[Real, Real]:
    """Return the gradient after Zevenbergen and Thorne (1987), times 8 L."""
    a, b, c, d, e, f, g, h, i = window
    missing = _ZERO * ((a + c) + (g + i) + e)
    return _FOUR * (f - d) + missing, _FOUR * (b - h)


def slope_from(gradient: Gradient) -> Measure:
    """Return the measure of slope in degrees: arctangent of the gradient's size."""

    @register_jitable
    def slope(window: Cells, cell: float) -> Real:
        east, north = gradient(window)
        square = (east * east + north * north) * np.float32(1 / (64 * cell * cell))
        low = square <= _ONE
        folded = square if low else _ONE / square
        angle: Real = series_of_arctangent(np.sqrt(folded), folded, _SERIES_DEGREES)
        return angle if low else _NINETY - angle

    return slope


def aspect_from(gradient: Gradient, northward: bool) -> Measure:
    """Return the measure of one component of the unit vector that points downslope."""

    @register_jitable
    def aspect(window: Cells, cell: float) -> Real:
        east, north = gradient(window)
        square = east * east + north * north
        part = north if northward else east
        steep = square > np.float32(FLAT * FLAT * 64 * cell * cell)
        return (-part / np.sqrt(square) if steep else _ZERO) + _ZERO * square

    return aspect


@register_jitable
def quadric(window: Cells, cell: float) -> tuple[Real, Real, Real, Real, Real]:
    """Return zx, zy, zxx, zyy and zxy after Zevenbergen and Thorne (1987), in float64."""
    a, b, c, d, e, f, g, h, i = window
    first, second = 1 / (2 * cell), 1 / (cell * cell)
    zx, zy = np.float64(f - d) * first, np.float64(b - h) * first
    zxx = np.float64((d - e) + (f - e)) * second
    zyy = np.float64((b - e) + (h - e)) * second
    return zx, zy, zxx, zyy, np.float64((c - a) + (g - i)) * (second / 4)


@register_jitable
def profile_curvature(window: Cells, cell: float) -> Real:
    """Return the normal curvature along the slope line in 1/m, positive where convex."""
    zx, zy, zxx, zyy, zxy = quadric(window, cell)
    bend = np.float32(zxx * zx * zx + 2 * zxy * zx * zy + zyy * zy * zy)
    square = np.float32(zx * zx + zy * zy)
    lift = _ONE + square
    bent = -bend / (square * lift * np.sqrt(lift))
    return (bent if square > _FLAT_SQUARE else _ZERO) + _ZERO * bend


@register_jitable
def planform_curvature(window: Cells, cell: float) -> Real:
    """Return the curvature of the contour line in 1/m, positive on spurs."""
    zx, zy, zxx, zyy, zxy = quadric(window, cell)
    bend = np.float32(zxx * zy * zy - 2 * zxy * zx * zy + zyy * zx * zx)
    square = np.float32(zx * zx + zy * zy)
    bent = -bend / (square * np.sqrt(square))
    return (bent if square > _FLAT_SQUARE else _ZERO) + _ZERO * bend


@register_jitable
def tpi(window: Cells, cell: float) -> Real:
    """Return the topographic position in metres: the centre less its neighbours' mean."""
    a, b, c, d, e, f, g, h, i = window
    across = ((a - e) + (i - e)) + ((c - e) + (g - e))
    return -_EIGHTH * (across + (((b - e) + (h - e)) + ((d - e) + (f - e))))


@register_jitable
def tri(window: Cells, cell: float) -> Real:
    """Return Riley's ruggedness in metres: root of the summed squared differences."""
    a, b, c, d, e, f, g, h, i = window
    a, b, c, d, f, g, h, i = a - e, b - e, c - e, d - e, f - e, g - e, h - e, i - e
    corners = (a * a + c * c) + (g * g + i * i)
    root: Real = np.sqrt(corners + ((b * b + d * d) + (f * f + h * h)))
    return root


@register_jitable
def larger(one: Real, other: Real) -> Real:
    """Return the larger; which of a NaN and a number does not matter here."""
    return one if one > other else other


@register_jitable
def smaller(one: Real, other: Real) -> Real:
    """Return the smaller; which of a NaN and a number does not matter here."""
    return one if one < other else other


@register_jitable
def roughness(window: Cells, cell: float) -> Real:
    """Return the range of elevation in the window in metres."""
    a, b, c, d, e, f, g, h, i = window
    high = larger(larger(larger(a, b), larger(c, d)), larger(larger(f, g), larger(h, i)))
    low = smaller(smaller(smaller(a, b), smaller(c, d)), smaller(smaller(f, g), smaller(h, i)))
    missing = _ZERO * (((a + b) + (c + d)) + ((f + g) + (h + i)) + e)
    return (larger(high, e) - smaller(low, e)) + missing


def _over_line(measure: Measure) -> Line:
    @_compiled
    def line(above, here, below, cell, out):  # type: ignore[no-untyped-def]
        for x in range(out.size):
            north = above[x], above[x + 1], above[x + 2]
            south = below[x], below[x + 1], below[x + 2]
            middle = here[x], here[x + 1], here[x + 2]
            out[x] = measure(north + middle + south, cell)

    return line


_slope, _slope_zt = _over_line(slope_from(horn)), _over_line(slope_from(zevenbergen_thorne))
_east, _north = _over_line(aspect_from(horn, False)), _over_line(aspect_from(horn, True))
_east_zt = _over_line(aspect_from(zevenbergen_thorne, False))
_north_zt = _over_line(aspect_from(zevenbergen_thorne, True))
_profile, _planform = _over_line(profile_curvature), _over_line(planform_curvature)
_tpi, _tri, _roughness = _over_line(tpi), _over_line(tri), _over_line(roughness)


@_compiled
def load_row(row: Any, line: Any) -> None:
    """Copy `row` into `line`, continued by one pixel at both ends; infinity becomes NaN."""
    last = row.size
    for col in range(last):
        line[col + 1] = row[col] + _ZERO * row[col]
    line[0] = 2 * line[1] - line[2] if last > 1 else line[1]
    line[last + 1] = 2 * line[last] - line[last - 1] if last > 1 else line[last]


@_compiled
def measure_gradient(
    above: Any, here: Any, below: Any, cell: float, horns: bool, outs: Any, row: int
) -> None:
    """Write one line of the measures that follow the gradient asked for."""
    slopes, easts, norths = outs[0], outs[1], outs[2]
    if horns:
        if slopes.size:
            _slope(above, here, below, cell, slopes[row])
        if easts.size:
            _east(above, here, below, cell, easts[row])
        if norths.size:
            _north(above, here, below, cell, norths[row])
    else:
        if slopes.size:
            _slope_zt(above, here, below, cell, slopes[row])
        if easts.size:
            _east_zt(above, here, below, cell, easts[row])
        if norths.size:
            _north_zt(above, here, below, cell, norths[row])


@_compiled
def measure_window(above: Any, here: Any, below: Any, cell: float, outs: Any, row: int) -> None:
    """Write one line of the other measures."""
    profiles, planforms, positions, ruggeds, ranges = outs[3], outs[4], outs[5], outs[6], outs[7]
    if profiles.size:
        _profile(above, here, below, cell, profiles[row])
    if planforms.size:
        _planform(above, here, below, cell, planforms[row])
    if positions.size:
        _tpi(above, here, below, cell, positions[row])
    if ruggeds.size:
        _tri(above, here, below, cell, ruggeds[row])
    if ranges.size:
        _roughness(above, here, below, cell, ranges[row])


@_compiled
def measure_all(elevation: Any, cell: float, horns: bool, outs: Any) -> None:
    """Write the measures of every window of `elevation`.

    Parameters
    ----------
    elevation
        ``(y, x)`` float32 metres, not empty, row 0 in the north.
    cell
        Side of the square pixels in metres.
    horns
        Whether slope and aspect follow Horn's gradient, else that of Zevenbergen and Thorne.
    outs
        For each of `MEASURES` an array ``(y, x)`` float32 to write to, or one of size 0 if
        the measure is not asked for.
    """
    height, width = elevation.shape
    lines = np.empty((3, width + 2), np.float32)
    above, here, below = lines[0], lines[1], lines[2]
    load_row(elevation[0], here)
    load_row(elevation[min(1, height - 1)], below)
    for col in range(width + 2):
        above[col] = 2 * here[col] - below[col]
    for row in range(height):
        if row > 0:
            above, here, below = here, below, above
            if row + 1 < height:
                load_row(elevation[row + 1], below)
            else:
                for col in range(width + 2):
                    below[col] = 2 * here[col] - above[col]
        measure_gradient(above, here, below, cell, horns, outs, row)
        measure_window(above, here, below, cell, outs, row)
