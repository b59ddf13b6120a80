"""Throughput: how fast a network sees chips, and how long it waits for them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from cryonet.manifest import ThroughputRecord


@dataclass(slots=True)
class Throughput:
    """Chips, pixels and seconds of training steps; validation is not counted.

    Attributes
    ----------
    chips, pixels
        Of all processes together.
    seconds
        From `start` to the last `add`, summed over the spells.
    waited
        Seconds of those in which this process waited for chips.
    """

    chips: int = 0
    pixels: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    _last: float = 0.0

    def start(self) -> None:
        """Begin a spell of steps."""
        self._last = time.perf_counter()

    def add(self, chips: int, pixels: int, *, waited: float) -> None:
        """Count what was done since the last call, waiting included."""
        now = time.perf_counter()
        self.chips += chips
        self.pixels += pixels
        self.waited += waited
        self.seconds += now - self._last
        self._last = now

    def record(self) -> ThroughputRecord:
        """Return the figures as the manifest keeps them."""
        seconds = max(self.seconds, 1e-9)
        return ThroughputRecord(
            chips_per_second=float(f"{self.chips / seconds:.4g}"),
            megapixels_per_second=float(f"{self.pixels / 1e6 / seconds:.4g}"),
            waiting_share=round(min(1.0, self.waited / seconds), 4),
        )

    def __str__(self) -> str:
        found = self.record()
        return (
            f"{found.chips_per_second:.3g} chips/s, {found.megapixels_per_second:.3g} Mpx/s, "
            f"{found.waiting_share:.0%} waiting for data"
        )
