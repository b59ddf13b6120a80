"""Terrain against xarray-spatial, GDAL and SciPy, one thread each.

Run with ``python tests/benchmarks/bench_terrain.py [SIDE] [ROUNDS]``. Our eight measures in one
pass are held against what the peers take for theirs, one after the other: gdaldem has five
(slope, aspect, TPI, TRI, roughness), xarray-spatial up to seven (slope, eastness, northness,
one curvature for our two, tpi, tri, roughness; the older ones slope, aspect and curvature).

gdaldem works from file to file, uncompressed, as its users do: its
times hold reading and writing. It is compared twice, with ours in memory, as layers are
made in the toolkit, and with ours from file to file through rasterio. All results are held
until all are there, by every program.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from affine import Affine
from pictures import relief
from scipy import ndimage
from turns import FRESH, KEPT, Job, Tasks, installed, start

from cryonet.layers.terrain import MEASURES, terrain

CELL = 10.0
GDALDEM = (
    ("slope", "-alg", "Horn"),
    ("aspect", "-alg", "Horn"),
    ("TPI",),
    ("TRI", "-alg", "Riley"),
    ("roughness",),
)
XRSPATIAL = ("slope", "eastness", "northness", "curvature", "tpi", "tri", "roughness")


def scipy_slope(z: np.ndarray) -> np.ndarray:
    east, south = (ndimage.sobel(z, axis=axis) / np.float32(8 * CELL) for axis in (1, 0))
    return np.degrees(np.arctan(np.hypot(east, south)))


def xarray_spatial(names: tuple[str, ...], surface: np.ndarray) -> Job | None:
    if not installed("xrspatial"):
        return None
    package = importlib.import_module("xrspatial")
    side = np.arange(len(surface)) * CELL
    heights = xr.DataArray(
        surface, dims=("y", "x"), coords={"y": -side, "x": side}, attrs={"res": (CELL, CELL)}
    )
    older = ("slope", "aspect", "curvature")
    measures = names if all(hasattr(package, name) for name in names) else older
    return lambda: [getattr(package, name)(heights) for name in measures]


def gdaldem(modes: tuple[tuple[str, ...], ...], folder: Path) -> Job | None:
    if shutil.which("gdaldem") is None:
        return None

    def run() -> None:
        for first, *rest in modes:
            files = [str(folder / name) for name in ("dem.tif", f"theirs_{first}.tif")]
            command = ["gdaldem", first, *files, *rest, "-q"]
            subprocess.run(command, check=True, capture_output=True)

    return run


def from_file(names: tuple[str, ...], folder: Path) -> None:
    """Compute layers from file to file, as gdaldem does."""
    with rasterio.open(folder / "dem.tif") as file:
        profile, surface = file.profile, file.read(1)
    for name, values in terrain(surface, CELL, names=names).items():
        with rasterio.open(folder / f"ours_{name}.tif", "w", **profile) as file:
            file.write(values, 1)


def tasks(side: int) -> Tasks:
    surface, pixels = relief(side), float(side * side)
    folder = Path.cwd()
    with rasterio.open(
        folder / "dem.tif", "w", driver="GTiff", width=side, height=side, count=1,
        dtype="float32", crs="EPSG:32645", transform=Affine(CELL, 0, 450000, 0, -CELL, 3100000),
    ) as file:  # fmt: skip
        file.write(surface, 1)
    slope = gdaldem(GDALDEM[:1], folder)
    five = gdaldem(GDALDEM, folder)
    return {
        "slope": {
            "cryonet": (lambda: terrain(surface, CELL, names=["slope"]), pixels),
            "xarray-spatial": (xarray_spatial(("slope",), surface), pixels),
            "scipy": (lambda: scipy_slope(surface), pixels),
            "gdaldem, files": (slope, pixels),
        },
        "eight terrain measures": {
            "cryonet": (lambda: terrain(surface, CELL), pixels),
            "xarray-spatial (7 or 3 measures)": (xarray_spatial(XRSPATIAL, surface), pixels),
            "gdaldem (5 measures), files": (five, pixels),
        },
        "eight terrain measures, from file to file": {
            "cryonet": (lambda: from_file(MEASURES, folder), pixels),
            "gdaldem (5 measures), files": (five, pixels),
        },
    }


if __name__ == "__main__":
    start(tasks, (2000,), 5, states=(FRESH, KEPT))
