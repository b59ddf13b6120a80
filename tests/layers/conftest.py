"""Small scenes of every variable, for the tests of the layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy import ndimage

from cryonet.layers.fits import Fits, fit_layers
from cryonet.scene import BANDS, scene_from_arrays

SUN = {"view:sun_azimuth": 140.0, "view:sun_elevation": 35.0}

MakeScene = Callable[..., xr.Dataset]


def fractal(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return rough mountains in metres: noise summed over scales."""
    relief = sum(
        2.0**k * 6 * ndimage.gaussian_filter(rng.standard_normal(shape), 2.0**k / 2) * 2.0**k
        for k in range(5)
    )
    return (5000 + np.asarray(relief)).astype(np.float32)


def random_scene(
    shape: tuple[int, int] = (40, 53),
    *,
    seed: int = 0,
    holes: float = 0.0,
    crs: str = "EPSG:32645",
    cell: tuple[float, float] = (20.0, -20.0),
) -> xr.Dataset:
    """Return a synthetic scene of all variables; `holes` is the share that is NaN."""
    rng = np.random.default_rng(seed)
    arrays = {band: rng.uniform(0.01, 0.9, shape).astype(np.float32) for band in BANDS}
    arrays["elevation"] = fractal(shape, rng)
    arrays["coherence"] = rng.uniform(0, 1, shape).astype(np.float32)
    arrays["phase"] = rng.uniform(-np.pi, np.pi, shape).astype(np.float32)
    for values in arrays.values():
        values[rng.random(shape) < holes] = np.nan
    geobox = GeoBox(shape, Affine(cell[0], 0, 450000.0, 0, cell[1], 3100000.0), crs)
    return scene_from_arrays(arrays, geobox, attrs={"id": "random", "synthetic": True} | SUN)


@pytest.fixture(scope="session", name="fractal")
def fractal_fixture() -> Callable[[tuple[int, int], np.random.Generator], np.ndarray]:
    return fractal


@pytest.fixture(scope="session")
def make_scene() -> MakeScene:
    return random_scene


@pytest.fixture(scope="session")
def fits() -> Fits:
    """What PCA and texture learned from another scene, as a trained model brings it."""
    return fit_layers([random_scene((60, 61), seed=99)])
