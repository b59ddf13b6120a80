"""Glaciers: ice that gathers above an equilibrium line and flows down as tongues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from cryonet.progress import Progress
from cryonet.synthetic.drainage import Grid
from cryonet.synthetic.fractal import resize

#: Deformation of ice, 2 A (ρ g)³ / 5 in m⁻³ a⁻¹, for A of temperate ice
#: (Cuffey & Paterson 2010, table 3.4).
SOFTNESS = 2.15e-5

#: Width of the landscape, m, in which ice flows at true scale; smaller and larger ones
#: are computed as if they were this wide, so that their glaciers are in proportion.
WIDTH = 12800.0


#: Most diffusivity of ice, m² a⁻¹: it keeps the time step bearable on steep ground.
CAP = 6.0e4

#: Thickness from which ice counts as a glacier, m at true scale.
THINNEST = 8.0

#: Mass-balance gradient above the equilibrium line, m of ice a year and metre of height;
#: below it as a share of that, and the most that melts in a year, m. Our choice.
GRADIENT = 0.006
MELT = 0.5
MOST_MELT = 1.2

#: Sides of the grids on which ice flows, pixels, and steps on each.
MODERN = ((64, 3000), (128, 2000), (224, 1000))
ANCIENT = ((64, 2000), (128, 800))


@dataclass(frozen=True, slots=True)
class Glaciers:
    """Ice on a grid.

    Attributes
    ----------
    mask
        True where there is ice.
    thickness, surface
        Ice thickness and height of the ice surface (the ground where there is none), m.
    speed
        Surface speed, m a⁻¹.
    equilibrium_line
        Height of the equilibrium line, m.
    """

    mask: NDArray[np.bool_]
    thickness: Grid
    surface: Grid
    speed: Grid
    equilibrium_line: float


@njit(cache=True)
def _flux(bed: Grid, ice: Grid, cell: float, cap: float) -> tuple[Grid, Grid]:
    # Ice flux to the eastern and the southern neighbour, m² a⁻¹, after the whole slope of
    # the surface; thickness is taken from the side the ice comes from, and the
    # diffusivity is capped.
    rows, columns = bed.shape
    top = bed + ice
    east = np.zeros((rows, columns))
    south = np.zeros((rows, columns))
    for r in range(rows):
        up, down = max(r - 1, 0), min(r + 1, rows - 1)
        for c in range(columns):
            left, right = max(c - 1, 0), min(c + 1, columns - 1)
            if c < right and (ice[r, c] > 0.0 or ice[r, right] > 0.0):
                fall = (top[r, c] - top[r, right]) / cell
                across = top[up, c] + top[up, right] - top[down, c] - top[down, right]
                across /= 2.0 * cell * max(down - up, 1)
                thick = ice[r, c] if fall > 0.0 else ice[r, right]
                spread = SOFTNESS * thick**5 * (fall * fall + across * across)
                east[r, c] = min(spread, cap) * fall
            if r < down and (ice[r, c] > 0.0 or ice[down, c] > 0.0):
                fall = (top[r, c] - top[down, c]) / cell
                across = top[r, left] + top[down, left] - top[r, right] - top[down, right]
                across /= 2.0 * cell * max(right - left, 1)
                thick = ice[r, c] if fall > 0.0 else ice[down, c]
                spread = SOFTNESS * thick**5 * (fall * fall + across * across)
                south[r, c] = min(spread, cap) * fall
    return east, south


@njit(cache=True)
def _limit(ice: Grid, east: Grid, south: Grid, step: float) -> Grid:
    # Share of its outflow that each pixel can pay: none gives more ice than it has.
    rows, columns = ice.shape
    out = np.zeros((rows, columns))
    for r in range(rows):
        for c in range(columns):
            out[r, c] += max(east[r, c], 0.0) + max(south[r, c], 0.0)
            if east[r, c] < 0.0:
                out[r, c + 1] -= east[r, c]
            if south[r, c] < 0.0:
                out[r + 1, c] -= south[r, c]
    for r in range(rows):
        for c in range(columns):
            out[r, c] = min(1.0, 0.9 * ice[r, c] / max(step * out[r, c], 1e-12))
    return out


@njit(cache=True)
def _advance(bed: Grid, ice: Grid, balance: Grid, cell: float, cap: float, steps: int) -> Grid:
    # Explicit steps of the shallow-ice approximation; ice that reaches the border leaves.
    rows, columns = bed.shape
    years = 0.2 * cell * cell / cap
    step = years / cell
    for _ in range(steps):
        east, south = _flux(bed, ice, cell, cap)
        paid = _limit(ice, east, south, step)
        ice = ice + years * balance
        for r in range(rows):
            for c in range(columns):
                if east[r, c] != 0.0:
                    moved = east[r, c] * step * paid[r, c + (east[r, c] < 0.0)]
                    ice[r, c] -= moved
                    ice[r, c + 1] += moved
                if south[r, c] != 0.0:
                    moved = south[r, c] * step * paid[r + (south[r, c] < 0.0), c]
                    ice[r, c] -= moved
                    ice[r + 1, c] += moved
        ice = np.maximum(ice, 0.0)
        ice[0], ice[-1], ice[:, 0], ice[:, -1] = 0.0, 0.0, 0.0, 0.0
    return ice


def mass_balance(surface: Grid, line: float, holds: Grid | float = 1.0) -> Grid:
    """Return the ice gained or lost in a year, m, on a surface at its height.

    Ice grows with height above the equilibrium line `line`, where the ground holds snow;
    debris and shade spare the tongues, so melt grows more slowly downwards.
    """
    rate = GRADIENT * (surface - line)
    return np.where(rate > 0, np.minimum(rate, 2.0) * holds, np.maximum(MELT * rate, -MOST_MELT))


def _settle(
    bed: Grid, ice: Grid, line: float, *, share: float, inner: int, cell: float, steps: int
) -> tuple[Grid, float]:
    # Flow until steady while the equilibrium line moves towards the asked share of ice.
    rise = np.hypot(*np.gradient(bed, cell))
    holds = np.clip((1.05 - rise) / 0.4, 0.0, 1.0)
    window = (slice(inner, bed.shape[0] - inner), slice(inner, bed.shape[1] - inner))
    years = 0.2 * cell * cell / CAP
    for _ in range(steps // 10):
        found = float((ice[window] > THINNEST).mean())
        line += 0.02 * float(np.ptp(bed)) * (found - share) * years
        ice = _advance(bed, ice, mass_balance(bed + ice, line, holds), cell, CAP, 10)
    return ice, line


def grow_glaciers(
    bed: Grid,
    *,
    cell: float,
    share: float,
    margin: int,
    progress: Progress,
) -> Glaciers:
    """Return the glaciers that cover about `share` of the ground.

    Ice gathers above the equilibrium line in proportion to height, melts below it, and
    flows by the shallow-ice approximation until it is steady; rock faces too steep to
    hold snow stay bare. The flow is computed on coarse grids, each the start of the next.

    Parameters
    ----------
    bed
        Height of the ground under the ice, m.
    cell
        Pixel side, m.
    share
        Share of ice wanted inside the `margin` (pixels); the equilibrium line is moved
        until it is met.

    References
    ----------
    Hutter 1983: Theoretical Glaciology; Jarosch, Schoof, Anslow 2013: Restoring mass
    conservation to shallow ice flow models over complex terrain, The Cryosphere 7.
    """
    flowed = _flow(bed, MODERN, cell=cell, share=share, margin=margin, progress=progress)
    return _refine(bed, flowed, cell)


def carve_troughs(
    bed: Grid, *, cell: float, margin: int, progress: Progress, share: float = 0.62
) -> Grid:
    """Return the bed after large old glaciers have widened its valleys into troughs.

    The old ice, which covered `share` of the ground, is flowed as in `grow_glaciers`; its
    cross-section is then made blunt, so that the floor is broad and the sides are steep.

    References
    ----------
    Harbor 1992: Numerical modeling of the development of U-shaped valleys by glacial
    erosion, Geological Society of America Bulletin 104.
    """
    flowed = _flow(bed, ANCIENT, cell=cell, share=share, margin=margin, progress=progress)
    ice = flowed.ice
    deepest = ndimage.maximum_filter(ndimage.gaussian_filter(ice, 1.0), 7)
    deepest = np.maximum(ndimage.gaussian_filter(deepest, 2.0), 1.0)
    part = np.clip(ice / deepest, 0.0, 1.0)
    blunt = deepest * (1.0 - (1.0 - part) ** 2.2)
    cut = np.maximum(blunt - ice, 0.0) * np.clip(ice / 40.0, 0.0, 1.0) + 0.12 * ice
    lowered = resize(ndimage.gaussian_filter(cut, 0.8), bed.shape, order=3) / flowed.scale
    return bed - np.maximum(lowered, 0.0)


@dataclass(frozen=True, slots=True)
class _Flowed:
    ground: Grid
    ice: Grid
    line: float
    scale: float


def _flow(
    bed: Grid,
    stages: tuple[tuple[int, int], ...],
    *,
    cell: float,
    share: float,
    margin: int,
    progress: Progress,
) -> _Flowed:
    longest = max(bed.shape)
    scale = WIDTH / (longest * cell)
    ground, ice = bed, np.zeros((1, 1))
    line = float(np.quantile(bed, 1 - 0.8 * share)) * scale
    for stage, (side, steps) in enumerate(stages):
        progress.step(stage, len(stages), "ice flow")
        shape = (max(8, bed.shape[0] * side // longest), max(8, bed.shape[1] * side // longest))
        ground = _reduce(bed, shape) * scale
        ice, line = _settle(
            ground,
            resize(ice, shape) if ice.size > 1 else np.zeros(shape),
            line,
            share=share,
            inner=margin * shape[0] // bed.shape[0],
            cell=WIDTH / side,
            steps=steps,
        )
    return _Flowed(ground, ice, line, scale)


def _reduce(field: Grid, shape: tuple[int, int]) -> Grid:
    blur = [max(0.0, 0.4 * (n / m - 1)) for n, m in zip(field.shape, shape, strict=True)]
    return resize(ndimage.gaussian_filter(field, blur, mode="nearest"), shape)


def _refine(bed: Grid, flowed: _Flowed, cell: float) -> Glaciers:
    # The ice surface is smooth and is carried outwards a little; the fine ground then
    # decides where it ends, as on real valley sides.
    ground, ice, line, scale = flowed.ground, flowed.ice, flowed.line, flowed.scale
    present = ice > THINNEST
    top = ground + ice
    size = WIDTH / max(ice.shape)
    slope = np.hypot(*np.gradient(ndimage.gaussian_filter(top, 1.0), size))
    speed = np.where(present, 0.5 * SOFTNESS * 5 / 2 * ice**4 * slope**3, 0.0)
    weight = ndimage.gaussian_filter(present.astype(float), 1.0)
    carried = ndimage.gaussian_filter(np.where(present, top, 0.0), 1.0) / np.maximum(weight, 1e-6)
    shape = bed.shape
    level = resize(np.where(weight > 0.02, carried, ground), shape) / scale
    near = resize(weight, shape, order=1) > 0.35
    thick = resize(ndimage.gaussian_filter(ice, 0.7), shape, order=1) / scale
    smooth = ndimage.gaussian_filter(bed, 3.0)
    surface = np.maximum(level, smooth + 0.35 * thick)
    # Gentle ground above the equilibrium line keeps its snow and turns it to ice.
    gentle = np.hypot(*np.gradient(smooth, cell)) < 0.62
    mask = near & ((surface > bed + 1.0) | (gentle & (bed > line / scale)))
    mask = ndimage.binary_opening(mask, iterations=2)
    mask = ndimage.binary_closing(mask, iterations=2, border_value=0)
    # Ice thins towards its edge: no cliff stands there.
    away = ndimage.distance_transform_edt(mask) * cell
    surface = bed + np.clip(surface - bed, 0.0, 0.6 * away)
    return Glaciers(
        mask=mask,
        thickness=np.where(mask, surface - bed, 0.0),
        surface=surface,
        speed=np.where(mask, resize(np.minimum(speed, 150.0), shape), 0.0),
        equilibrium_line=line / scale,
    )


def glaciers_within(surface: Grid, mask: NDArray[np.bool_], *, cell: float) -> Glaciers:
    """Return glaciers of known extent on a known surface.

    Thickness follows from the slope for ice on the edge of yielding, speed from both;
    the equilibrium line is the median height of the ice.

    References
    ----------
    Braithwaite & Raper 2009: Estimating equilibrium-line altitude (ELA) from glacier
    inventory data, Annals of Glaciology 50.
    """
    slope = np.hypot(*np.gradient(ndimage.gaussian_filter(surface, max(1.0, 60.0 / cell)), cell))
    yielding = 1.0e5 / (910.0 * 9.81)
    inside = ndimage.distance_transform_edt(mask) * cell
    thickness = np.minimum(yielding / np.maximum(slope, 0.05), 0.8 * inside)
    speed = 0.5 * SOFTNESS * 5 / 2 * thickness**4 * slope**3
    line = float(np.median(surface[mask])) if mask.any() else float(surface.max())
    return Glaciers(
        mask=mask,
        thickness=np.where(mask, thickness, 0.0),
        surface=surface,
        speed=np.where(mask, np.minimum(speed, 150.0), 0.0),
        equilibrium_line=line,
    )
