"""Band: what a file says of one of its bands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Band:
    """One band to write: its name, unit and how stored numbers become values."""

    name: str
    unit: str = "1"
    scale: float = 1.0
    offset: float = 0.0
