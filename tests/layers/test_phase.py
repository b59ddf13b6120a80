from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cryonet.layers.phase import PHASE


def vector(phase: float) -> np.ndarray:
    arrays = {"phase": np.full((1, 1), phase, np.float32)}
    return np.array([spec.compute(arrays, 10.0).item() for spec in PHASE[:2]])


@given(st.floats(0, 0.01))
def test_both_sides_of_the_wrap_are_neighbours(gap):
    assert np.abs(vector(np.pi - gap) - vector(-np.pi + gap)).max() < 2 * gap + 1e-6


@given(st.floats(-np.pi, np.pi))
def test_the_vector_has_length_one_and_gives_the_phase_back(phase):
    cosine, sine = vector(phase)
    np.testing.assert_allclose(cosine**2 + sine**2, 1, atol=1e-6)
    turned = np.arctan2(sine, cosine) - phase
    np.testing.assert_allclose(np.cos(turned), 1, atol=1e-6)


def test_names_missing_values_and_that_turning_the_map_leaves_them():
    assert [spec.name for spec in PHASE if not spec.optional] == ["phase_cos", "phase_sin"]
    assert np.isnan(vector(np.nan)).all()
    assert {spec.direction for spec in PHASE} == {"scalar"}


@given(st.floats(-np.pi, np.pi), st.floats(0, 1))
def test_the_weighted_vector_is_as_long_as_the_coherence(phase, coherence):
    arrays = {
        "phase": np.full((1, 1), phase, np.float32),
        "coherence": np.full((1, 1), coherence, np.float32),
    }
    cosine, sine = (spec.compute(arrays, 10.0).item() for spec in PHASE[2:])
    np.testing.assert_allclose(np.hypot(cosine, sine), coherence, atol=1e-6)
    np.testing.assert_allclose([cosine, sine], coherence * vector(phase), atol=1e-6)
    assert all(spec.optional and spec.needs == ("phase", "coherence") for spec in PHASE[2:])
