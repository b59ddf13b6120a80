"""Coherence and multilooking against OpenCV, SciPy and NumPy, in one run, taking turns.

Run with ``python tests/benchmarks/bench_insar.py [SIDE] [ROUNDS]``. Each round times every
program once on the same two images of speckle, in one thread and in memory; printed are
medians over the rounds, and the medians of the ratios within a round. The peers do what one
writes with their box filters: the cross product and two powers in single precision, and a
mean of each. They know no missing samples, so cryonet is timed with and without. OpenCV is
no requirement of the package; where it is not installed it is not compared.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from cryonet.layers.interferometry import coherence, interferogram

WINDOWS = ((5, 20), (3, 3), (15, 60))
LOOKS = (5, 20)
Job = Callable[[], object]
Mean = Callable[[np.ndarray], np.ndarray]


def speckle(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two images with a coherence of 0.6."""
    rng = np.random.default_rng(0)
    one, other = (
        (rng.standard_normal((side, side)) + 1j * rng.standard_normal((side, side)))
        for _ in range(2)
    )
    return one.astype(np.complex64), (0.6 * one + 0.8 * other).astype(np.complex64)


def with_holes(image: np.ndarray) -> np.ndarray:
    """Return a copy in which a tenth of the samples is missing."""
    holed = image.copy()
    holed[np.random.default_rng(1).random(image.shape) < 0.1] = np.nan
    return holed


def through(mean: Mean, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return the coherence by four means."""
    cross = one * two.conj()
    real, imag = mean(np.ascontiguousarray(cross.real)), mean(np.ascontiguousarray(cross.imag))
    powers = [mean(z.real * z.real + z.imag * z.imag) for z in (one, two)]
    return np.sqrt((real * real + imag * imag) / (powers[0] * powers[1]))


def box_filter(window: tuple[int, int]) -> Mean | None:
    if importlib.util.find_spec("cv2") is None:
        return None
    import cv2

    cv2.setNumThreads(1)
    return lambda z: cv2.boxFilter(z, -1, window[::-1], borderType=cv2.BORDER_REFLECT)


def blocks(one: np.ndarray, two: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coherence and phase of blocks by reshaping, as NumPy users do."""
    rows, cols = one.shape[0] // LOOKS[0], one.shape[1] // LOOKS[1]

    def mean(z: np.ndarray) -> np.ndarray:
        cut = z[: rows * LOOKS[0], : cols * LOOKS[1]]
        return cut.reshape(rows, LOOKS[0], cols, LOOKS[1]).mean((1, 3))

    cross = mean(one * two.conj())
    powers = [mean(z.real * z.real + z.imag * z.imag) for z in (one, two)]
    return np.abs(cross) / np.sqrt(powers[0] * powers[1]), np.angle(cross)


def seconds(jobs: dict[str, Job], rounds: int) -> dict[str, np.ndarray]:
    """Return the times of each job, one a round, after a round that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(rounds + 1):
        for name, job in jobs.items():
            begin = time.perf_counter()
            job()
            if turn:
                times[name].append(time.perf_counter() - begin)
    return {name: np.array(values) for name, values in times.items()}


def report(title: str, jobs: dict[str, Job], size: int, rounds: int) -> None:
    found = seconds(jobs, rounds)
    speeds = ", ".join(f"{k} {size / np.median(v) / 1e6:.1f}" for k, v in found.items())
    ratios = "; ".join(
        f"{np.median(times / found['cryonet']):.1f} x {name}"
        for name, times in found.items()
        if not name.startswith("cryonet")
    )
    print(f"{title:18s} {speeds}; cryonet is {ratios}")


def main(side: int, rounds: int) -> None:
    one, two = speckle(side)
    holed = with_holes(one)
    if box_filter((1, 1)) is None:
        print("OpenCV is not installed: not compared")
    print(f"speckle {side} x {side}, {rounds} rounds, one thread, Mpx/s (medians)")
    for window in WINDOWS:
        jobs: dict[str, Job] = {
            "cryonet": lambda w=window: coherence(one, two, window=w),
            "cryonet, holes": lambda w=window: coherence(holed, two, window=w),
            "scipy": lambda w=window: through(lambda z: ndimage.uniform_filter(z, w), one, two),
        }
        opencv = box_filter(window)
        if opencv is not None:
            jobs["opencv"] = lambda mean=opencv: through(mean, one, two)
        margin = tuple(slice(n, -n) for n in window)
        for name in ("scipy", "opencv"):
            if name in jobs:
                np.testing.assert_allclose(
                    np.asarray(jobs["cryonet"]())[margin], jobs[name]()[margin], atol=1e-5
                )
        report(f"window {window[0]} x {window[1]}", jobs, one.size, rounds)
    looks: dict[str, Job] = {
        "cryonet": lambda: interferogram(one, two, looks=LOOKS),
        "cryonet, holes": lambda: interferogram(holed, two, looks=LOOKS),
        "numpy": lambda: blocks(one, two),
    }
    np.testing.assert_allclose(
        interferogram(one, two, looks=LOOKS)["coherence"], blocks(one, two)[0], atol=1e-5
    )
    report(f"looks {LOOKS[0]} x {LOOKS[1]}", looks, one.size, rounds)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:3]]
    main(*(given + [1024, 9][len(given) :]))
