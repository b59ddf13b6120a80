"""Terrain layers against GDAL and SciPy, in one run, taking turns.

Run with ``python tests/benchmarks/bench_terrain.py [SIDE] [ROUNDS]``. Each round times
every program once on the same synthetic relief, in one thread and in memory except where
said; printed are medians over the rounds, and the medians of the ratios within a round.
GDAL works from file to file (uncompressed, in a temporary folder), as its users do, so its
times hold reading and writing; cryonet's second column does the same through rasterio.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from scipy import ndimage

from cryonet.layers.terrain import TERRAIN

CELL = 10.0
SPECS = {spec.name: spec for spec in TERRAIN if spec.halo}
GDALDEM = {
    "slope": ("slope", "-alg", "Horn"),
    "tpi": ("TPI",),
    "tri": ("TRI", "-alg", "Riley"),
    "roughness": ("roughness",),
}
Job = Callable[[], object]


def relief(side: int) -> np.ndarray:
    """Return synthetic mountains: smoothed noise over several scales."""
    rng = np.random.default_rng(0)
    surface = np.full((side, side), 5000.0, np.float32)
    for sigma in (1, 4, 16):
        noise = rng.standard_normal((side, side)).astype(np.float32)
        surface += 40 * sigma * ndimage.gaussian_filter(noise, sigma, truncate=3)
    return surface


def scipy_slope(z: np.ndarray) -> np.ndarray:
    east, south = (ndimage.sobel(z, axis=axis) / np.float32(8 * CELL) for axis in (1, 0))
    return np.degrees(np.arctan(np.hypot(east, south)))


def scipy_tpi(z: np.ndarray) -> np.ndarray:
    return (z - ndimage.uniform_filter(z, 3)) * np.float32(9 / 8)


def scipy_tri(z: np.ndarray) -> np.ndarray:
    # sum (e - n)^2 = 9 e^2 - 2 e sum n + sum n^2, with the mean taken off first
    z = z.astype(np.float64) - z.mean(dtype=np.float64)
    mean, square = ndimage.uniform_filter(z, 3), ndimage.uniform_filter(z * z, 3)
    return np.sqrt(np.maximum(9 * (z * z - 2 * z * mean + square), 0))


def scipy_roughness(z: np.ndarray) -> np.ndarray:
    return ndimage.maximum_filter(z, 3) - ndimage.minimum_filter(z, 3)


SCIPY = {
    "slope": scipy_slope,
    "tpi": scipy_tpi,
    "tri": scipy_tri,
    "roughness": scipy_roughness,
}


def from_file(name: str, source: Path, target: Path) -> None:
    """Compute one layer from file to file, as gdaldem does."""
    with rasterio.open(source) as file:
        profile, surface = file.profile, file.read(1)
    values = SPECS[name].compute({"elevation": surface}, CELL)
    with rasterio.open(target, "w", **profile) as file:
        file.write(values, 1)


def jobs_of(name: str, surface: np.ndarray, folder: Path) -> dict[str, Job]:
    source, target = folder / "dem.tif", folder / "out.tif"
    jobs: dict[str, Job] = {"cryonet": lambda: SPECS[name].compute({"elevation": surface}, CELL)}
    if name in SCIPY:
        jobs["scipy"] = lambda: SCIPY[name](surface)
    if name in GDALDEM and shutil.which("gdaldem"):
        first, *rest = GDALDEM[name]
        command = ["gdaldem", first, str(source), str(target), *rest, "-q"]
        jobs["cryonet file"] = lambda: from_file(name, source, target)
        jobs["gdaldem file"] = lambda: subprocess.run(command, check=True, capture_output=True)
    return jobs


def write(surface: np.ndarray, path: Path) -> None:
    side = surface.shape[0]
    grid = Affine(CELL, 0, 450000, 0, -CELL, 3100000)
    with rasterio.open(
        path, "w", driver="GTiff", width=side, height=side, count=1, dtype="float32",
        crs="EPSG:32645", transform=grid,
    ) as file:  # fmt: skip
        file.write(surface, 1)


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


def main(side: int, rounds: int) -> None:
    surface = relief(side)
    if not shutil.which("gdaldem"):
        print("gdaldem is not installed: not compared")
    print(f"synthetic relief {side} x {side}, {rounds} rounds, Mpx/s (medians)")
    total = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(surface, folder / "dem.tif")
        for layer in SPECS:
            found = seconds(jobs_of(layer, surface, folder), rounds)
            total += float(np.median(found["cryonet"]))
            speeds = (f"{k} {surface.size / np.median(v) / 1e6:.1f}" for k, v in found.items())
            pairs = (("scipy", "cryonet"), ("gdaldem file", "cryonet file"))
            ratios = (
                f"{ours} is {np.median(found[theirs] / found[ours]):.1f} x {theirs}"
                for theirs, ours in pairs
                if theirs in found
            )
            print(f"{layer:20s} {', '.join(speeds)}; {'; '.join(ratios)}")
    print(f"all {len(SPECS)} layers one after the other: {surface.size / total / 1e6:.1f} Mpx/s")


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:3]]
    main(*(given + [2048, 5][len(given) :]))
