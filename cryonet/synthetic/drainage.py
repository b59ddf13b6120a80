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
    filled = 0
    while len(heap) > 0:
        level, i = heapq.heappop(heap)
        order[filled] = i
        filled += 1
        flooded[i] = True
        row, column = i // columns, i % columns
        best = 0.0
        for dr in range(-1, 2):
            for dc in range(-1, 2):
                r, c = row + dr, column + dc
                if (dr == 0 and dc == 0) or r < 0 or c < 0 or r >= rows or c >= columns:
                    continue
                j = r * columns + c
                far = 1.4142135623730951 if dr != 0 and dc != 0 else 1.0
                if flooded[j] and not outlet[i]:
                    fall = (flat[i] - flat[j]) / far
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
def fill(surface: Grid, receiver: Index, order: Index) -> Grid:
    """Return the surface with every closed hollow filled to its rim."""
    level = surface.ravel().copy()
    for i in order:
        level[i] = max(level[i], level[receiver[i]])
    return level.reshape(surface.shape)


@njit(cache=True)
def incise(
    surface: Grid,
    receiver: Index,
    order: Index,
    area: Grid,
    uplift: Grid,
    erodibility: float,
    exponent: float,
    cell: float,
    threshold: float,
) -> Grid:
    """Return the surface after one implicit step of uplift and stream-power incision.

    No pixel stands steeper over its receiver than the gradient `threshold`.

    References
    ----------
    Braun & Willett 2013: A very efficient O(n), implicit and parallel method to solve
    the stream power equation, Geomorphology 180-181.
    """
    columns = surface.shape[1]
    height = surface.ravel().copy()
    lift, gathered = uplift.ravel(), area.ravel()
    for i in order:
        j = receiver[i]
        if i == j:
            continue
        far = cell if abs(i - j) == 1 or abs(i - j) == columns else 1.4142135623730951 * cell
        factor = erodibility * gathered[i] ** exponent / far
        raised = height[i] + lift[i]
        if raised > height[j]:
            raised = (raised + factor * height[j]) / (1.0 + factor)
        height[i] = min(raised, height[j] + threshold * far)
    return height.reshape(surface.shape)
