"""The scene classification (SCL) of Sentinel-2 level 2A: what of an image can be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

#: What a code comes to here.
Use = Literal["missing", "saturated", "shadow", "cloud", "snow", "clear"]

#: The codes, after the Sentinel-2 products specification. The shadow of relief (2) and what
#: is unclassified (7) stay: glaciers lie in shadow, and 7 is no finding. Our choice.
CODES: dict[int, tuple[str, Use]] = {
    0: ("no data", "missing"),
    1: ("saturated or defective", "saturated"),
    2: ("dark area", "clear"),
    3: ("cloud shadow", "shadow"),
    4: ("vegetation", "clear"),
    5: ("not vegetated", "clear"),
    6: ("water", "clear"),
    7: ("unclassified", "clear"),
    8: ("cloud, medium probability", "cloud"),
    9: ("cloud, high probability", "cloud"),
    10: ("thin cirrus", "cloud"),
    11: ("snow or ice", "snow"),
}

_USABLE = np.array(
    [CODES.get(code, ("", "missing"))[1] in ("clear", "snow") for code in range(256)]
)


@dataclass(frozen=True, slots=True)
class Cover:
    """Shares of an area, 0 to 1.

    `missing` is of the whole area; `cloud` (with its shadow) and `snow` are of what the
    image covers, and 1 and 0 where it covers nothing.
    """

    missing: float
    cloud: float
    snow: float

    @property
    def usable(self) -> float:
        """Share of the whole area that is seen and free of cloud."""
        return (1 - self.missing) * (1 - self.cloud)


def usable(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where there is neither cloud nor its shadow, saturation, or nothing at all."""
    found: NDArray[np.bool_] = _USABLE[codes]
    return found


def cover_of(codes: NDArray[Any], area: NDArray[np.bool_] | None = None) -> Cover:
    """Return the shares of an array of codes, of the pixels of `area` alone if it is given."""
    inside = codes if area is None else codes[area]
    counts = np.bincount(inside.ravel(), minlength=256)
    total = dict.fromkeys(("missing", "saturated", "shadow", "cloud", "snow", "clear"), 0)
    for code, count in enumerate(counts.tolist()):
        total[CODES.get(code, ("", "missing"))[1]] += count
    whole = sum(total.values())
    seen = whole - total["missing"]
    if not seen:
        return Cover(1.0, 1.0, 0.0)
    hidden = total["cloud"] + total["shadow"] + total["saturated"]
    return Cover(total["missing"] / whole, hidden / seen, total["snow"] / seen)
