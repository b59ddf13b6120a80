"""Terrain layers against GDAL and SciPy, in one run, taking turns.

Run with ``python tests/benchmarks/bench_terrain.py [SIDE] [ROUNDS]``. Each round times
every program once on the same synthetic relief, in one thread and in memory except where
said; printed are medians over the rounds, and the medians of the ratios within a round.
GDAL works from file to file (uncompressed, in a temporary folder), as its users do, so its
times hold reading and writing; cryonet's second column does the same through rasterio.

At the end all eight measures in one pass are held against what the peers take for theirs,
added up: gdaldem has five (slope, aspect, TPI, TRI, roughness), xarray-spatial seven (slope,
eastness, northness, one curvature for our two, tpi, tri, roughness). xarray-spatial takes
part where it can be imported, for example from a folder named in PYTHONPATH. Eight results
are 32 bytes a pixel, and fresh memory for them can take the system longer than the measures
do: "kept memory" is the same pass into arrays that were there before.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from affine import Affine
from scipy import ndimage

from cryonet.layers.terrain import MEASURES, TERRAIN, terrain
from cryonet.layers.terrain_kernel import measure_all

CELL = 10.0
SPECS = {spec.name: spec for spec in TERRAIN if spec.halo}
GDALDEM = {
    "slope": ("slope", "-alg", "Horn"),
    "aspect": ("aspect", "-alg", "Horn"),
    "tpi": ("TPI",),
    "tri": ("TRI", "-alg", "Riley"),
    "roughness": ("roughness",),
}
XRSPATIAL = {
    "slope": "slope",
    "aspect_sin": "eastness",
    "aspect_cos": "northness",
    "profile_curvature": "curvature",
    "tpi": "tpi",
    "tri": "tri",
    "roughness": "roughness",
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


def from_file(names: list[str], source: Path, target: Path) -> None:
    """Compute layers from file to file, as gdaldem does."""
    with rasterio.open(source) as file:
        profile, surface = file.profile, file.read(1)
    for name, values in terrain(surface, CELL, names=names).items():
        with rasterio.open(target.with_name(f"{name}.tif"), "w", **profile) as file:
            file.write(values, 1)


def gdaldem(mode: str, folder: Path) -> Job:
    first, *rest = GDALDEM[mode]
    command = ["gdaldem", first, str(folder / "dem.tif"), str(folder / "out.tif"), *rest, "-q"]
    return lambda: subprocess.run(command, check=True, capture_output=True)


def xrspatial_job(name: str, surface: np.ndarray) -> Job:
    side = np.arange(len(surface)) * CELL
    heights = xr.DataArray(
        surface, dims=("y", "x"), coords={"y": -side, "x": side}, attrs={"res": (CELL, CELL)}
    )
    measure = getattr(importlib.import_module("xrspatial"), XRSPATIAL[name])
    return lambda: measure(heights)


def peers() -> set[str]:
    """Return the peers that are here, and say which are not."""
    found = {
        "gdaldem": shutil.which("gdaldem") is not None,
        "xarray-spatial": importlib.util.find_spec("xrspatial") is not None,
    }
    for name, here in found.items():
        if not here:
            print(f"{name} is not installed: not compared")
    return {name for name, here in found.items() if here}


def jobs_of(name: str, surface: np.ndarray, folder: Path, here: set[str]) -> dict[str, Job]:
    source, target = folder / "dem.tif", folder / "out.tif"
    jobs: dict[str, Job] = {"cryonet": lambda: SPECS[name].compute({"elevation": surface}, CELL)}
    if name in SCIPY:
        jobs["scipy"] = lambda: SCIPY[name](surface)
    if name in XRSPATIAL and "xarray-spatial" in here:
        jobs["xarray-spatial"] = xrspatial_job(name, surface)
    if name in GDALDEM and "gdaldem" in here:
        jobs["cryonet file"] = lambda: from_file([name], source, target)
        jobs["gdaldem file"] = gdaldem(name, folder)
    return jobs


def fused_jobs(surface: np.ndarray, folder: Path, here: set[str]) -> dict[str, Job]:
    """Return all measures at once, and those of each peer one after the other."""

    def each(jobs: list[Job]) -> Job:
        return lambda: [job() for job in jobs]

    kept = tuple(np.zeros((len(MEASURES), *surface.shape), np.float32))
    jobs: dict[str, Job] = {
        "cryonet": lambda: terrain(surface, CELL),
        "cryonet kept memory": lambda: measure_all(surface, CELL, True, kept),
        "cryonet one by one": each(
            [jobs_of(name, surface, folder, set())["cryonet"] for name in SPECS]
        ),
    }
    if "xarray-spatial" in here:
        jobs["xarray-spatial"] = each([xrspatial_job(name, surface) for name in XRSPATIAL])
    if "gdaldem" in here:
        source, target = folder / "dem.tif", folder / "out.tif"
        jobs["cryonet file"] = lambda: from_file(list(SPECS), source, target)
        jobs["gdaldem file"] = each([gdaldem(mode, folder) for mode in GDALDEM])
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
            made = job()
            if turn:
                times[name].append(time.perf_counter() - begin)
            del made
    return {name: np.array(values) for name, values in times.items()}


#: Which is compared with which: theirs, ours.
PAIRS = (
    ("scipy", "cryonet"),
    ("cryonet one by one", "cryonet"),
    ("xarray-spatial", "cryonet"),
    ("xarray-spatial", "cryonet kept memory"),
    ("gdaldem file", "cryonet file"),
    ("gdaldem file", "cryonet"),
)


def report(title: str, pixels: int, found: dict[str, np.ndarray]) -> None:
    speeds = (f"{k} {pixels / np.median(v) / 1e6:.1f}" for k, v in found.items())
    ratios = (
        f"{ours} is {np.median(found[theirs] / found[ours]):.1f} x {theirs}"
        for theirs, ours in PAIRS
        if theirs in found and ours in found
    )
    print(f"{title:20s} {', '.join(speeds)}; {'; '.join(ratios)}")


def main(side: int, rounds: int) -> None:
    surface = relief(side)
    here = peers()
    print(f"synthetic relief {side} x {side}, {rounds} rounds, Mpx/s (medians)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(surface, folder / "dem.tif")
        for layer in SPECS:
            found = seconds(jobs_of(layer, surface, folder, here), rounds)
            report(layer, surface.size, found)
        report("all in one pass", surface.size, seconds(fused_jobs(surface, folder, here), rounds))


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:3]]
    main(*(given + [2048, 5][len(given) :]))
