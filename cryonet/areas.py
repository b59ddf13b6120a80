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

# Pixels that are taken in double precision at once.
_AT_ONCE = 2**21


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
    tally = SpreadTally(geobox, correlation=correlation)
    height, width = probability.shape
    rows = max(1, _AT_ONCE // max(1, width))
    for top in range(0, height, rows):
        tally.add(probability[top : top + rows])
    return tally.expected, tally.deviation


class SpreadTally:
    """The area of a class and its deviation, rows added from the top; see `area_spread`.

    Memory holds the sums of one row of squares, whatever the raster's height.

    Attributes
    ----------
    expected
        Of the rows so far, km².
    together
        Their deviation if all errors go together, km².

    Raises
    ------
    CryonetError
        If the length is negative or NaN.
    """

    def __init__(self, geobox: GeoBox, *, correlation: float) -> None:
        if not correlation >= 0:
            rule = "Give 0 m up."
            raise CryonetError("the correlation length is out of range", correlation, rule)
        longest = max(geobox.shape)
        pixels = round(min(correlation / pixel_side(geobox), longest))
        self._side = int(min(longest, max(1, pixels)))
        self._areas, self._row = pixel_areas(geobox), 0
        # Σ spread² of single pixels, of finished squares, and the sums of unfinished ones.
        self._single, self._squares, self._open = 0.0, 0.0, np.zeros(1)
        self.expected, self.together = 0.0, 0.0

    def add(self, probability: NDArray[np.floating]) -> None:
        """Add rows ``(y, x)`` below those that were added before; NaN has no area."""
        areas = self._areas[self._row : self._row + len(probability)]
        share = np.where(np.isfinite(probability), probability, 0).astype(np.float64).clip(0, 1)
        self.expected += float((areas * share).sum())
        spread = areas * np.sqrt(share * (1 - share))
        self.together += float(spread.sum())
        self._single += float((spread**2).sum())
        if self._side > 1:
            self._add_squares(spread)
        self._row += len(probability)

    def _add_squares(self, spread: NDArray[np.float64]) -> None:
        side, (height, width) = self._side, spread.shape
        if self._row % side == 0:
            self._squares += float((self._open**2).sum())
            self._open = np.zeros(1)
        starts = [0, *range(side - self._row % side, height, side)]
        sums = np.add.reduceat(spread, np.arange(0, width, side), axis=1)
        sums = np.add.reduceat(sums, starts, axis=0)
        sums[0] += self._open
        self._squares += float((sums[:-1] ** 2).sum())
        self._open = sums[-1]

    @property
    def independent(self) -> float:
        """The deviation of the rows so far if errors of pixels know nothing of each other, km²."""
        return float(np.sqrt(self._single))

    @property
    def deviation(self) -> float:
        """Their deviation with errors that go together within squares, km²."""
        if self._side == 1:
            return self.independent
        return float(np.sqrt(self._squares + (self._open**2).sum()))


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
    _check_width(width)
    seen = np.ones(mask.shape, bool) if known is None else known
    return width * _beside(mask, seen, pixel_areas(geobox)[:, 0])


def _check_width(width: float) -> None:
    if not (np.isfinite(width) and width >= 0):
        raise CryonetError("the buffer is out of range", width, "Give 0 pixels or more.")


def _beside(
    mask: NDArray[np.bool_],
    seen: NDArray[np.bool_],
    areas: NDArray[np.float64],
    *,
    above: int = 0,
) -> float:
    """Return the area of pixels at the edges of a mask, a pixel for each edge, km².

    Of the first `above` rows only the edges towards the rows below count.
    """
    across = (mask[:, 1:] != mask[:, :-1]) & seen[:, 1:] & seen[:, :-1]
    down = (mask[1:] != mask[:-1]) & seen[1:] & seen[:-1]
    beside = across[above:].sum(axis=1) @ areas[above:]
    return float(beside + down.sum(axis=1) @ ((areas[1:] + areas[:-1]) / 2))


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
    tally = AreaTally(geobox, classes=classes, correlation=correlation, buffer=buffer)
    tally.add(codes, probabilities, mask=mask)
    return tally.estimates()


class AreaTally:
    """Areas of classes with their uncertainty, rows added from the top; see `estimate_areas`.

    What comes out does not depend on how the rows were cut.
    """

    def __init__(
        self,
        geobox: GeoBox,
        *,
        classes: Sequence[str],
        correlation: float = CORRELATION,
        buffer: float = BUFFER,
    ) -> None:
        _check_width(buffer)
        self._width, self._areas, self._row = buffer, pixel_areas(geobox), 0
        self._spread = {name: SpreadTally(geobox, correlation=correlation) for name in classes}
        self._mapped, self._edges = np.zeros(len(classes)), np.zeros(len(classes))
        # The row above, which has edges with the next one: its codes, and where they are known.
        shape = (0, geobox.shape[1])
        self._above = (np.empty(shape, np.uint8), np.empty(shape, bool))

    def add(
        self,
        codes: NDArray[np.integer],
        probabilities: NDArray[np.floating],
        *,
        mask: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add rows below those that were added before; arguments as for `estimate_areas`."""
        known = (codes < len(self._spread)) & np.isfinite(probabilities).all(axis=0)
        if mask is not None:
            known &= mask
        last, above = self._row + len(codes), len(self._above[0])
        areas = self._areas[self._row - above : last, 0]
        joined = np.concatenate([self._above[0], codes])
        seen = np.concatenate([self._above[1], known])
        for code, spread in enumerate(self._spread.values()):
            inside = seen & (joined == code)
            spread.add(np.where(known, probabilities[code], np.nan))
            self._mapped[code] += inside[above:].sum(axis=1) @ areas[above:]
            self._edges[code] += _beside(inside, seen, areas, above=above)
        self._row, self._above = last, (codes[-1:].copy(), known[-1:].copy())

    def estimates(self) -> tuple[AreaEstimate, ...]:
        """Return the areas of the rows so far."""
        return tuple(
            AreaEstimate(
                name=name,
                mapped=float(self._mapped[code]),
                expected=spread.expected,
                independent=spread.independent,
                correlated=spread.deviation,
                together=spread.together,
                buffer=float(self._width * self._edges[code]),
            )
            for code, (name, spread) in enumerate(self._spread.items())
        )
