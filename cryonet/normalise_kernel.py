"""Clip, centre, scale and fill the layers of a window in one pass, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def normalise_layers(stack: Any, numbers: Any, groups: Any, out: Any, lacking: Any) -> None:
    """Fill `out` ``(layer, y, x)``, of any strides, and `lacking` ``(y, x)``.

    Parameters
    ----------
    stack
        float32 ``(layer, y, x)``, not finite where missing.
    numbers
        float32 ``(layer, 5)``: mean, standard deviation, low, high, fill.
    groups
        uint8 ``(layer,)``: the bit of `lacking`, 0 to 7, that is set where the layer is missing.
        Layers of other bits than 0 become 0 where a layer with the same bit is missing.
    """
    layers, height, width = stack.shape
    for y in range(height):
        for x in range(width):
            lacking[y, x] = 0
        for k in range(layers):
            mean, std, low = numbers[k, 0], numbers[k, 1], numbers[k, 2]
            high, fill = numbers[k, 3], numbers[k, 4]
            bit = np.uint8(1 << groups[k])
            for x in range(width):
                value = stack[k, y, x]
                if not np.isfinite(value):
                    lacking[y, x] |= bit
                    value = fill
                value = min(max(value, low), high)
                out[k, y, x] = (value - mean) / std
        for k in range(layers):
            if groups[k]:
                for x in range(width):
                    if lacking[y, x] >> groups[k] & 1:
                        out[k, y, x] = 0
