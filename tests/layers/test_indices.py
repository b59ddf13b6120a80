from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cryonet.layers.indices import INDICES

BY_NAME = {spec.name: spec for spec in INDICES}

#: The test input and values of the papers' formulas, worked out by hand.
PIXEL = {"blue": 0.10, "green": 0.12, "red": 0.15, "nir": 0.30, "swir16": 0.25, "swir22": 0.20}
VALUES = {
    "ndsi": -0.351351,
    "ndwi": -0.428571,
    "ndvi": 0.333333,
    "ndgi": -0.111111,
    "ndsii": -0.25,
    "band_ratio": 0.6,
    "s3": -0.121212,
    "awei_sh": -0.475,
    "awei_nsh": -1.145,
    "ndmi": 0.090909,
    "ndsi_nw": 0.0,
    "iron_oxide": 1.5,
}
#: Reflectances, one of them noise below zero, that leave a zero under the bar and more above.
CANCELLING = {
    "ndsi": {"green": 0.1, "swir16": -0.1},
    "ndwi": {"green": 0.1, "nir": -0.1},
    "ndvi": {"nir": 0.1, "red": -0.1},
    "ndgi": {"green": 0.1, "red": -0.1},
    "ndsii": {"red": 0.1, "swir16": -0.1},
    "band_ratio": {"swir16": 0.0},
    "s3": {"nir": 0.1, "red": -0.1},
    "ndmi": {"nir": 0.1, "swir16": -0.1},
    "ndsi_nw": {"nir": 0.1, "swir16": -0.1},
    "iron_oxide": {"blue": 0.0},
}
reflectances = arrays(np.float32, (4, 5), elements=st.floats(0, 1, width=32))


def pixel(values: dict[str, float]) -> dict[str, np.ndarray]:
    return {name: np.full((1, 1), value, np.float32) for name, value in values.items()}


def test_all_of_them_are_here():
    assert set(BY_NAME) == set(VALUES)


@pytest.mark.parametrize("name", VALUES)
def test_value_of_the_test_pixel(name):
    value = BY_NAME[name].compute(pixel(PIXEL), 10.0)
    assert value.dtype == np.float32
    np.testing.assert_allclose(value, VALUES[name], atol=1e-6)


@pytest.mark.parametrize("name", VALUES)
def test_needs_are_exactly_what_the_formula_reads(name):
    spec = BY_NAME[name]
    before = spec.compute(pixel(PIXEL), 10.0)
    moved = [b for b in PIXEL if spec.compute(pixel({**PIXEL, b: 0.5}), 10.0) != before]
    assert set(moved) == set(spec.needs)
    assert all(band in spec.formula for band in spec.needs)


@pytest.mark.parametrize("name", CANCELLING)
def test_a_zero_denominator_gives_nan_without_a_warning(name):
    compute = BY_NAME[name].compute
    assert np.isnan(compute(pixel(dict.fromkeys(PIXEL, 0.0)), 10.0)).all()
    assert np.isnan(compute(pixel({**PIXEL, **CANCELLING[name]}), 10.0)).all()


@pytest.mark.parametrize("name", VALUES)
def test_a_missing_band_gives_nan_there_and_only_there(name):
    spec = BY_NAME[name]
    for band in spec.needs:
        bands = {key: np.full((2, 3), value, np.float32) for key, value in PIXEL.items()}
        bands[band][1, 2] = np.nan
        missing = np.isnan(spec.compute(bands, 10.0))
        assert missing[1, 2] and missing.sum() == 1


@given(st.data())
def test_values_stay_in_their_range_on_possible_reflectance(data):
    bands = {name: data.draw(reflectances) for name in PIXEL}
    for spec in INDICES:
        value = spec.compute(bands, 10.0)
        low, high = spec.valid_range
        held = value[~np.isnan(value)]
        assert np.isfinite(held).all()
        assert (held >= low - 1e-6).all() and (held <= high + 1e-6).all(), spec.name


def test_noise_about_zero_is_left_as_the_formula_says():
    value = BY_NAME["ndwi"].compute(pixel({**PIXEL, "green": 0.02, "nir": -0.01}), 10.0)
    np.testing.assert_allclose(value, 3.0, rtol=1e-5)
