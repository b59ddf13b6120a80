from __future__ import annotations

import numpy as np

from cryonet.layers.tasseled_cap import COEFFICIENTS, TASSELED_CAP, TC_BANDS

MATRIX = np.array(list(COEFFICIENTS.values()))


def test_the_rows_are_orthonormal():
    np.testing.assert_allclose(MATRIX @ MATRIX.T, np.eye(3), atol=2e-4)


def test_row_sums_of_the_published_table():
    np.testing.assert_allclose(MATRIX.sum(axis=1), [2.2301, -0.8002, -0.6082], atol=1e-9)


def test_value_of_the_test_pixel():
    pixel = dict(zip(TC_BANDS, (0.10, 0.12, 0.15, 0.30, 0.25, 0.20), strict=True))
    arrays = {name: np.full((2, 2), value, np.float32) for name, value in pixel.items()}
    values = [spec.compute(arrays, 10.0)[0, 0] for spec in TASSELED_CAP]
    np.testing.assert_allclose(values, [0.447171, -0.005351, -0.197620], atol=1e-6)


def test_the_layers_are_the_matrix_product():
    rng = np.random.default_rng(2)
    bands = rng.random((6, 5, 7)).astype(np.float32)
    bands[3, 2, 2] = np.nan
    arrays = dict(zip(TC_BANDS, bands, strict=True))
    got = np.stack([spec.compute(arrays, 10.0) for spec in TASSELED_CAP])
    np.testing.assert_allclose(got, np.tensordot(MATRIX, bands, axes=1), atol=1e-6)
    assert got.dtype == np.float32
    assert [spec.name for spec in TASSELED_CAP] == ["tc_brightness", "tc_greenness", "tc_wetness"]


def test_the_formula_shown_is_the_one_computed():
    for row, spec in zip(MATRIX, TASSELED_CAP, strict=True):
        shown = [float(word) for word in spec.formula.split()[::2]]
        np.testing.assert_allclose(shown, row, atol=1e-9)
