"""Coherence, phase and multilooking against OpenCV, SciPy and NumPy, one thread each.

Run with ``python tests/benchmarks/bench_insar.py [SIDE] [ROUNDS]``. The peers do what one writes
with their box filters: the cross product and two powers in single precision, and a mean of
each; for the phase also its angle, cosine and sine, which we give too. They know no missing
samples, so ours is timed with and without.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pictures import speckle
from scipy import ndimage
from turns import FRESH, KEPT, Job, Tasks, installed, start

from cryonet.layers.interferometry import coherence, interferogram

LOOKS = (5, 20)
Mean = Callable[[np.ndarray], np.ndarray]


def means(mean: Mean, one: np.ndarray, two: np.ndarray) -> list[np.ndarray]:
    """Return the means of the cross product's parts and of both powers."""
    cross = one * two.conj()
    parts = [np.ascontiguousarray(part) for part in (cross.real, cross.imag)]
    return [mean(part) for part in parts] + [
        mean(z.real * z.real + z.imag * z.imag) for z in (one, two)
    ]


def only_coherence(mean: Mean, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    real, imag, p, q = means(mean, one, two)
    return np.sqrt((real * real + imag * imag) / (p * q))


def and_phase(mean: Mean, one: np.ndarray, two: np.ndarray) -> list[np.ndarray]:
    real, imag, p, q = means(mean, one, two)
    size = np.sqrt(real * real + imag * imag)
    return [size / np.sqrt(p * q), np.arctan2(imag, real), real / size, imag / size]


def opencv(window: tuple[int, int]) -> Mean | None:
    if not installed("cv2"):
        return None
    import cv2

    cv2.setNumThreads(1)
    return lambda z: cv2.boxFilter(z, -1, window[::-1], borderType=cv2.BORDER_REFLECT)


def blocks(one: np.ndarray, two: np.ndarray) -> list[np.ndarray]:
    """Return coherence and phase of blocks by reshaping, as NumPy users do."""
    rows, cols = one.shape[0] // LOOKS[0], one.shape[1] // LOOKS[1]

    def mean(z: np.ndarray) -> np.ndarray:
        cut = z[: rows * LOOKS[0], : cols * LOOKS[1]]
        return cut.reshape(rows, LOOKS[0], cols, LOOKS[1]).mean((1, 3))

    cross = mean(one * two.conj())
    p, q = (mean(z.real * z.real + z.imag * z.imag) for z in (one, two))
    size = np.abs(cross)
    return [size / np.sqrt(p * q), np.angle(cross), cross.real / size, cross.imag / size]


def tasks(side: int) -> Tasks:
    one, two = speckle(side)
    holed, pixels = one.copy(), float(side * side)
    holed[np.random.default_rng(1).random(one.shape) < 0.1] = np.nan
    scipy, box = (lambda z: ndimage.uniform_filter(z, LOOKS)), opencv(LOOKS)
    window = (slice(LOOKS[0], -LOOKS[0]), slice(LOOKS[1], -LOOKS[1]))
    ours = coherence(one, two, window=LOOKS).values[window]
    np.testing.assert_allclose(ours, only_coherence(scipy, one, two)[window], atol=1e-5)
    np.testing.assert_allclose(
        interferogram(one, two, looks=LOOKS)["coherence"], blocks(one, two)[0], atol=1e-5
    )

    def by(what: Callable[..., object], mean: Mean | None) -> tuple[Job | None, float]:
        return (None if mean is None else lambda: what(mean, one, two)), pixels

    return {
        "coherence, window 5 x 20": {
            "cryonet": (lambda: coherence(one, two, window=LOOKS), pixels),
            "cryonet, with holes": (lambda: coherence(holed, two, window=LOOKS), pixels),
            "scipy": by(only_coherence, scipy),
            "opencv": by(only_coherence, box),
        },
        "coherence and phase, window 5 x 20": {
            "cryonet": (lambda: interferogram(one, two, looks=LOOKS, every_pixel=True), pixels),
            "scipy": by(and_phase, scipy),
            "opencv": by(and_phase, box),
        },
        "coherence and phase, 5 x 20 looks": {
            "cryonet": (lambda: interferogram(one, two, looks=LOOKS), pixels),
            "cryonet, with holes": (lambda: interferogram(holed, two, looks=LOOKS), pixels),
            "numpy reshape": (lambda: blocks(one, two), pixels),
        },
    }


if __name__ == "__main__":
    start(tasks, (2000,), 7, states=(FRESH, KEPT))
