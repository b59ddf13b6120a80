"""Glacial lakes: dammed by moraines before the termini, and ponds on the debris."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryonet.synthetic.cover import top_share
from cryonet.synthetic.drainage import Grid
from cryonet.synthetic.fractal import fractal_field

Mask = NDArray[np.bool_]

_AROUND = np.ones((3, 3), bool)


def proglacial_lakes(
    surface: Grid,
    ice: Mask,
    *,
    count: int,
    rng: np.random.Generator,
    cell: float,
    build: bool = True,
) -> tuple[Grid, Mask]:
    """Return the surface with level lakes before the lowest ice, and where they are.

    The larger a glacier and the gentler the ground before it, the larger its share of
    the `count` pixels: a lake spreads from the terminus and a moraine dams it.

    Parameters
    ----------
    build
        Raise moraine dams; without it only the lakes themselves are levelled.
    """
    lakes = np.zeros(surface.shape, bool)
    result = surface.copy()
    wobble = fractal_field(surface.shape, rng, slope=2.4, longest=30, shortest=6)
    ends = _termini(surface, ice, cell)
    total = sum(weight for *_, weight in ends)
    left = count
    for row, column, weight in ends:
        quota = min(left, max(25, round(count * weight / total)))
        if quota < 12:
            break
        # Lakes at different levels do not touch.
        taken = ice | ndimage.binary_dilation(lakes, structure=_AROUND)
        lake = _spread(result, taken, (row, column), quota, wobble, cell)
        if not lake.any():
            continue
        level = float(np.quantile(result[lake], 0.4))
        left -= int(lake.sum())
        if build:
            result = _dam(result, lake, level, ice | lakes, cell)
        lakes |= lake
        result[lake] = level
    return result, lakes


def _termini(surface: Grid, ice: Mask, cell: float) -> list[tuple[int, int, float]]:
    # Row, column and weight of the ends of tongues, heaviest first: the lowest ice far
    # around, weighted by how much ice hangs over it and how gently the ground falls.
    parts, number = ndimage.label(ice, structure=_AROUND)
    sizes = np.bincount(parts.ravel(), minlength=number + 1)
    width = max(9, min(ice.shape) // 8)
    top = np.where(ice & (sizes[parts] >= 60), surface, np.inf)
    low = (ndimage.minimum_filter(top, width) == top) & np.isfinite(top)
    keep = max(4, min(ice.shape) // 40)
    low[:keep] = low[-keep:] = low[:, :keep] = low[:, -keep:] = False
    slope = np.hypot(*np.gradient(ndimage.gaussian_filter(surface, 6.0), cell))
    above = ndimage.uniform_filter(ice.astype(float), width)
    weights = above / (1.0 + (slope / 0.3) ** 2)
    ends = [(int(r), int(c), float(weights[r, c])) for r, c in zip(*np.nonzero(low), strict=True)]
    ends.sort(key=lambda end: (-end[2], end))
    return [end for end in ends if end[2] > 0.3 * ends[0][2]][:5]


def _spread(
    surface: Grid, taken: Mask, end: tuple[int, int], quota: int, wobble: Grid, cell: float
) -> Mask:
    # The lake takes the lowest, nearest free ground round the terminus that hangs together.
    row, column = end
    reach = int(3 * np.sqrt(quota)) + 8
    rows = slice(max(row - reach, 0), row + reach + 1)
    columns = slice(max(column - reach, 0), column + reach + 1)
    free = ~taken[rows, columns]
    ground = ndimage.gaussian_filter(surface[rows, columns], 1.5)
    index = np.indices(ground.shape)
    far = np.hypot(index[0] - row + rows.start, index[1] - column + columns.start)
    height = (ground - float(surface[row, column])) / cell
    cost = far + 5.0 * np.maximum(height, 0.0) + 0.8 * np.maximum(-height - 1.0, 0.0)
    cost += 0.1 * np.sqrt(quota) * wobble[rows, columns]
    chosen = top_share(-ndimage.gaussian_filter(cost, 1.0), free, round(1.1 * quota))
    chosen = ndimage.binary_opening(chosen, structure=_AROUND) & free
    parts, number = ndimage.label(chosen)
    result = np.zeros(surface.shape, bool)
    if number:
        largest = int(np.argmax(np.bincount(parts.ravel())[1:])) + 1
        result[rows, columns] = ndimage.binary_fill_holes(parts == largest) & free
    return result


def _dam(surface: Grid, lake: Mask, level: float, kept: Mask, cell: float) -> Grid:
    # A moraine with natural side slopes below the lake, a cut bank of 40 degrees above it;
    # ice and other lakes are kept as they are.
    away = ndimage.distance_transform_edt(~lake) * cell
    crest = level + 0.3 * cell - 0.5 * np.maximum(away - 2.0 * cell, 0.0)
    bank = level + 0.85 * away
    shaped = np.clip(surface, crest, np.maximum(bank, crest))
    return np.where((away > 0) & (away < 30 * cell) & ~kept, shaped, surface)


def ponds(
    surface: Grid, debris: Mask, *, count: int, rng: np.random.Generator
) -> tuple[Grid, Mask]:
    """Return the surface with level ponds on the debris, and where they are."""
    pattern = fractal_field(surface.shape, rng, slope=2.0, longest=18, shortest=5)
    slope = np.hypot(*np.gradient(ndimage.gaussian_filter(surface, 2.0)))
    inside = ndimage.binary_erosion(debris, iterations=2)
    chosen = top_share(pattern - 0.4 * slope / max(slope.std(), 1e-9), inside, count)
    chosen = ndimage.binary_opening(chosen, structure=np.ones((2, 2), bool))
    parts, number = ndimage.label(chosen)
    result = surface.copy()
    if number:
        levels = ndimage.minimum(surface, parts, np.arange(1, number + 1))
        result[chosen] = np.asarray(levels)[parts[chosen] - 1]
    return result, np.asarray(chosen)
