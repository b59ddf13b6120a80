"""The walk of pixels down the trees of a forest, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: Pixels that go down one tree before the next: the tree stays in the processor's cache.
_BLOCK = 1024


@njit(cache=True, nogil=True)
def mean_shares(
    pixels: NDArray[np.float32],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float32],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    shares: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Return the mean over trees of the shares of the leaf each pixel comes to.

    Parameters
    ----------
    pixels
        ``(pixel, layer)``.
    feature, threshold, left, right
        ``(tree, node)``: which layer decides, up to where a pixel goes left, and the children;
        a leaf is its own. They must be sound: nothing is checked here.
    shares
        ``(tree, node, class)``.

    Returns
    -------
    NDArray
        ``(pixel, class)``.
    """
    trees, classes = shares.shape[0], shares.shape[2]
    total = np.zeros((len(pixels), classes))
    for start in range(0, len(pixels), _BLOCK):
        for tree in range(trees):
            # Rows taken out once, and unsigned numbers, spare sums and checks at each node.
            layer_of, cut, shares_of = feature[tree], threshold[tree], shares[tree]
            lower, upper = left[tree], right[tree]
            for pixel in range(start, min(start + _BLOCK, len(pixels))):
                values = pixels[pixel]
                node = np.uint32(0)
                child = np.uint32(lower[node])
                while child != node:
                    below = values[np.uint32(layer_of[node])] <= cut[node]
                    node = child if below else np.uint32(upper[node])
                    child = np.uint32(lower[node])
                for code in range(classes):
                    total[pixel, code] += shares_of[node, code]
    mean: NDArray[np.float64] = total / trees
    return mean
