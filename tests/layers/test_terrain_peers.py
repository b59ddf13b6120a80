"""Terrain layers against independent programs: SciPy's filters, and GDAL where installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from scipy import ndimage

from cryonet.layers.terrain import TERRAIN

CELL = 20.0


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


@pytest.mark.skipif(shutil.which("gdaldem") is None, reason="gdaldem is not installed")
@pytest.mark.parametrize(
    ("options", "atol"),
    [
        (("slope", "-alg", "Horn"), 1e-4),
        (("aspect", "-alg", "Horn"), 1e-4),
        (("TPI",), 1e-4),
        (("TRI", "-alg", "Riley"), 1e-4),
        (("roughness",), 1e-4),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_against_gdaldem(surface, tmp_path: Path, options, atol):
    source, target = tmp_path / "dem.tif", tmp_path / "out.tif"
    # GDAL computes in float32: about zero metres its sums keep their digits.
    relief = surface - np.float32(5000)
    height, width = relief.shape
    with rasterio.open(
        source, "w", driver="GTiff", width=width, height=height, count=1, dtype="float32",
        crs="EPSG:32645", transform=Affine(CELL, 0, 450000, 0, -CELL, 3100000),
    ) as file:  # fmt: skip
        file.write(relief, 1)
    command = ["gdaldem", options[0], str(source), str(target), *options[1:], "-q"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    with rasterio.open(target) as file:
        theirs = file.read(1)[1:-1, 1:-1]
    ours = {name: values[1:-1, 1:-1] for name, values in layers(relief).items()}
    if options[0] == "aspect":
        towards = np.radians(theirs)
        np.testing.assert_allclose(ours["aspect_sin"], np.sin(towards), atol=atol)
        np.testing.assert_allclose(ours["aspect_cos"], np.cos(towards), atol=atol)
    else:
        np.testing.assert_allclose(ours[options[0].lower()], theirs, atol=atol)
