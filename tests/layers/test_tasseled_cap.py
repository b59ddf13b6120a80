from __future__ import annotations

import numpy as np
import pytest

from cryonet.layers import STACKS
from cryonet.layers.tasseled_cap import TASSELED_CAP, TASSELED_CAPS, tasseled_cap

SIX = TASSELED_CAPS["tc"]


@pytest.mark.parametrize("kind", TASSELED_CAPS)
def test_the_rows_are_orthonormal(kind):
    matrix = np.array(TASSELED_CAPS[kind].coefficients)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=2e-4)


def test_row_sums_of_the_published_table():
    sums = np.sum(SIX.coefficients, axis=1)
    np.testing.assert_allclose(sums, [2.2301, -0.8002, -0.6082], atol=1e-9)


def test_value_of_the_test_pixel():
    pixel = (0.10, 0.12, 0.15, 0.30, 0.25, 0.20)
    arrays = {n: np.full((2, 2), v, np.float32) for n, v in zip(SIX.bands, pixel, strict=True)}
    values = [spec.compute(arrays, 10.0)[0, 0] for spec in TASSELED_CAP[:3]]
    np.testing.assert_allclose(values, [0.447171, -0.005351, -0.197620], atol=1e-6)


@pytest.mark.parametrize("kind", TASSELED_CAPS)
def test_the_layers_are_the_matrix_product(kind):
    cap = TASSELED_CAPS[kind]
    bands = np.random.default_rng(2).random((len(cap.bands), 5, 7)).astype(np.float32)
    bands[3, 2, 2] = np.nan
    arrays = dict(zip(cap.bands, bands, strict=True))
    rows = [spec for spec in TASSELED_CAP if spec.name.rpartition("_")[0] == kind]
    got = np.stack([spec.compute(arrays, 10.0) for spec in rows])
    expected = np.tensordot(np.array(cap.coefficients), bands, axes=1)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_array_equal(got, tasseled_cap(list(bands), kind=kind))
    assert got.dtype == np.float32


def test_green_grass_snow_and_water_lie_where_their_names_say():
    # A hand's worth of typical reflectances: grass is green, snow is bright and wet.
    for kind in TASSELED_CAPS:
        cap = TASSELED_CAPS[kind]
        infrared = [b in ("rededge3", "nir", "nir08", "nir09") for b in cap.bands]
        short = [b.startswith("swir") for b in cap.bands]
        grass = np.where(short, 0.15, np.where(infrared, 0.4, 0.06))
        snow = np.where(short, 0.03, 0.85)
        rock = np.where(short, 0.25, 0.15)
        values = tasseled_cap(list(np.stack([grass, snow, rock], axis=1)[:, None, :]), kind=kind)
        brightness, greenness, wetness = values[:, 0]
        assert brightness[1] > max(brightness[0], brightness[2])
        assert greenness[0] > max(greenness[1], greenness[2])
        assert wetness[1] > 0 > wetness[2]


def test_the_formula_shown_is_the_one_computed():
    rows = [w for cap in TASSELED_CAPS.values() for w in cap.coefficients]
    for row, spec in zip(rows, TASSELED_CAP, strict=True):
        shown = [float(word) for word in spec.formula.split()[::2]]
        np.testing.assert_allclose(shown, row, atol=1e-9)


def test_only_the_six_band_set_is_in_the_full_stack():
    full = [name for name in STACKS["full"] if name.startswith("tc")]
    assert full == ["tc_brightness", "tc_greenness", "tc_wetness"]
