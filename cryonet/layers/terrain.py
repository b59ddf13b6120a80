"""Terrain layers: elevation, and what a 3 x 3 window of it tells of the surface.

The window is written as in Horn (1981), north up, with square cells of side L metres::

    a b c
    d e f
    g h i

Horn's weighted differences give slope and aspect, those of Zevenbergen and Thorne (1987)
the curvatures; zx points east, zy to grid north.

What happens where the formulas end:

- A missing value anywhere in the window makes the pixel NaN.
- At the raster's own edge the surface is continued by a straight line through the two
  outermost pixels (2 v0 - v1), so that no frame is lost and a plane keeps its slope.
- Ground with a gradient below `FLAT` is flat: both aspect components are 0, no direction,
  and so are both curvatures, which the formulas leave undefined there. That is our choice;
  NaN would lose every lake.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numba import njit
from numba.extending import register_jitable

from cryonet.layers.spec import Array, Direction, LayerSpec
from cryonet.scene import VARIABLES

#: Rise over run below which ground is flat. float32 metres are spaced 0.0005 m at 5000 m,
#: so on 10 m cells a gradient under some 2e-5 is rounding; this is a few times as much.
FLAT = 1e-4

Cells = tuple[float, float, float, float, float, float, float, float, float]
Measure = Callable[[Cells, float], float]
Kernel = Callable[[Array, float], Array]


@register_jitable
def horn_gradient(window: Cells, cell: float) -> tuple[float, float]:
    """Return the eastward and northward gradient after Horn (1981)."""
    a, b, c, d, _, f, g, h, i = window
    east = ((c + 2 * f + i) - (a + 2 * d + g)) / (8 * cell)
    north = ((a + 2 * b + c) - (g + 2 * h + i)) / (8 * cell)
    return east, north


@register_jitable
def arctangent(value: float) -> float:
    """Return the arctangent of `value` >= 0 in radians, within 2e-8.

    Series 4.4.49 of Abramowitz and Stegun (1964). Unlike a library call it lets the
    compiler work on several pixels at once, which makes slope three times as fast, and
    its error is below the spacing of the float32 result.
    """
    t = value if value <= 1 else 1 / value
    q = t * t
    tail = -0.0752896400 + q * (0.0429096138 + q * (-0.0161657367 + q * 0.0028662257))
    tail = 0.1999355085 + q * (-0.1420889944 + q * (0.1065626393 + q * tail))
    angle = t * (1 + q * (-0.3333314528 + q * tail))
    return angle if value <= 1 else math.pi / 2 - angle


@register_jitable
def slope(window: Cells, cell: float) -> float:
    """Return the slope in degrees: arctangent of Horn's gradient."""
    east, north = horn_gradient(window, cell)
    return float(arctangent(math.sqrt(east * east + north * north)) * (180 / math.pi))


@register_jitable
def aspect_sin(window: Cells, cell: float) -> float:
    """Return the eastward component of the unit vector that points downslope."""
    east, north = horn_gradient(window, cell)
    steepness = math.sqrt(east * east + north * north)
    return float(-east / steepness if steepness > FLAT else 0.0)


@register_jitable
def aspect_cos(window: Cells, cell: float) -> float:
    """Return the northward component of the unit vector that points downslope."""
    east, north = horn_gradient(window, cell)
    steepness = math.sqrt(east * east + north * north)
    return float(-north / steepness if steepness > FLAT else 0.0)


@register_jitable
def quadric(window: Cells, cell: float) -> tuple[float, float, float, float, float]:
    """Return zx, zy, zxx, zyy and zxy after Zevenbergen and Thorne (1987)."""
    a, b, c, d, e, f, g, h, i = window
    area = cell * cell
    zx, zy = (f - d) / (2 * cell), (b - h) / (2 * cell)
    zxx, zyy = (d - 2 * e + f) / area, (b - 2 * e + h) / area
    return zx, zy, zxx, zyy, (c + g - a - i) / (4 * area)


@register_jitable
def profile_curvature(window: Cells, cell: float) -> float:
    """Return the normal curvature along the slope line in 1/m, positive where convex."""
    zx, zy, zxx, zyy, zxy = quadric(window, cell)
    p = zx * zx + zy * zy
    bend = zxx * zx * zx + 2 * zxy * zx * zy + zyy * zy * zy
    lift = 1 + p
    return -bend / (p * lift * math.sqrt(lift)) if p > FLAT * FLAT else 0.0


@register_jitable
def planform_curvature(window: Cells, cell: float) -> float:
    """Return the curvature of the contour line in 1/m, positive on spurs."""
    zx, zy, zxx, zyy, zxy = quadric(window, cell)
    p = zx * zx + zy * zy
    bend = zxx * zy * zy - 2 * zxy * zx * zy + zyy * zx * zx
    return -bend / (p * math.sqrt(p)) if p > FLAT * FLAT else 0.0


@register_jitable
def tpi(window: Cells, cell: float) -> float:
    """Return the topographic position in metres: the centre less its neighbours' mean."""
    a, b, c, d, e, f, g, h, i = window
    return e - (a + b + c + d + f + g + h + i) / 8


@register_jitable
def tri(window: Cells, cell: float) -> float:
    """Return Riley's ruggedness in metres: root of the summed squared differences."""
    a, b, c, d, e, f, g, h, i = window
    above = (a - e) ** 2 + (b - e) ** 2 + (c - e) ** 2 + (d - e) ** 2
    below = (f - e) ** 2 + (g - e) ** 2 + (h - e) ** 2 + (i - e) ** 2
    return math.sqrt(above + below)


