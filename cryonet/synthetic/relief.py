"""The relief: a fractal surface carved by rivers and old glaciers into branching valleys."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryonet.progress import Progress
from cryonet.synthetic.drainage import Grid, drain, gather, incise
from cryonet.synthetic.fractal import fractal_field, resize
from cryonet.synthetic.region import Region

#: Side in pixels of the coarsest surface; its pixel is the unit of length of the rivers.
COARSEST = 104

#: Strength of the rivers in one step.
STRENGTH = 0.8

#: Height of the highest edge as a share of the relief.
PLATEAU = 0.45

#: Steps on the coarsest surface and on each finer one.
STEPS = (160, 30, 8, 3, 1)


def make_relief(
    shape: tuple[int, int],
    region: Region,
    rng: np.random.Generator,
    *,
    cell: float,
    progress: Progress,
) -> Grid:
    """Return heights above the lowest outlet, m, of a range carved by rivers.

    Uplift, rivers and creep work on a coarse surface until it is steady. It is then bent
    by a smooth random field, so that no valley follows the grid, refined, roughened and
    carved again until its pixels are those asked for.

    Parameters
    ----------
    shape
        Rows and columns.
    cell
        Pixel side, m.
    """
    longest = max(shape)
    small = (max(24, shape[0] * COARSEST // longest), max(24, shape[1] * COARSEST // longest))
    turns = int(rng.integers(4))
    tall = region.relief * (longest * cell / 12800.0) ** 0.85
    surface = 0.1 * tall * fractal_field(small, rng, slope=2.4)
    lift = 0.01 * tall * np.clip(1 + 0.45 * fractal_field(small, rng, slope=3.0), 0.3, 2.2)
    level = 0
    while True:
        steps = STEPS[min(level, len(STEPS) - 1)]
        surface, lift = _uplift(surface, lift, region, rng, steps=steps, tall=tall, turns=turns)
        progress.step(level + 1, len(STEPS), "relief")
        if surface.shape == shape:
            result: Grid = surface - surface.min()
            return result
        if level == 0:
            surface = _bend(surface, rng, reach=3.0)
        rows, columns = (
            side if 1.5 * now >= side else min(2 * now, side)
            for now, side in zip(surface.shape, shape, strict=True)
        )
        surface = resize(surface, (rows, columns), order=3)
        lift = resize(lift, (rows, columns))
        level += 1


def _border(shape: tuple[int, int], tall: float, turns: int) -> tuple[NDArray[np.bool_], Grid]:
    # Rivers leave over all edges, but one edge lies high, as before a plateau: long
    # valleys run to the low edge and short ones to the high edge.
    outlets = np.ones(shape, bool)
    outlets[1:-1, 1:-1] = False
    level = np.zeros(shape)
    side = np.rot90(level, turns)
    side[...] = PLATEAU * tall * np.linspace(1.0, 0.0, side.shape[0])[:, None] ** 0.7
    return outlets, level


def _uplift(
    surface: Grid,
    lift: Grid,
    region: Region,
    rng: np.random.Generator,
    *,
    steps: int,
    tall: float,
    turns: int,
) -> tuple[Grid, Grid]:
    shape = surface.shape
    outlets, level = _border(shape, tall, turns)
    cell = COARSEST / max(shape)
    # Noise in the choice of the way keeps valleys from following the grid, and becomes
    # the gullies of the finer surfaces.
    jitter = region.roughness * 0.01 * tall * cell * fractal_field(shape, rng, slope=1.5)
    still = np.where(outlets, 0.0, lift)
    surface = np.where(outlets, level, surface)
    for step in range(steps):
        receiver, order = drain(surface + jitter, outlets)
        area = gather(receiver, order, np.full(shape, cell * cell)) + region.hillslope
        strength = STRENGTH * area**region.steepness
        raised = incise(surface, receiver, order, strength, still, cell)
        surface = ndimage.gaussian_filter(raised, region.creep, mode="nearest")
        if step % 10 == 9 or step == steps - 1:
            # Uplift sets how tall a steady range stands: both scale together.
            factor = tall / (np.quantile(surface, 0.999) - surface.min())
            surface, lift, still = surface * factor, lift * factor, still * factor
        surface[outlets] = level[outlets]
    return surface, lift


def _bend(surface: Grid, rng: np.random.Generator, *, reach: float) -> Grid:
    rows, columns = np.indices(surface.shape, dtype=float)
    wide = max(surface.shape) / 4
    rows += reach * fractal_field(surface.shape, rng, slope=3.0, longest=wide)
    columns += reach * fractal_field(surface.shape, rng, slope=3.0, longest=wide)
    return np.asarray(ndimage.map_coordinates(surface, [rows, columns], order=1, mode="nearest"))
