"""Percentiles of blocks: the very values that numpy finds in the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryonet.layers import LAYERS
from cryonet.normalise import fit_statistics, stream_statistics
from cryonet.value_counts import ValueCounts

PERCENTS = (0.0, 0.1, 37.5, 50.0, 99.9, 100.0)


def streamed(values: np.ndarray, cuts: list[int]) -> list[float]:
    counts = ValueCounts(PERCENTS)
    blocks = np.split(values, cuts)
    for block in blocks:
        counts.look(block)
    counts.narrow()
    for block in blocks:
        counts.look(block)
    return counts.percentiles()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=80),
    st.integers(0, 80),
)
def test_percentiles_are_numpys_to_the_bit(values, cut):
    array = np.array(values, np.float32)
    with np.errstate(over="ignore"):
        expected = np.percentile(array.astype(np.float64), PERCENTS)
    assert streamed(array, [cut]) == expected.tolist()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_percentiles_of_many_values(scale):
    array = (np.random.default_rng(0).normal(0.3, 1, 50_000) * scale).astype(np.float32)
    found = streamed(array, [7, 20_000, 20_000, 49_999])
    assert found == np.percentile(array.astype(np.float64), PERCENTS).tolist()


def test_statistics_of_blocks_are_those_of_the_whole():
    generator = np.random.default_rng(3)
    whole = (8000 + generator.normal(0, 0.5, (2, 30_000))).astype(np.float32)
    whole[0, 5:900], whole[1, 100] = np.nan, np.inf
    specs = [LAYERS["elevation"], LAYERS["red"]]
    blocks = np.split(whole, [1, 950, 29_000], axis=1)
    one, two = fit_statistics(list(whole), specs), stream_statistics(lambda: blocks, specs)
    for a, b in zip(one, two, strict=True):
        assert (a.low, a.high) == (b.low, b.high)
        assert (b.mean, b.std) == pytest.approx((a.mean, a.std), rel=1e-12)
