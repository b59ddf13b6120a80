"""ValueCounts: percentiles of values that come in blocks, exact, without holding them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Bits of a float32 that are counted in each of the two passes.
_HALF = 16


class ValueCounts:
    """Percentiles of finite float32 values, found in two passes over them.

    As whole numbers the bits of floats have the order of the floats (with the sign turned).
    The first pass counts the values by the upper 16 bits; the second counts those that share
    the upper bits of a percentile by the lower 16. So the percentile is the very value that
    sorting would find, and what is held are some 65 536 counts.

    Call `look` with every block, `narrow` once, `look` with every block again, and then
    `percentiles`.

    Parameters
    ----------
    percents
        Which percentiles, 0 to 100.
    """

    def __init__(self, percents: tuple[float, ...]) -> None:
        self._percents = percents
        self._coarse = np.zeros(1 << _HALF, np.int64)
        self._fine: dict[int, NDArray[np.int64]] | None = None

    @property
    def count(self) -> int:
        """How many values the first pass has seen."""
        return int(self._coarse.sum())

    def look(self, values: NDArray[np.float32]) -> None:
        """Count one block of finite values ``(value,)``."""
        places = _ordered(values)
        upper = places >> _HALF
        if self._fine is None:
            self._coarse += np.bincount(upper, minlength=self._coarse.size)
            return
        for bucket in self._fine:
            lower = places[upper == bucket] & 0xFFFF
            self._fine[bucket] += np.bincount(lower, minlength=1 << _HALF)

    def narrow(self) -> None:
        """End the first pass."""
        ranks = {rank for percent in self._percents for rank in self._ranks(percent)[:2]}
        ends = np.cumsum(self._coarse)
        buckets = {int(np.searchsorted(ends, rank, side="right")) for rank in ranks}
        self._fine = {bucket: np.zeros(1 << _HALF, np.int64) for bucket in buckets}

    def percentiles(self) -> list[float]:
        """Return the percentiles, interpolated as `numpy.percentile` does in float64."""
        found = []
        for percent in self._percents:
            below, above, share = self._ranks(percent)
            low, high = self._value(below), self._value(above)
            # Written as numpy writes it, to be equal to the last bit.
            near_low, near_high = low + (high - low) * share, high - (high - low) * (1 - share)
            found.append(near_low if share < 0.5 else near_high)
        return found

    def _ranks(self, percent: float) -> tuple[int, int, float]:
        place = (self.count - 1) * (percent / 100)
        below = int(np.floor(place))
        return below, min(below + 1, self.count - 1), place - below

    def _value(self, rank: int) -> float:
        assert self._fine is not None
        ends = np.cumsum(self._coarse)
        bucket = int(np.searchsorted(ends, rank, side="right"))
        inside = rank - (int(ends[bucket - 1]) if bucket else 0)
        lower = int(np.searchsorted(np.cumsum(self._fine[bucket]), inside, side="right"))
        return _back(bucket << _HALF | lower)


def _ordered(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    # Adding zero makes minus zero zero: the two are one value.
    bits = (values + np.float32(0)).view(np.uint32)
    turned: NDArray[np.uint32] = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return turned


def _back(place: int) -> float:
    bits = place ^ (1 << 31) if place >> 31 else ~place & 0xFFFFFFFF
    return float(np.array([bits], np.uint32).view(np.float32)[0])
