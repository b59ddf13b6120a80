"""The compiled code of the spectral indices: all of a stretch of pixels in one pass.

Each index has a loop of its own, without branches, which the compiler runs on several
pixels at once; a stretch is short enough that its bands stay in the processor's cache
while every index asked for is made of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

#: The bands and the indices, in the order of the kernel's `bands` and `outs`.
BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
NAMES = (
    "ndsi",
    "ndwi",
    "ndvi",
    "ndgi",
    "ndsii",
    "band_ratio",
    "s3",
    "awei_sh",
    "awei_nsh",
    "ndmi",
    "ndsi_nw",
    "iron_oxide",
)

#: Pixels of a stretch.
_SPAN = 2048

# A plain 0.25 would make double precision of the float32 beside it.
_ZERO, _SHIFT, _NAN = np.float32(0), np.float32(0.05), np.float32(np.nan)
_QUARTER, _ONE_HALF, _TWO_HALF, _TWO_THREE = (np.float32(x) for x in (0.25, 1.5, 2.5, 2.75))
_FOUR = np.float32(4)

_compiled = njit(
    cache=True, nogil=True, boundscheck=False, error_model="numpy", fastmath={"contract"}
)


# What is not finite minus itself is not zero.
@_compiled
def _difference(one: Any, other: Any, shift: Any, out: Any) -> None:
    for x in range(out.size):
        value = (one[x] - other[x] - shift) / (one[x] + other[x])
        out[x] = value if value - value == _ZERO else _NAN


@_compiled
def _ratio(one: Any, other: Any, out: Any) -> None:
    for x in range(out.size):
        value = one[x] / other[x]
        out[x] = value if value - value == _ZERO else _NAN


@_compiled
def _s3(nir: Any, red: Any, swir16: Any, out: Any) -> None:
    for x in range(out.size):
        value = nir[x] * (red[x] - swir16[x]) / ((nir[x] + red[x]) * (nir[x] + swir16[x]))
        out[x] = value if value - value == _ZERO else _NAN


@_compiled
def _awei_sh(blue: Any, green: Any, nir: Any, swir16: Any, swir22: Any, out: Any) -> None:
    for x in range(out.size):
        infrared = _ONE_HALF * (nir[x] + swir16[x]) + _QUARTER * swir22[x]
        out[x] = blue[x] + _TWO_HALF * green[x] - infrared


@_compiled
def _awei_nsh(green: Any, nir: Any, swir16: Any, swir22: Any, out: Any) -> None:
    for x in range(out.size):
        infrared = _QUARTER * nir[x] + _TWO_THREE * swir22[x]
        out[x] = _FOUR * (green[x] - swir16[x]) - infrared


@_compiled
def fill_indices(bands: Any, first: int, last: int, outs: Any) -> None:
    """Write pixels `first` to `last` (not included) of the indices.

    Parameters
    ----------
    bands
        For each of `BANDS` an array ``(pixel,)`` float32; of any size if nothing needs it.
    first, last
        Pixels.
    outs
        For each of `NAMES` an array ``(pixel,)`` float32 to write to, or one of size 0 if
        the index is not asked for.
    """
    for start in range(first, last, _SPAN):
        stop = min(start + _SPAN, last)
        blue, green, red = bands[0][start:stop], bands[1][start:stop], bands[2][start:stop]
        nir, swir16, swir22 = bands[3][start:stop], bands[4][start:stop], bands[5][start:stop]
        _difference(green, swir16, _ZERO, outs[0][start:stop])
        _difference(green, nir, _ZERO, outs[1][start:stop])
        _difference(nir, red, _ZERO, outs[2][start:stop])
        _difference(green, red, _ZERO, outs[3][start:stop])
        _difference(red, swir16, _ZERO, outs[4][start:stop])
        _ratio(red, swir16, outs[5][start:stop])
        _s3(nir, red, swir16, outs[6][start:stop])
        _awei_sh(blue, green, nir, swir16, swir22, outs[7][start:stop])
        _awei_nsh(green, nir, swir16, swir22, outs[8][start:stop])
        _difference(nir, swir16, _ZERO, outs[9][start:stop])
        _difference(nir, swir16, _SHIFT, outs[10][start:stop])
        _ratio(red, blue, outs[11][start:stop])
