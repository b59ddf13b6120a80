from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import spyndex
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cryonet.errors import LayerError
from cryonet.layers.indices import INDICES, spectral_indices
from cryonet.layers.indices_kernel import NAMES

EVEREST = Path(__file__).resolve().parents[3] / "shared" / "data" / "everest_landsat7"

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
#: Our names, and those of the catalogue spyndex for the same formulas.
CATALOGUE = {
    "ndsi": "NDSI",
    "ndwi": "NDWI",
    "ndvi": "NDVI",
    "ndgi": "NDGlaI",
    "ndsii": "NDSaII",
    "band_ratio": "BRBA",
    "s3": "S3",
    "awei_sh": "AWEIsh",
    "awei_nsh": "AWEInsh",
    "ndmi": "NDMI",
    "ndsi_nw": "NDSInw",
}
LETTERS = {"blue": "B", "green": "G", "red": "R", "nir": "N", "swir16": "S1", "swir22": "S2"}
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


def in_catalogue(name: str, bands: dict[str, np.ndarray]) -> np.ndarray:
    params = {LETTERS[band]: values.astype(float) for band, values in bands.items()}
    with np.errstate(all="ignore"):
        found = spyndex.computeIndex(CATALOGUE[name], {**params, "beta": 0.05})
    return np.where(np.isfinite(found), found, np.nan)


def random_bands(shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Bands of random reflectance with holes and zeros."""
    rng = np.random.default_rng(4)
    bands = {band: rng.uniform(0, 0.9, shape).astype(np.float32) for band in PIXEL}
    for values in bands.values():
        values[rng.random(shape) < 0.1] = np.nan
        values[rng.random(shape) < 0.1] = 0
    return bands


@pytest.mark.parametrize("name", sorted(set(CATALOGUE) - {"awei_nsh"}))
def test_random_reflectance_gives_what_the_catalogue_spyndex_gives(name):
    bands = random_bands((53, 71))
    ours = spectral_indices(bands, [name])[name]
    # The error of a difference is that of its terms.
    np.testing.assert_allclose(ours, in_catalogue(name, bands), rtol=2e-5, atol=1e-6)


def test_the_catalogue_spyndex_adds_where_the_paper_subtracts():
    bands = random_bands((53, 71))
    ours = spectral_indices(bands, ["awei_nsh"])["awei_nsh"]
    theirs = in_catalogue("awei_nsh", bands)
    np.testing.assert_allclose(ours, theirs - 5.5 * bands["swir22"], atol=2e-6)
    assert np.isclose(spectral_indices(pixel(PIXEL), ["awei_nsh"])["awei_nsh"], -1.145)


def test_a_real_image_gives_what_the_catalogue_spyndex_gives():
    if not EVEREST.exists():
        pytest.skip("the real image is not here: see data/README.md")
    with (
        rasterio.open(EVEREST / "LE71400412000304SGS00_RGB.tif") as visible,
        rasterio.open(EVEREST / "LE71400412000304SGS00_B4.tif") as infrared,
    ):
        numbers = dict(zip(("red", "green", "blue"), visible.read(), strict=True))
        numbers["nir"] = infrared.read(1)
    bands = {band: (values / 255).astype(np.float32) for band, values in numbers.items()}
    names = ["ndwi", "ndvi", "ndgi"]
    for name, ours in spectral_indices(bands, names).items():
        np.testing.assert_allclose(ours, in_catalogue(name, bands), rtol=2e-5, atol=1e-6)


def test_all_in_one_pass_are_those_of_one_by_one_in_any_number_of_threads():
    bands = random_bands((613, 307))
    together = spectral_indices(bands)
    threaded = spectral_indices(bands, threads=3)
    assert tuple(together) == NAMES
    for name, values in together.items():
        np.testing.assert_array_equal(values, BY_NAME[name].compute(bands, 10.0))
        np.testing.assert_array_equal(values, threaded[name])


def test_views_integers_and_double_precision_are_taken_as_single():
    bands = {name: np.full((5, 7), value) for name, value in PIXEL.items()}
    turned = {name: np.full((7, 5), value, np.float32).T for name, value in PIXEL.items()}
    for given_bands in (bands, turned):
        for name, values in spectral_indices(given_bands).items():
            assert values.shape == (5, 7) and values.dtype == np.float32
            np.testing.assert_allclose(values, VALUES[name], atol=1e-6)


@pytest.mark.parametrize(
    ("bands", "names", "words"),
    [
        (pixel(PIXEL), ["ndsi", "ndxi"], "no such index: ndxi"),
        ({"green": np.zeros((2, 2))}, ["ndsi"], "a band is missing: swir16"),
        ({"green": np.zeros((2, 2)), "swir16": np.zeros((2, 3))}, ["ndsi"], "differ in shape"),
    ],
)
def test_what_cannot_be_computed_is_refused(bands, names, words):
    with pytest.raises(LayerError, match=words):
        spectral_indices(bands, names)
