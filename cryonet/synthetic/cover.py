"""What covers the ground: debris, lakes, seasonal snow, plants and rock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryonet.synthetic.drainage import Grid, drain, gather
from cryonet.synthetic.fractal import fractal_field
from cryonet.synthetic.ice import Glaciers, mass_balance

Mask = NDArray[np.bool_]

#: Height of the snow line over the equilibrium line, as a share of the relief.
SNOW_LINE = 0.06


@dataclass(frozen=True, slots=True)
class Cover:
    """The truth of a scene.

    Attributes
    ----------
    labels
        Class codes, uint8.
    surface
        Height of what is seen from above, m.
    snow
        Share of snow, 0 to 1, on and off the glaciers.
    plants
        Share of plants.
    """

    labels: NDArray[np.uint8]
    surface: Grid
    snow: Grid
    plants: Grid


def top_share(score: Grid, where: Mask, count: int) -> Mask:
    """Return the `count` pixels of `where` with the highest score."""
    chosen = np.zeros(score.shape, bool)
    values = score[where]
    if count > 0 and values.size:
        count = min(count, values.size)
        limit = np.partition(values, values.size - count)[values.size - count]
        chosen[where] = values >= limit
    return chosen


def cover_debris(
    glaciers: Glaciers, share: float, rng: np.random.Generator, *, cell: float
) -> Mask:
    """Return the debris cover: rock that falls on the ice and melts out lower down.

    Rock walls beside a glacier feed debris to its edge; ice carries it down; where ice
    melts, debris stays. Its concentration is the debris that passes over the ice that
    passes, which grows towards the terminus and draws medial moraines below confluences.

    Parameters
    ----------
    share
        Share of the scene to cover.

    References
    ----------
    Anderson & Anderson 2016: Modeling debris-covered glaciers, The Cryosphere 10.
    """
    mask, surface = glaciers.mask, glaciers.surface
    shape = mask.shape
    smooth = ndimage.gaussian_filter(surface, 2.0)
    edge = np.zeros(shape, bool)
    edge[[0, -1], :] = edge[:, [0, -1]] = True
    jitter = 0.3 * cell * fractal_field(shape, rng, slope=1.5)
    receiver, order = drain(smooth + jitter, edge)
    rise = np.hypot(*np.gradient(smooth, cell))
    walls = np.where(mask, 0.0, np.clip(rise - 0.6, 0.0, 1.0))
    supply = np.where(mask, ndimage.gaussian_filter(walls, 3.0), 0.0)
    supply *= np.exp(0.8 * fractal_field(shape, rng, slope=2.0, longest=60))
    balance = mass_balance(surface, glaciers.equilibrium_line)
    ice = gather(receiver, order, np.where(mask, balance, 0.0))
    rock = gather(receiver, order, np.where(mask, supply, 0.0))
    ice, rock = (ndimage.gaussian_filter(f, 2.0) for f in (ice, rock))
    concentration = np.log((rock + 0.1) / (ice + 20.0))
    span = max(float(np.ptp(surface[mask])) if mask.any() else 1.0, 1.0)
    below = (glaciers.equilibrium_line - surface) / span
    # Stones do not stay on steep ice.
    score = concentration / 2.0 + 5.0 * below - 4.0 * np.maximum(rise - 0.3, 0.0)
    score += 0.25 * fractal_field(shape, rng, slope=1.8, longest=40)
    score = ndimage.gaussian_filter(score, 1.5)
    debris = top_share(score, mask & (below > 0), round(share * mask.size))
    debris = ndimage.binary_closing(debris, iterations=2) & mask
    return np.asarray(ndimage.binary_opening(debris, iterations=1))


def hummocks(where: Mask, rng: np.random.Generator, *, cell: float) -> Grid:
    """Return the height of the hummocks of debris-covered ice, m, zero elsewhere."""
    pattern = fractal_field(where.shape, rng, slope=1.5, longest=14, shortest=5)
    result: Grid = 0.3 * cell * pattern * ndimage.gaussian_filter(where.astype(float), 1.5) * where
    return result


def cover_snow(glaciers: Glaciers, surface: Grid, rng: np.random.Generator, *, cell: float) -> Grid:
    """Return the share of snow: all the upper glaciers, and patches in gullies off them."""
    low, high = np.quantile(surface, (0.02, 0.98))
    span = float(high - low)
    height = (surface - glaciers.equilibrium_line) / span
    noise = fractal_field(surface.shape, rng, slope=2.2, longest=60)
    # A dry year: the snow has melted back to above the long-term equilibrium line.
    on_ice = 1.0 / (1.0 + np.exp(-((height - SNOW_LINE) * 90.0 + 0.8 * noise)))
    hollow = ndimage.gaussian_filter(surface, 6.0) - ndimage.gaussian_filter(surface, 1.0)
    rise = np.hypot(*np.gradient(surface, cell))
    score = 14.0 * height + hollow / (0.6 * cell) + 0.9 * noise - 2.5 * np.maximum(rise - 0.7, 0)
    patches = np.zeros(surface.shape)
    ground = ~glaciers.mask
    chosen = top_share(score, ground, round(0.055 * surface.size))
    patches[chosen] = 1.0
    return np.where(glaciers.mask, on_ice, patches)


def cover_plants(
    glaciers: Glaciers,
    surface: Grid,
    rng: np.random.Generator,
    *,
    cell: float,
    line: float,
    most: float,
) -> Grid:
    """Return the share of plants: denser lower down, none on steep rock or ice.

    `line` is how far below the equilibrium line plants cover half as much as they can,
    as a share of the relief.
    """
    low, high = np.quantile(surface, (0.02, 0.98))
    depth = (glaciers.equilibrium_line - surface) / float(high - low)
    noise = fractal_field(surface.shape, rng, slope=2.0, longest=80)
    rise = np.hypot(*np.gradient(ndimage.gaussian_filter(surface, 1.0), cell))
    share = 1.0 / (1.0 + np.exp(-((depth - line) * 22.0 + 0.9 * noise)))
    share *= np.clip((1.1 - rise) / 0.4, 0.0, 1.0)
    near = ndimage.gaussian_filter(glaciers.mask.astype(float), 6.0)
    # Below a fifth of cover there are no plants at all, so bare rock is bare.
    share = np.clip((share - 0.2) / 0.8, 0.0, 1.0)
    return np.where(glaciers.mask, 0.0, most * share * np.clip(1.0 - 4.0 * near, 0.0, 1.0))
