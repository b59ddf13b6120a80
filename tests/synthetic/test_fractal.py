"""Fractal fields against the spectrum that they promise."""

from __future__ import annotations

import numpy as np
import pytest

from cryonet.synthetic.fractal import fractal_field, ragged_patches, resize


@pytest.mark.parametrize("slope", [0.0, 2.0, 3.0])
def test_the_power_spectrum_falls_as_asked(slope: float) -> None:
    power = np.zeros((256, 256))
    window = np.hanning(256)[:, None] * np.hanning(256)
    for seed in range(6):
        field = fractal_field((256, 256), np.random.default_rng(seed), slope=slope)
        power += np.abs(np.fft.fft2(field * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    inside = (frequency > 0.03) & (frequency < 0.2)
    fitted = np.polyfit(np.log(frequency[inside]), np.log(power[inside]), 1)[0]
    assert -fitted == pytest.approx(slope, abs=0.15)


def test_a_field_has_no_mean_and_unit_variance() -> None:
    field = fractal_field((50, 81), np.random.default_rng(0), slope=2.5)
    assert field.shape == (50, 81)
    assert field.mean() == pytest.approx(0, abs=1e-9)
    assert field.std() == pytest.approx(1)


def test_longer_and_shorter_waves_are_left_out() -> None:
    field = fractal_field((256, 256), np.random.default_rng(0), slope=0, longest=32, shortest=8)
    power = np.abs(np.fft.fft2(field * np.hanning(256)[:, None] * np.hanning(256))) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    inside = power[(frequency > 1 / 32) & (frequency < 1 / 9)].mean()
    assert power[frequency > 1 / 5].mean() < 0.01 * inside
    assert power[(frequency > 0) & (frequency < 1 / 100)].mean() < 0.05 * inside


def test_resizing_keeps_a_plane_where_it_was() -> None:
    rows, columns = np.indices((20, 30)).astype(float)
    plane = 3 * (rows + 0.5) / 20 + 7 * (columns + 0.5) / 30
    rows, columns = np.indices((40, 45)).astype(float)
    expected = 3 * (rows + 0.5) / 40 + 7 * (columns + 0.5) / 45
    inner = (slice(3, -3),) * 2
    np.testing.assert_allclose(resize(plane, (40, 45))[inner], expected[inner], atol=1e-9)


def test_patches_cover_their_share() -> None:
    patches = ragged_patches((120, 150), np.random.default_rng(1), share=0.03)
    assert patches.mean() == pytest.approx(0.03, abs=0.001)
