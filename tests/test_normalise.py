"""Statistics and normalisation, with holes."""

from __future__ import annotations

import numpy as np
import pytest

from cryonet.errors import LayerError
from cryonet.layers import LAYERS
from cryonet.normalise import fit_statistics, normalise


def test_statistics_are_those_of_the_clipped_known_values():
    generator = np.random.default_rng(0)
    values = generator.normal(3, 2, 10_000).astype(np.float32)
    holed = np.concatenate([values, np.full(5_000, np.nan, np.float32), [np.inf, -np.inf]])
    low, high = np.percentile(values.astype(np.float64), [0.1, 99.9])
    clipped = np.clip(values.astype(np.float64), low, high)
    (found,) = fit_statistics([holed.astype(np.float32)], [LAYERS["red"]])
    assert found.mean == pytest.approx(clipped.mean())
    assert found.std == pytest.approx(clipped.std())
    assert (found.low, found.high) == pytest.approx((low, high))


def test_a_large_offset_does_not_cost_precision():
    values = (8000 + np.random.default_rng(1).normal(0, 0.01, 100_000)).astype(np.float32)
    (found,) = fit_statistics([values], [LAYERS["elevation"]], clip=0)
    assert found.std == pytest.approx(values.astype(np.float64).std(), rel=1e-6)


def test_holes_are_the_union_and_become_the_fill():
    generator = np.random.default_rng(2)
    stack = generator.normal(size=(2, 30, 40)).astype(np.float32)
    stack[0, 3, 4], stack[1, 5, 6], stack[1, 7, 8] = np.nan, np.inf, -np.inf
    specs = [LAYERS["red"], LAYERS["nir"]]
    statistics = fit_statistics([layer.ravel() for layer in stack], specs)
    found, valid = normalise(stack, statistics)
    assert np.isfinite(found).all()
    assert valid.sum() == valid.size - 3
    assert found[0, 3, 4] == pytest.approx(0, abs=1e-6)
    assert found[1, 5, 6] == pytest.approx(0, abs=1e-6)


def test_directions_share_one_scale_round_zero():
    generator = np.random.default_rng(3)
    east, north = generator.normal(0.3, 0.5, 500), generator.normal(-0.1, 0.2, 500)
    specs = [LAYERS["aspect_sin"], LAYERS["aspect_cos"]]
    one, two = fit_statistics([east.astype(np.float32), north.astype(np.float32)], specs)
    assert one == two
    assert (one.mean, one.fill, one.low) == (0, 0, -one.high)


def test_constant_layer_stays_finite_and_empty_layer_is_refused():
    (found,) = fit_statistics([np.full(10, 0.25, np.float32)], [LAYERS["red"]])
    assert found.std == 1
    with pytest.raises(LayerError, match="red"):
        fit_statistics([np.full(10, np.nan, np.float32)], [LAYERS["red"]])


def test_wrong_number_of_layers_is_refused():
    statistics = fit_statistics([np.arange(5, dtype=np.float32)], [LAYERS["red"]])
    with pytest.raises(LayerError, match="2 layers"):
        normalise(np.zeros((2, 3, 3), np.float32), statistics)
