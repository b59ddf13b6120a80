"""Terrain layers against independent programs: SciPy, xarray-spatial, and GDAL where it is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
import xrspatial
from affine import Affine
from scipy import ndimage

from cryonet.layers.terrain import TERRAIN

CELL = 20.0
OETZTAL = (
    Path(__file__).resolve().parents[3] / "shared" / "data" / "oetztal_srtm" / "srtm_oetztal.tif"
)


def layers(surface: np.ndarray) -> dict[str, np.ndarray]:
    return {spec.name: spec.compute({"elevation": surface}, CELL) for spec in TERRAIN}


def continued(surface: np.ndarray) -> np.ndarray:
    """Return the surface in float64 with one more pixel on a straight line all round."""
    return np.pad(surface.astype(float), 1, mode="reflect", reflect_type="odd")


def derivatives(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient (…, 2), east then north, and the Hessian (…, 2, 2)."""
    east = ndimage.correlate1d(z, [-0.5, 0, 0.5], axis=1) / CELL
    north = ndimage.correlate1d(z, [0.5, 0, -0.5], axis=0) / CELL
    hessian = np.empty((*z.shape, 2, 2))
    hessian[..., 0, 0] = ndimage.correlate1d(z, [1, -2, 1], axis=1) / CELL**2
    hessian[..., 1, 1] = ndimage.correlate1d(z, [1, -2, 1], axis=0) / CELL**2
    mixed = ndimage.correlate1d(east, [0.5, 0, -0.5], axis=0) / CELL
    hessian[..., 0, 1] = hessian[..., 1, 0] = mixed
    return np.stack([east, north], axis=-1), hessian


@pytest.fixture(scope="module")
def surface(fractal) -> np.ndarray:
    return fractal((90, 77), np.random.default_rng(11))


def test_slope_aspect_and_window_measures_against_scipy(surface):
    z = continued(surface)
    # Sobel's filter is Horn's, with rows counted downwards.
    east, south = (ndimage.sobel(z, axis=axis) / (8 * CELL) for axis in (1, 0))
    steep = np.hypot(east, south)
    ring = np.ones((3, 3)) / 8
    ring[1, 1] = 0
    ruggedness = ndimage.generic_filter(z, lambda w: np.sqrt(((w - w[4]) ** 2).sum()), size=3)
    expected = {
        "slope": np.degrees(np.arctan(steep)),
        "aspect_sin": -east / steep,
        "aspect_cos": south / steep,
        "tpi": z - ndimage.correlate(z, ring),
        "tri": ruggedness,
        "roughness": ndimage.maximum_filter(z, 3) - ndimage.minimum_filter(z, 3),
    }
    got = layers(surface)
    for name, values in expected.items():
        np.testing.assert_allclose(
            got[name], values[1:-1, 1:-1], rtol=2e-6, atol=1e-5, err_msg=name
        )


def test_curvatures_against_the_quadratic_forms_of_differential_geometry(surface):
    gradient, hessian = derivatives(continued(surface))
    along = np.einsum("...i,...ij,...j", gradient, hessian, gradient)
    contour = np.stack([-gradient[..., 1], gradient[..., 0]], axis=-1)
    across = np.einsum("...i,...ij,...j", contour, hessian, contour)
    norm = np.linalg.norm(gradient, axis=-1)
    profile = -along / (norm**2 * (1 + norm**2) ** 1.5)
    planform = -across / norm**3
    got = layers(surface)
    for name, values in (("profile_curvature", profile), ("planform_curvature", planform)):
        np.testing.assert_allclose(
            got[name], values[1:-1, 1:-1], rtol=1e-5, atol=1e-9, err_msg=name
        )


@pytest.fixture(scope="module", params=["synthetic", "oetztal"])
def relief(request, surface) -> np.ndarray:
    """Relief of an odd size with holes, about zero metres: GDAL's float32 sums keep digits."""
    heights = surface - np.float32(5000)
    if request.param == "oetztal":
        if not OETZTAL.exists():
            pytest.skip("the real relief is not here: see data/README.md")
        with rasterio.open(OETZTAL) as file:
            heights = file.read(1)[100:301, 50:443].astype(np.float32) - np.float32(2500)
    holed = heights.copy()
    holed[np.random.default_rng(12).random(holed.shape) < 0.01] = np.nan
    holed[20:31, 40:44] = np.nan
    return holed


def inner(values: np.ndarray) -> np.ndarray:
    return values[1:-1, 1:-1]


def compare_aspect(ours: dict[str, np.ndarray], degrees: np.ndarray, atol: float) -> None:
    towards = np.radians(degrees)
    # Flat ground has no aspect: we say 0, they a number below zero or none at all.
    slanting = inner(ours["slope"]) > 0.01
    for name, part in (("aspect_sin", np.sin(towards)), ("aspect_cos", np.cos(towards))):
        np.testing.assert_allclose(inner(ours[name])[slanting], part[slanting], atol=atol)


def test_slope_and_aspect_against_xarray_spatial(relief):
    side = [CELL * np.arange(length) for length in relief.shape]
    heights = xr.DataArray(
        relief, dims=("y", "x"), coords={"y": -side[0], "x": side[1]}, attrs={"res": (CELL, CELL)}
    )
    ours = layers(relief)
    # It gives a slope to a missing pixel whose neighbours are there; GDAL and we do not.
    theirs = np.where(np.isnan(relief), np.nan, xrspatial.slope(heights).values)
    np.testing.assert_allclose(inner(ours["slope"]), inner(theirs), atol=0.01)
    compare_aspect(ours, inner(xrspatial.aspect(heights).values), 1e-4)


@pytest.mark.skipif(shutil.which("gdaldem") is None, reason="gdaldem is not installed")
@pytest.mark.parametrize("mode", ["slope", "aspect", "TPI", "TRI", "roughness"])
def test_against_gdaldem(relief, tmp_path: Path, mode):
    source, target = tmp_path / "dem.tif", tmp_path / "out.tif"
    height, width = relief.shape
    with rasterio.open(
        source, "w", driver="GTiff", width=width, height=height, count=1, dtype="float32",
        crs="EPSG:32645", transform=Affine(CELL, 0, 450000, 0, -CELL, 3100000), nodata=-9999,
    ) as file:  # fmt: skip
        file.write(np.nan_to_num(relief, nan=-9999), 1)
    rule = {"slope": ["-alg", "Horn"], "aspect": ["-alg", "Horn"], "TRI": ["-alg", "Riley"]}
    command = ["gdaldem", mode, str(source), str(target), *rule.get(mode, []), "-q"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    with rasterio.open(target) as file:
        theirs = inner(file.read(1, masked=True).filled(np.nan))
    ours = layers(relief)
    if mode == "aspect":
        compare_aspect(ours, theirs, 1e-4)
    else:
        np.testing.assert_allclose(inner(ours[mode.lower()]), theirs, atol=2e-4)
