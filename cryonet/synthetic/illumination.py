"""Sunlight on relief: cast shadow, cosine of incidence, and the sky that is seen."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cryonet.synthetic.drainage import Grid


@njit(cache=True)
def _march(
    surface: Grid, step_row: float, step_col: float, rise: float, top: float
) -> NDArray[np.bool_]:
    # A ray along the border may stray from it by a rounding error.
    rows, columns = surface.shape
    low, last_row, last_col = -1e-6, rows - 1 + 1e-6, columns - 1 + 1e-6
    dark = np.zeros((rows, columns), np.bool_)
    for r in range(rows):
        for c in range(columns):
            row, column, level = float(r), float(c), surface[r, c]
            while True:
                row += step_row
                column += step_col
                level += rise
                if level > top or min(row, column) < low or row > last_row or column > last_col:
                    break
                i, j = int(row), int(column)
                k, m = min(i + 1, rows - 1), min(j + 1, columns - 1)
                v, u = row - i, column - j
                upper = surface[i, j] * (1 - u) + surface[i, m] * u
                lower = surface[k, j] * (1 - u) + surface[k, m] * u
                if upper * (1 - v) + lower * v > level:
                    dark[r, c] = True
                    break
    return dark


def cast_shadow(
    surface: Grid, *, cell: float, azimuth: float, elevation: float
) -> NDArray[np.bool_]:
    """Return where the sun is hidden behind other ground.

    Parameters
    ----------
    surface
        Heights, m, row 0 in the north.
    cell
        Pixel side, m.
    azimuth, elevation
        Where the sun stands, degrees; azimuth clockwise from north.
    """
    angle = np.radians(azimuth)
    return np.asarray(
        _march(
            surface,
            -float(np.cos(angle)),
            float(np.sin(angle)),
            cell * float(np.tan(np.radians(elevation))),
            float(surface.max()),
        )
    )


def incidence(surface: Grid, *, cell: float, azimuth: float, elevation: float) -> Grid:
    """Return the cosine of the angle between sunlight and the ground's normal, 0 if averted."""
    down, right = np.gradient(surface, cell)
    angle, height = np.radians(azimuth), np.radians(elevation)
    # Unit vector towards the sun: east, north, up; rows run southwards.
    east, north, up = (
        np.sin(angle) * np.cos(height),
        np.cos(angle) * np.cos(height),
        np.sin(height),
    )
    cosine = (up - right * east + down * north) / np.sqrt(1 + down**2 + right**2)
    return np.asarray(np.maximum(cosine, 0.0))
