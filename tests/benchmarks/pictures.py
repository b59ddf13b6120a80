"""Made-up images for the benchmarks."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def image(side: int, seed: int = 0) -> np.ndarray:
    """Return a synthetic image with structure at several scales, 0 to 1."""
    rng = np.random.default_rng(seed)
    field = sum(
        s * ndimage.gaussian_filter(rng.standard_normal((side, side)), s, truncate=3)
        for s in (0.5, 2, 8)
    )
    low, high = np.quantile(field, (0.01, 0.99))
    return np.clip((field - low) / (high - low), 0, 1).astype(np.float32)


def relief(side: int) -> np.ndarray:
    """Return synthetic mountains in metres: smoothed noise over several scales."""
    rng = np.random.default_rng(0)
    surface = np.full((side, side), 5000.0, np.float32)
    for sigma in (1, 4, 16):
        noise = rng.standard_normal((side, side)).astype(np.float32)
        surface += 40 * sigma * ndimage.gaussian_filter(noise, sigma, truncate=3)
    return surface


def speckle(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two synthetic radar images with a coherence of 0.6."""
    rng = np.random.default_rng(0)
    one, other = (
        (rng.standard_normal((side, side)) + 1j * rng.standard_normal((side, side)))
        for _ in range(2)
    )
    return one.astype(np.complex64), (0.6 * one + 0.8 * other).astype(np.complex64)
