"""Texture against scikit-image, xarray-spatial and Orfeo ToolBox, one thread each.

Run with ``python tests/benchmarks/bench_texture.py [SIDE] [ROUNDS]``. The peers are slow:
they work on parts of the image, scikit-image on 300 of its windows. xarray-spatial has six
of the eight measures. Orfeo ToolBox has eight of its own from the same matrix, for one
offset a run, and works from file to file: its start and its reading count with it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from affine import Affine
from pictures import image
from skimage.feature import graycomatrix, graycoprops
from turns import Job, Tasks, installed, start

from cryonet.layers.texture import OFFSETS, glcm

SIX = ["contrast", "dissimilarity", "homogeneity", "energy", "correlation", "entropy"]
ORFEO = "otbcli_HaralickTextureExtraction"


def scikit_image(grey: np.ndarray, offsets: int) -> None:
    """Compute 300 windows: a loop over all would take hours."""
    angles = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)[:offsets]
    for k in range(300):
        window = grey[k % 200 : k % 200 + 7, 3 * k % 200 : 3 * k % 200 + 7]
        p = graycomatrix(window, [1], angles, levels=32, symmetric=True, normed=True)
        for measure in ("contrast", "dissimilarity", "homogeneity", "ASM", "correlation"):
            graycoprops(p, measure)


def xarray_spatial(field: np.ndarray, angle: int | None) -> Job | None:
    if not installed("xrspatial.glcm"):
        return None
    from xrspatial.glcm import glcm_texture

    raster = xr.DataArray(field, dims=("y", "x"))
    return lambda: glcm_texture(
        raster, metric=SIX, window_size=7, levels=32, distance=1, angle=angle
    )


def orfeo(field: np.ndarray, folder: Path) -> Job | None:
    if shutil.which(ORFEO) is None:
        return None
    source = folder / "image.tif"
    with rasterio.open(
        source, "w", driver="GTiff", width=field.shape[1], height=field.shape[0], count=1,
        dtype="float32", crs="EPSG:32645", transform=Affine(10, 0, 0, 0, -10, 0),
    ) as file:  # fmt: skip
        file.write(field, 1)
    given = {
        "in": source, "channel": 1, "step": 1, "parameters.xrad": 3, "parameters.yrad": 3,
        "parameters.xoff": 1, "parameters.yoff": 0, "parameters.min": 0, "parameters.max": 1,
        "parameters.nbbin": 32, "texture": "simple", "out": folder / "texture.tif",
    }  # fmt: skip
    command = [ORFEO, *(str(part) for k, v in given.items() for part in (f"-{k}", v))]
    more = {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1", "PATH": "/usr/bin:/bin"}
    return lambda: subprocess.run(command, check=True, capture_output=True, env=more)


def tasks(side: int) -> Tasks:
    picture, pixels = image(side), float(side * side)
    grey, few = (picture * 31.99).astype(np.uint8), picture[:256, :256].copy()
    some = picture[:512, :512].copy()
    folder = Path.cwd()
    return {
        "texture, 8 measures, 4 offsets": {
            "cryonet": (lambda: glcm(picture, limits=(0, 1)), pixels),
            "scikit-image loop (5 measures)": (lambda: scikit_image(grey, 4), 300.0),
            "xarray-spatial (6 measures)": (xarray_spatial(few, None), float(few.size)),
        },
        "texture, 8 measures, 1 offset": {
            "cryonet": (lambda: glcm(picture, limits=(0, 1), offsets=OFFSETS[:1]), pixels),
            "scikit-image loop (5 measures)": (lambda: scikit_image(grey, 1), 300.0),
            "xarray-spatial (6 measures)": (xarray_spatial(few, 0), float(few.size)),
            "Orfeo ToolBox (8 measures), files": (orfeo(some, folder), float(some.size)),
        },
    }


if __name__ == "__main__":
    start(tasks, (1000,), 5)
