"""Texture, principal components, tasseled cap and indices against their peers, taking turns.

Run with ``python tests/benchmarks/bench_layers.py [SIDE] [ROUNDS]``. Each round times every
program once, in one thread (two where said), on the same synthetic image in memory; printed
are medians over the rounds, and the medians of the ratios within a round. Peers that are not
installed are named and left out. Results go to ``tests/benchmarks/results.json``.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr
from scipy import ndimage
from skimage.feature import graycomatrix, graycoprops
from sklearn import decomposition

from cryonet.layers.indices import INDICES
from cryonet.layers.linear import weighted_sums
from cryonet.layers.pca import PCA_BANDS, fit_pca
from cryonet.layers.tasseled_cap import TASSELED_CAPS, tasseled_cap
from cryonet.layers.texture import OFFSETS, glcm

RESULTS = Path(__file__).with_name("results.json")
Job = Callable[[], object]


def image(side: int, seed: int = 0) -> np.ndarray:
    """Return a synthetic image with structure at several scales, 0 to 1."""
    rng = np.random.default_rng(seed)
    field = sum(
        s * ndimage.gaussian_filter(rng.standard_normal((side, side)), s, truncate=3)
        for s in (0.5, 2, 8)
    )
    low, high = np.quantile(field, (0.01, 0.99))
    return np.clip((field - low) / (high - low), 0, 1).astype(np.float32)


def scikit_image_texture(grey: np.ndarray, offsets: int) -> None:
    """Compute one window's measures at 300 places: a loop over all would take hours."""
    angles = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)[:offsets]
    for k in range(300):
        window = grey[k % 200 : k % 200 + 7, 3 * k % 200 : 3 * k % 200 + 7]
        p = graycomatrix(window, [1], angles, levels=32, symmetric=True, normed=True)
        for measure in ("contrast", "dissimilarity", "homogeneity", "ASM", "correlation"):
            graycoprops(p, measure)


def xarray_spatial_texture(field: xr.DataArray, angle: int | None) -> Job | None:
    """Return xarray-spatial's six measures, or None where it is not installed."""
    if importlib.util.find_spec("xrspatial") is None:
        return None
    from xrspatial import glcm as peer

    metrics = ["contrast", "dissimilarity", "homogeneity", "energy", "correlation", "entropy"]
    return lambda: peer.glcm_texture(
        field, metric=metrics, window_size=7, levels=32, distance=1, angle=angle
    )


def numexpr_differences(operands: list[tuple[np.ndarray, np.ndarray]]) -> Job | None:
    """Return the same ratios by numexpr in one thread, or None where it is not installed."""
    if importlib.util.find_spec("numexpr") is None:
        return None
    import numexpr

    numexpr.set_num_threads(1)
    return lambda: [numexpr.evaluate("(a - b) / (a + b)", {"a": a, "b": b}) for a, b in operands]


def jobs(side: int) -> dict[str, dict[str, tuple[Job | None, float]]]:
    """Return for each task its programs: the job, and the pixels it works on."""
    picture, pixels = image(side), float(side * side)
    few = image(256)
    lattice = xr.DataArray(few, dims=("y", "x"))
    grey = (few * 31.99).astype(np.uint8)
    bands = [image(side, seed) for seed in range(3)] * 4
    ten, six = bands[:10], bands[:6]
    cube = xr.DataArray(np.stack(six), dims=("band", "y", "x"))
    weights = xr.DataArray(np.float32(TASSELED_CAPS["tc"].coefficients), dims=("axis", "band"))
    samples = np.stack(ten).reshape(10, -1).T.astype(np.float64)
    noise = np.random.default_rng(1).normal(0, 0.02, samples.shape)
    samples += noise
    fitted = decomposition.PCA(3, svd_solver="covariance_eigh").fit(samples)
    axes = fitted.components_
    arrays = dict(zip(PCA_BANDS, ten, strict=True))
    pairs = [s for s in INDICES if s.formula.startswith("(") and len(s.needs) == 2][:6]
    operands = [(arrays[s.needs[0]], arrays[s.needs[1]]) for s in pairs]
    strips = np.array_split(np.ascontiguousarray(samples.T), 16, axis=1)
    return {
        "texture, 8 measures, 4 offsets": {
            "cryonet": (lambda: glcm(picture, limits=(0, 1)), pixels),
            "scikit-image loop (5 measures)": (lambda: scikit_image_texture(grey, 4), 300.0),
            "xarray-spatial (6 measures)": (xarray_spatial_texture(lattice, None), 65536.0),
        },
        "texture, 8 measures, 1 offset": {
            "cryonet": (lambda: glcm(picture, limits=(0, 1), offsets=OFFSETS[:1]), pixels),
            "scikit-image loop (5 measures)": (lambda: scikit_image_texture(grey, 1), 300.0),
            "xarray-spatial (6 measures)": (xarray_spatial_texture(lattice, 0), 65536.0),
        },
        "PCA fit of 10 bands, streamed in 16 blocks": {
            "cryonet": (lambda: fit_pca(strips), pixels),
            "scikit-learn, in memory": (
                lambda: decomposition.PCA(3, svd_solver="covariance_eigh").fit(samples),
                pixels,
            ),
        },
        "PCA transform, 3 axes": {
            "cryonet": (lambda: weighted_sums(ten, axes, np.zeros(3)), pixels),
            "scikit-learn, from bands": (
                lambda: fitted.transform(np.stack(ten).reshape(10, -1).T),
                pixels,
            ),
        },
        "tasseled cap, 3 axes": {
            "cryonet": (lambda: tasseled_cap(six), pixels),
            "xarray dot": (lambda: xr.dot(weights, cube, dim="band"), pixels),
        },
        "six normalised differences": {
            "cryonet": (lambda: [s.compute(arrays, 10.0) for s in pairs], pixels),
            "numpy": (lambda: [(a - b) / (a + b) for a, b in operands], pixels),
            "numexpr": (numexpr_differences(operands), pixels),
        },
    }


def main() -> None:
    """Run all rounds, print, and write the results."""
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    np.seterr(all="ignore")
    for task, programs in jobs(side).items():
        present = {name: job for name, job in programs.items() if job[0] is not None}
        absent = sorted(set(programs) - set(present))
        speeds: dict[str, list[float]] = {name: [] for name in present}
        for number in range(rounds + 1):
            for name, (job, pixels) in present.items():
                assert job is not None
                start = time.perf_counter()
                job()
                spent = time.perf_counter() - start
                if number:  # the first round compiles
                    speeds[name].append(pixels / spent / 1e6)
        own = np.array(speeds["cryonet"])
        print(f"{task}, {side}²")
        rows = {}
        for name, values in speeds.items():
            ratio = float(np.median(own / np.array(values)))
            rows[name] = {
                "Mpx/s": round(float(np.median(values)), 4),
                "cryonet is": round(ratio, 2),
            }
            print(f"  {name:34s} {np.median(values):10.3f} Mpx/s   cryonet is {ratio:8.1f} ×")
        for name in absent:
            print(f"  {name:34s} not installed")
        kept[task] = {"side": side, "rounds": rounds, "programs": rows, "absent": absent}
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
