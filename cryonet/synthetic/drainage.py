"""Drainage over a surface: who drains to whom, in which order, and what gathers."""

from __future__ import annotations

import heapq

import numpy as np
from numba import njit
from numpy.typing import NDArray

Grid = NDArray[np.float64]
Index = NDArray[np.int64]


@njit(cache=True)
def drain(surface: Grid, outlets: NDArray[np.bool_]) -> tuple[Index, Index]:
    """Return each pixel's receiver and all pixels in an order from the outlets upwards.

    Pixels are flooded from `outlets` in order of height, so closed hollows spill over
    their lowest rim and every pixel drains to an outlet. A receiver is the steepest
    flooded neighbour that lies lower, or the pixel from which the flood came.

    References
    ----------
    Barnes, Lehman, Mulla 2014: Priority-flood, Computers & Geosciences 62.
    """
    rows, columns = surface.shape
    count = rows * columns
    flat = surface.ravel()
    outlet = outlets.ravel()
    receiver = np.full(count, -1, np.int64)
    order = np.empty(count, np.int64)
    flooded = np.zeros(count, np.bool_)
    seen = np.zeros(count, np.bool_)
    heap = [(0.0, 0)]
    heap.pop()
    for i in range(count):
        if outlet[i]:
            heapq.heappush(heap, (flat[i], i))
            seen[i] = True
            receiver[i] = i
    for k in range(count):
        level, i = heapq.heappop(heap)
        order[k] = i
        flooded[i] = True
        best = 0.0
        for n in range(9):
            r, c = i // columns + n // 3 - 1, i % columns + n % 3 - 1
            if n == 4 or r < 0 or c < 0 or r >= rows or c >= columns:
                continue
            j = r * columns + c
            if flooded[j] and not outlet[i]:
                fall = (flat[i] - flat[j]) / (1.0 if n % 2 == 1 else 1.4142135623730951)
                if fall > best:
                    best = fall
                    receiver[i] = j
            elif not seen[j]:
                seen[j] = True
                receiver[j] = i
                heapq.heappush(heap, (max(level, flat[j]), j))
    return receiver, order


@njit(cache=True)
def gather(receiver: Index, order: Index, source: Grid) -> Grid:
    """Return what flows through each pixel when every pixel adds `source`.

    The sum never falls below zero: a flow consumed on its way does not return.
    """
    total = source.ravel().copy()
    for k in range(order.size - 1, -1, -1):
        i = order[k]
        total[i] = max(total[i], 0.0)
        if receiver[i] != i:
            total[receiver[i]] += total[i]
    return total.reshape(source.shape)


@njit(cache=True)
def incise(
    surface: Grid, receiver: Index, order: Index, strength: Grid, uplift: Grid, cell: float
) -> Grid:
    """Return the surface after one implicit step of uplift and stream-power incision.

    `strength` is the erodibility times the drained area to its exponent times the time
    step, a length like `cell`.

    References
    ----------
    Braun & Willett 2013: A very efficient O(n), implicit and parallel method to solve
    the stream power equation, Geomorphology 180-181.
    """
    columns = surface.shape[1]
    height = surface.ravel().copy()
    lift, power = uplift.ravel(), strength.ravel()
    for i in order:
        j = receiver[i]
        if i == j:
            continue
        straight = abs(i - j) == 1 or abs(i - j) == columns
        factor = power[i] / (cell if straight else 1.4142135623730951 * cell)
        raised = height[i] + lift[i]
        if raised > height[j]:
            raised = (raised + factor * height[j]) / (1.0 + factor)
        height[i] = raised
    return height.reshape(surface.shape)
