"""Sunlight on relief: cast shadow and the cosine of incidence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Grid = NDArray[np.floating[Any]]


@njit(cache=True, nogil=True)
def _march(
    surface: Any, down: float, right: float, rise: float, top: float, reach: int
) -> NDArray[np.bool_]:
    rows, columns = surface.shape
    dark = np.zeros((rows, columns), np.bool_)
    # A ray along the border may stray from it by a rounding error.
    low, last_row, last_col = -1e-6, rows - 1 + 1e-6, columns - 1 + 1e-6
    for r in range(rows):
        for c in range(columns):
            height = float(surface[r, c])
            for step in range(1, reach + 1):
                # The part of a pixel does not depend on where the raster was cut.
                row, column, level = step * down, step * right, height + step * rise
                if level > top or min(r + row, c + column) < low:
                    break
                if r + row > last_row or c + column > last_col:
                    break
                i, j = np.floor(row + 1e-9), np.floor(column + 1e-9)
                v, u = row - i, column - j
                a, b = max(r + int(i), 0), max(c + int(j), 0)
                k, m = min(a + 1, rows - 1), min(b + 1, columns - 1)
                upper = surface[a, b] * (1 - u) + surface[a, m] * u
                lower = surface[k, b] * (1 - u) + surface[k, m] * u
                if upper * (1 - v) + lower * v > level:
                    dark[r, c] = True
                    break
    return dark


def cast_shadow(
    surface: Grid, *, cell: float, azimuth: float, elevation: float, reach: int | None = None
) -> NDArray[np.bool_]:
    """Return where the sun is hidden behind other ground.

    From each pixel a ray is followed towards the sun, in steps of one pixel, over ground
    interpolated between pixels. Missing ground throws no shadow and is in none.

    Parameters
    ----------
    surface
        Heights ``(y, x)``, m, row 0 in the north.
    cell
        Pixel side, m.
    azimuth, elevation
        Where the sun stands, degrees; azimuth clockwise from north.
    reach
        How many pixels away ground is looked for; the whole raster by default.
    """
    angle = np.radians(azimuth)
    known = np.isfinite(surface)
    return np.asarray(
        _march(
            np.ascontiguousarray(surface),
            -float(np.cos(angle)),
            float(np.sin(angle)),
            cell * float(np.tan(np.radians(elevation))),
            float(surface[known].max()) if known.any() else 0.0,
            sum(surface.shape) if reach is None else reach,
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
