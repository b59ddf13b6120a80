"""Ten spectral indices against NumPy, numexpr, torch.compile and spyndex, two threads.

Run with ``python tests/benchmarks/bench_indices.py [SIDE] [ROUNDS]``. NumPy and spyndex, which
evaluates its formulas with it, use one thread. torch.compile makes one loop of all ten, as
we do: what then counts is the memory, in which the results are seven tenths of the traffic.
"""

from __future__ import annotations

import numpy as np
from pictures import image
from turns import FRESH, KEPT, Job, Tasks, installed, start

from cryonet.layers.indices import spectral_indices
from cryonet.layers.indices_kernel import BANDS

#: Ours, by the names of spyndex.
TEN = {
    "ndsi": "NDSI",
    "ndwi": "NDWI",
    "ndvi": "NDVI",
    "ndgi": "NDGlaI",
    "ndsii": "NDSaII",
    "band_ratio": "BRBA",
    "s3": "S3",
    "awei_sh": "AWEIsh",
    "awei_nsh": "AWEInsh",
    "ndmi": "NDMI",
}
FORMULAS = (
    "(g - s) / (g + s)",
    "(g - n) / (g + n)",
    "(n - r) / (n + r)",
    "(g - r) / (g + r)",
    "(r - s) / (r + s)",
    "r / s",
    "n * (r - s) / ((n + r) * (n + s))",
    "b + 2.5 * g - 1.5 * (n + s) - 0.25 * t",
    "4 * (g - s) - (0.25 * n + 2.75 * t)",
    "(n - s) / (n + s)",
)


def all_formulas(b, g, r, n, s, t):  # type: ignore[no-untyped-def]
    return (
        (g - s) / (g + s),
        (g - n) / (g + n),
        (n - r) / (n + r),
        (g - r) / (g + r),
        (r - s) / (r + s),
        r / s,
        n * (r - s) / ((n + r) * (n + s)),
        b + 2.5 * g - 1.5 * (n + s) - 0.25 * t,
        4 * (g - s) - (0.25 * n + 2.75 * t),
        (n - s) / (n + s),
    )


def by_numexpr(bands: list[np.ndarray]) -> Job | None:
    if not installed("numexpr"):
        return None
    import numexpr

    numexpr.set_num_threads(2)
    given = dict(zip("bgrnst", bands, strict=True))
    return lambda: [numexpr.evaluate(f, given, casting="same_kind") for f in FORMULAS]


def by_torch(bands: list[np.ndarray]) -> Job:
    import torch

    torch.set_num_threads(2)
    tensors = [torch.from_numpy(band) for band in bands]
    compiled = torch.compile(all_formulas, fullgraph=True)
    return lambda: compiled(*tensors)


def by_spyndex(bands: list[np.ndarray]) -> Job | None:
    if not installed("spyndex"):
        return None
    import spyndex

    given = dict(zip(("B", "G", "R", "N", "S1", "S2"), bands, strict=True))
    return lambda: [spyndex.computeIndex(name, given) for name in TEN.values()]


def tasks(side: int) -> Tasks:
    bands = [image(side, seed) + np.float32(0.01) for seed in range(len(BANDS))]
    arrays, pixels = dict(zip(BANDS, bands, strict=True)), float(side * side)
    return {
        "ten indices, two threads": {
            "cryonet": (lambda: spectral_indices(arrays, list(TEN), threads=2), pixels),
            "cryonet, one thread": (lambda: spectral_indices(arrays, list(TEN)), pixels),
            "numpy, one thread": (lambda: all_formulas(*bands), pixels),
            "numexpr": (by_numexpr(bands), pixels),
            "torch.compile": (by_torch(bands), pixels),
            "spyndex, one thread": (by_spyndex(bands), pixels),
        }
    }


if __name__ == "__main__":
    start(tasks, (1000, 4000), 7, threads=2, states=(FRESH, KEPT))
