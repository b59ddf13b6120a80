"""Numbers that cannot be what they are offered as are noticed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryonet.errors import SceneError
from cryonet.sources.checks import (
    check_coherence,
    check_elevation,
    check_reflectance,
    remark_on_floor,
    wrap_phase,
)


def values(*numbers: float) -> np.ndarray:
    return np.array(numbers, dtype="float32")


def test_reflectance_passes_without_a_word() -> None:
    assert check_reflectance(np.linspace(0, 1.1, 999, dtype="f4"), name="red", file="a:1") == []


@pytest.mark.parametrize("factor", [100, 255, 10_000])
def test_percent_and_digital_numbers_are_not_reflectance(factor: float) -> None:
    data = np.linspace(0, 1, 999, dtype="float32") * factor
    with pytest.raises(SceneError, match="not reflectance") as caught:
        check_reflectance(data, name="red", file="a.tif:1")
    assert "a.tif:1" in caught.value.what
    assert "scale" in caught.value.rule


def test_a_few_glints_are_remarked_on() -> None:
    data = np.full(1000, 0.3, dtype="float32")
    data[:5] = 4
    remarks = check_reflectance(data, name="red", file="a.tif:1")
    assert len(remarks) == 1
    assert "0.500%" in remarks[0]


def test_an_offset_applied_twice_is_remarked_on() -> None:
    data = np.linspace(0.0, 0.6, 1000, dtype="float32") - 0.1
    assert "twice" in check_reflectance(data, name="red", file="a.tif:1")[0]


def test_an_offset_left_out_is_remarked_on() -> None:
    assert remark_on_floor({"red": 0.11, "swir16": 0.101})
    assert not remark_on_floor({"red": 0.11, "swir16": 0.01})
    assert not remark_on_floor({"red": 0.2})  # one band may be all snow
    assert not remark_on_floor({})


def test_holes_are_not_judged() -> None:
    check_reflectance(values(np.nan, 0.2, np.nan), name="red", file="a:1")
    check_elevation(values(np.nan, 5000), file="d:1", unit="")
    check_coherence(values(np.nan, 0.5), file="c:1")
    assert "no valid pixel" in check_reflectance(values(np.nan), name="red", file="a:1")[0]


@pytest.mark.parametrize("number", [-32768.0, -9999.0, 9001.0, 29_032.0])
def test_no_elevations(number: float) -> None:
    with pytest.raises(SceneError, match="no elevations"):
        check_elevation(values(5000, number), file="d.tif:1", unit="m")


def test_feet_are_refused() -> None:
    with pytest.raises(SceneError, match="not in metres"):
        check_elevation(values(5000), file="d.tif:1", unit="US survey foot")


@pytest.mark.parametrize("number", [-0.01, 1.01, 255.0])
def test_no_coherence(number: float) -> None:
    with pytest.raises(SceneError, match="not coherence"):
        check_coherence(values(0.5, number), file="c.tif:1")


def test_rounding_in_coherence_is_cut() -> None:
    kept = check_coherence(values(-1e-7, 1.0000001, 0.5), file="c.tif:1")
    assert kept.min() == 0
    assert kept.max() == 1


def test_wrapped_phase_stays_as_it_is() -> None:
    phase = values(-np.pi, -1, 0, 3.1415, np.nan)
    kept, wrapped = wrap_phase(phase)
    assert not wrapped
    np.testing.assert_array_equal(kept, phase)


@given(st.lists(st.floats(-3000, 3000, width=32), min_size=1, max_size=30))
def test_wrapping_keeps_the_direction(angles: list[float]) -> None:
    phase = np.array([*angles, 100.0], dtype="float32")
    kept, wrapped = wrap_phase(phase)
    assert wrapped
    assert np.abs(kept).max() <= 3.1416
    there = np.exp(1j * phase.astype("float64"))
    np.testing.assert_allclose(np.exp(1j * kept.astype("float64")), there, atol=3e-7)
