"""Areas of classes and how far they may be off: from probabilities, and from a buffer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.errors import CryonetError
from cryonet.grid import pixel_areas, pixel_side

#: Over so many metres errors are taken to go together, and beyond them not. Our choice.
CORRELATION = 500.0

#: Width of the buffer in pixels, to either side of an outline (Paul et al. 2013).
BUFFER = 0.5


@dataclass(frozen=True, slots=True)
class AreaEstimate:
    """The area of one class and its uncertainty, km².

    Attributes
    ----------
    name
        The class.
    mapped
        Area of the pixels that are mapped as it.
    expected
        Σ p · pixel area: the mean of the areas that the probabilities allow.
    independent, correlated, together
        Standard deviation of that area if errors of pixels know nothing of each other; if
        they go together within squares of the correlation length; if they all go together.
        The first is the least that probabilities allow, the last the most.
    buffer
        Area within the buffer to one side of the class's outline: mapped ± buffer.
    """

    name: str
    mapped: float
    expected: float
    independent: float
    correlated: float
    together: float
    buffer: float


def area_spread(
    probability: NDArray[np.floating], geobox: GeoBox, *, correlation: float
) -> tuple[float, float]:
    """Return the expected area of a class and its standard deviation, km².

    Each pixel is the class with its probability p, a draw of variance p(1 − p). Draws are
    taken to be fully correlated within squares of `correlation` metres and independent
    between them, so that the deviation is ``√ Σ_squares (Σ_pixels a √(p(1 − p)))²`` with
    the pixel area a. Squares begin at the first pixel and are of whole pixels, one at least:
    a length of 0 makes all pixels independent, an infinite one correlates them all.

    That errors go together at all, and the shape of it, is our choice: a network errs on
    patches of debris, not on pixels, and independent pixels would make any large area seem
    exact. Between draws of different p a correlation of one cannot quite be had; there the
    deviation is an upper bound.

    Parameters
    ----------
    probability
        Calibrated, ``(y, x)``; NaN where unknown, which has no area.
    correlation
        In metres.

    Raises
    ------
    CryonetError
        If the length is negative or NaN.
    """
    if not correlation >= 0:
        raise CryonetError("the correlation length is out of range", correlation, "Give 0 m up.")
    areas = pixel_areas(geobox)
    share = np.where(np.isfinite(probability), probability, 0).astype(np.float64).clip(0, 1)
    expected = float((areas * share).sum())
    spread = areas * np.sqrt(share * (1 - share))
    longest = max(spread.shape)
    side = int(min(longest, max(1, round(min(correlation / pixel_side(geobox), longest)))))
    for axis in (0, 1):
        spread = np.add.reduceat(spread, np.arange(0, spread.shape[axis], side), axis=axis)
    return expected, float(np.sqrt((spread**2).sum()))


def buffer_area(
    mask: NDArray[np.bool_],
    geobox: GeoBox,
    *,
    width: float = BUFFER,
    known: NDArray[np.bool_] | None = None,
) -> float:
    """Return the area within `width` pixels to one side of the outline of a mask, km².

    The outline runs along the edges of pixels, round islands and holes too. Each edge has a
    strip of `width` times the area of the pixels beside it, which holds on any grid. Diagonal
    outlines run in steps and come out up to √2 too long, 4/π on the mean over directions: the
    area is an upper bound for smooth outlines, exact for straight ones along the grid, but for
    their corners.

    Parameters
    ----------
    mask
        ``(y, x)``, True inside: a class of a map, or a polygon burned on the grid.
    width
        In pixels.
    known
        Where the mask is known; everywhere by default. An edge beside an unknown pixel, or on
        the rim of the raster, is where the data end, and no outline.

    Raises
    ------
    CryonetError
        If the width is negative or not a number.

    References
    ----------
    Paul et al. (2013), On the accuracy of glacier outlines derived from remote-sensing data,
    Ann. Glaciol. 54(63), 171-182.
    """
    if not (np.isfinite(width) and width >= 0):
        raise CryonetError("the buffer is out of range", width, "Give 0 pixels or more.")
    areas = pixel_areas(geobox)[:, 0]
    seen = np.ones(mask.shape, bool) if known is None else known
    across = (mask[:, 1:] != mask[:, :-1]) & seen[:, 1:] & seen[:, :-1]
    down = (mask[1:] != mask[:-1]) & seen[1:] & seen[:-1]
    beside = across.sum(axis=1) @ areas + down.sum(axis=1) @ ((areas[1:] + areas[:-1]) / 2)
    return float(width * beside)


def estimate_areas(
    codes: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    geobox: GeoBox,
    *,
    classes: Sequence[str],
    mask: NDArray[np.bool_] | None = None,
    correlation: float = CORRELATION,
    buffer: float = BUFFER,
) -> tuple[AreaEstimate, ...]:
    """Return the area of each class of a prediction with its uncertainty, km².

    Parameters
    ----------
    codes
        Class codes ``(y, x)``, 255 where there is none.
    probabilities
        Calibrated, ``(class, y, x)``.
    mask
        The pixels that count; all by default.
    correlation
        See `area_spread`, metres.
    buffer
        See `buffer_area`, pixels.
    """
    known = (codes < len(classes)) & np.isfinite(probabilities).all(axis=0)
    if mask is not None:
        known &= mask
    areas = pixel_areas(geobox)
    rows = []
    for code, name in enumerate(classes):
        share = np.where(known, probabilities[code], np.nan)
        inside = known & (codes == code)
        expected, independent = area_spread(share, geobox, correlation=0)
        rows.append(
            AreaEstimate(
                name=name,
                mapped=float((areas * inside).sum()),
                expected=expected,
                independent=independent,
                correlated=area_spread(share, geobox, correlation=correlation)[1],
                together=area_spread(share, geobox, correlation=float("inf"))[1],
                buffer=buffer_area(inside, geobox, width=buffer, known=known),
            )
        )
    return tuple(rows)
