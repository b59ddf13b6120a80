"""The simulated interferogram: bias, wrapping, motion and layover."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from scipy.special import gamma

from cryonet.synthetic.insar import (
    PAIR,
    WAVELENGTH,
    clean_phase,
    layover,
    sample_interferogram,
    wrap,
)

GetScene = Callable[..., xr.Dataset]


@pytest.mark.parametrize("looks", [4, 9, 20, 80])
def test_no_coherence_is_estimated_as_the_closed_form_says(looks: int) -> None:
    # Touzi et al. 1999 at zero: √π/2 · Γ(L) / Γ(L + ½).
    zero = np.zeros((150, 150))
    found, _ = sample_interferogram(zero, zero, looks=looks, rng=np.random.default_rng(1))
    expected = np.sqrt(np.pi) / 2 * gamma(looks) / gamma(looks + 0.5)
    assert found.mean() == pytest.approx(expected, rel=0.01)


def test_high_coherence_is_estimated_nearly_without_bias() -> None:
    true = np.full((150, 150), 0.9)
    found, phase = sample_interferogram(
        true, np.full_like(true, 1.0), looks=20, rng=np.random.default_rng(1)
    )
    assert found.mean() == pytest.approx(0.9, abs=0.005)
    assert phase.mean() == pytest.approx(1.0, abs=0.005)
    # Cramér–Rao: the spread of the phase is √((1 − γ²) / (2 L γ²)).
    assert phase.std() == pytest.approx(np.sqrt((1 - 0.81) / (2 * 20 * 0.81)), rel=0.08)


def test_phase_is_wrapped_to_one_turn() -> None:
    phase = np.array([0.0, np.pi, -np.pi, 3 * np.pi, 7.0, -7.0])
    wrapped = wrap(phase)
    assert (wrapped > -np.pi).all() and (wrapped <= np.pi).all()
    np.testing.assert_allclose(np.exp(1j * wrapped), np.exp(1j * phase), atol=1e-12)


def test_a_slope_turns_the_phase_once_for_the_height_of_ambiguity() -> None:
    rows = np.indices((64, 64))[0].astype(float)
    still = np.zeros((64, 64))
    rng = np.random.default_rng(0)
    level = clean_phase(still, still, PAIR, rng, cell=10.0)
    rng = np.random.default_rng(0)
    risen = clean_phase(rows * 13.0, still, PAIR, rng, cell=10.0)
    per_row = np.diff((risen - level), axis=0)
    np.testing.assert_allclose(per_row, 2 * np.pi * 13.0 / PAIR.ambiguity, atol=1e-9)


def test_ice_that_flows_away_from_the_radar_lengthens_the_way() -> None:
    # A plane that falls along the look direction carries ice away from the radar.
    rows, columns = np.indices((64, 64)).astype(float)
    angle = np.radians(PAIR.heading)
    plane = -2.0 * (columns * np.sin(angle) - rows * np.cos(angle))
    moving = np.full((64, 64), 20.0)
    phases = [
        clean_phase(plane, speed, PAIR, np.random.default_rng(0), cell=10.0)
        for speed in (moving, np.zeros((64, 64)))
    ]
    way = 20.0 * PAIR.days / 365.25 * np.sin(np.radians(PAIR.incidence))
    np.testing.assert_allclose(phases[0] - phases[1], 4 * np.pi / WAVELENGTH * way, rtol=1e-6)


def test_only_steep_ground_that_faces_the_radar_is_given_up() -> None:
    columns = np.indices((20, 20))[1].astype(float)
    for degrees, rising, lost in ((50, 1, False), (60, 1, True), (60, -1, False)):
        # The radar looks almost east, so a rise to the east faces it.
        ground = rising * columns * 40.0 * np.tan(np.radians(degrees))
        assert layover(ground, PAIR, cell=40.0).all() == lost


def test_coherence_orders_the_grounds_and_phase_stays_in_range(scene: GetScene) -> None:
    made = scene(256, 0)
    labels, coherence = made["labels"].values, made["coherence"].values
    middle = [float(np.nanmedian(coherence[labels == k])) for k in range(4)]
    assert middle[0] > middle[2] + 0.15 > middle[1] + 0.2
    # 20 looks over water: the closed form, .1994, and the mixed pixels of the shore.
    assert 0.19 < middle[3] < 0.27
    assert np.nanmin(coherence) >= 0 and np.nanmax(coherence) <= 1
    assert np.nanmax(np.abs(made["phase"].values.astype(float))) <= np.pi
    assert made["coherence"].attrs["looks"] == PAIR.looks


def test_a_pixel_of_the_interferogram_covers_a_square_of_the_scene(scene: GetScene) -> None:
    made = scene(256, 0)
    for name in ("coherence", "phase"):
        values = made[name].values
        side = round(made[name].attrs["native_resolution"] / 10)
        assert side == 4
        squares = values.reshape(64, side, 64, side).swapaxes(1, 2).reshape(64, 64, -1)
        np.testing.assert_array_equal(squares, squares[..., :1].repeat(side * side, axis=2))
