"""Copies and sums are found; what is new is not."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from cryonet.errors import LayerError
from cryonet.layers import build_stack
from cryonet.layers.copies import find_copies


def stack_of(**layers: np.ndarray) -> xr.Dataset:
    return xr.Dataset({name: (("y", "x"), np.float32(v)) for name, v in layers.items()})


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).random((3, 40, 50))


def test_a_copy_is_found_up_to_scale_sign_and_shift(noise):
    a, b, c = noise
    found = find_copies(stack_of(a=a, b=b, minus=3 - 2 * a, c=c, same=b))
    assert [(f.layer, f.of) for f in found] == [("minus", ("a",)), ("same", ("b",))]


def test_a_sum_names_its_parts_and_no_others(noise):
    a, b, c = noise
    found = find_copies(stack_of(a=a, b=b, c=c, sum=0.5 * a - 4 * c))
    assert [(f.layer, f.of) for f in found] == [("sum", ("a", "c"))]
    assert find_copies(stack_of(a=a, b=b, c=c, product=a * b, square=a**2)) == []


def test_holes_are_left_out(noise):
    a, b, _ = noise
    copy = a.copy()
    copy[::3], b[1::3] = np.nan, np.nan
    assert [f.layer for f in find_copies(stack_of(a=a, b=b, copy=copy))] == ["copy"]
    b[2::3] = np.nan
    with pytest.raises(LayerError, match="too few pixels to compare layers: 0"):
        find_copies(stack_of(a=a, b=b, copy=copy))


def test_the_full_stack_holds_sums_but_no_copy(make_scene, fits):
    found = find_copies(build_stack(make_scene((50, 60), seed=7), fits=fits))
    assert {f.layer for f in found} == {
        "awei_sh", "awei_nsh", "ndmi", "pca_1", "pca_2", "pca_3",
        "tc_brightness", "tc_greenness", "tc_wetness",
    }  # fmt: skip
    assert all(len(f.of) > 1 for f in found)
    # (N-S)/(N+S) - (N-R)/(N+R) = 2 N (R-S) / ((N+R)(N+S)): NDMI is NDVI and twice S3.
    assert {f.layer: f.of for f in found}["ndmi"] == ("ndvi", "s3")