@register_jitable
def roughness(window: Cells, cell: float) -> float:
    """Return the range of elevation in the window in metres."""
    a, b, c, d, e, f, g, h, i = window
    return max(a, b, c, d, e, f, g, h, i) - min(a, b, c, d, e, f, g, h, i)


@register_jitable
def load_row(row: Any, line: Any) -> None:
    """Copy `row` into `line` as float64, continued by one pixel at both ends."""
    last = row.size
    for col in range(last):
        line[col + 1] = row[col]
    line[0] = 2 * line[1] - line[2] if last > 1 else line[1]
    line[last + 1] = 2 * line[last] - line[last - 1] if last > 1 else line[last]


def _over_windows(measure: Measure) -> Kernel:
    # float64 throughout: second differences of float32 metres lose half their digits.
    # Three rows are held at a time, so each pixel is read and converted once.
    @njit(cache=True, nogil=True, error_model="numpy")
    def kernel(elevation, cell):  # type: ignore[no-untyped-def]
        height, width = elevation.shape
        out = np.empty((height, width), np.float32)
        above, here, below = np.empty(width + 2), np.empty(width + 2), np.empty(width + 2)
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
            for col in range(width):
                a, b, c = above[col], above[col + 1], above[col + 2]
                d, e, f = here[col], here[col + 1], here[col + 2]
                g, h, i = below[col], below[col + 1], below[col + 2]
                # NaN times 0 is NaN: carries a missing value past formulas that skip a cell.
                missing = 0.0 * (a + b + c + d + e + f + g + h + i)
                out[row, col] = measure((a, b, c, d, e, f, g, h, i), cell) + missing
        return out

    return kernel


def elevation(arrays: Mapping[str, Array], cell: float) -> Array:
    """Return a copy of the elevation in metres; NaN where the scene has none."""
    return arrays["elevation"].copy()


def window_measure(arrays: Mapping[str, Array], cell: float, *, kernel: Kernel) -> Array:
    """Return one 3 x 3 measure of the elevation, float32, NaN by the rules above.

    Parameters
    ----------
    arrays
        ``elevation``: ``(y, x)`` float32 metres, row 0 in the north.
    cell
        Side of the square pixels in metres.
    kernel
        One of the compiled measures of this module.
    """
    # One memory layout, so that each kernel is compiled once.
    return kernel(np.require(arrays["elevation"], np.float32, ["C", "W"]), float(cell))


_HORN = "Horn 1981, Proc. IEEE 69(1), 14-47"
_CURVATURE = (
    "Zevenbergen and Thorne 1987, Earth Surf. Process. Landf. 12, 47-56; "
    "naming: Minar et al. 2020, Earth-Sci. Rev. 211, 103414"
)


def _row(
    measure: Measure, units: str, title: str, formula: str, reference: str,
    *, limits: tuple[float, float] = (float("-inf"), float("inf")), direction: Direction = "scalar",
) -> LayerSpec:  # fmt: skip
    return LayerSpec(
        name=measure.__name__,
        family="terrain",
        long_name=title,
        formula=formula,
        units=units,
        needs=("elevation",),
        compute=partial(window_measure, kernel=_over_windows(measure)),
        reference=reference,
        halo=1,
        metric=True,
        valid_range=limits,
        direction=direction,
        vector="" if direction == "scalar" else "aspect",
    )


_UP = (0.0, float("inf"))

#: The terrain layers.
TERRAIN = (
    LayerSpec(
        name="elevation",
        family="terrain",
        long_name="elevation",
        formula="elevation",
        units="m",
        needs=("elevation",),
        compute=elevation,
        reference="the scene's elevation model",
        valid_range=VARIABLES["elevation"].limits,
    ),
    _row(slope, "degree", "slope", "arctan(sqrt(zx^2 + zy^2))", _HORN, limits=(0.0, 90.0)),
    _row(
        aspect_sin, "1", "sine of aspect (downslope, east)", "-zx / sqrt(zx^2 + zy^2); flat: 0",
        _HORN, limits=(-1.0, 1.0), direction="east",
    ),
    _row(
        aspect_cos, "1", "cosine of aspect (downslope, north)", "-zy / sqrt(zx^2 + zy^2); flat: 0",
        _HORN, limits=(-1.0, 1.0), direction="north",
    ),
    _row(
        profile_curvature, "1/m", "profile curvature",
        "-(zxx zx^2 + 2 zxy zx zy + zyy zy^2) / ((zx^2 + zy^2) (1 + zx^2 + zy^2)^1.5); flat: 0",
        _CURVATURE,
    ),
    _row(
        planform_curvature, "1/m", "planform curvature",
        "-(zxx zy^2 - 2 zxy zx zy + zyy zx^2) / (zx^2 + zy^2)^1.5; flat: 0", _CURVATURE,
    ),
    _row(
        tpi, "m", "topographic position index", "e - mean of the 8 neighbours",
        "Weiss 2001, ESRI User Conference; 3 x 3: Wilson et al. 2007, Mar. Geod. 30, 3-35",
    ),
    _row(
        tri, "m", "terrain ruggedness index", "sqrt(sum of (e - neighbour)^2)",
        "Riley et al. 1999, Intermt. J. Sci. 5, 23-27", limits=_UP,
    ),
    _row(
        roughness, "m", "roughness", "max - min of the 3 x 3 window",
        "Wilson et al. 2007, Mar. Geod. 30, 3-35", limits=_UP,
    ),
)  # fmt: skip
