"""Light on relief against the geometry of simple shapes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from cryonet.illumination import cast_shadow, incidence


@pytest.mark.parametrize(
    ("azimuth", "axis", "sign"),
    [
        (90.0, 1, -1),
        (270.0, 1, 1),
        (0.0, 0, 1),
        (180.0, 0, -1),
    ],
)
def test_a_wall_throws_its_shadow_away_from_the_sun(azimuth: float, axis: int, sign: int) -> None:
    ground = np.zeros((61, 61))
    wall: list[slice | int] = [slice(None), slice(None)]
    wall[axis] = 30
    ground[tuple(wall)] = 100.0
    dark = cast_shadow(ground, cell=10.0, azimuth=azimuth, elevation=40.0)
    # 100 m at 40 degrees: 119 m, so the next 11 pixels lie in the shadow.
    along = dark.any(axis=1 - axis)
    np.testing.assert_array_equal(along, dark.all(axis=1 - axis))
    expected = np.zeros(61, bool)
    for k in range(1, 12):
        expected[30 + sign * k] = True
    np.testing.assert_array_equal(along, expected)


def test_a_pole_throws_its_shadow_along_the_diagonal() -> None:
    ground = np.zeros((41, 41))
    ground[20, 20] = 200.0
    # The sun stands in the north-east, so the shadow points south-west.
    dark = cast_shadow(ground, cell=10.0, azimuth=45.0, elevation=45.0)
    assert dark[25, 15] and dark[30, 10]
    assert not dark[15, 25] and not dark[25, 25] and not dark[15, 15]


def test_no_sun_is_hidden_at_the_zenith_or_over_a_plane() -> None:
    rough = np.random.default_rng(0).normal(0, 50, (30, 30))
    assert not cast_shadow(rough, cell=10.0, azimuth=123.0, elevation=89.99).any()
    plane = np.indices((30, 30))[1] * 5.0
    assert not cast_shadow(plane, cell=10.0, azimuth=270.0, elevation=30.0).any()


def test_a_turned_landscape_under_a_turned_sun_has_a_turned_shadow() -> None:
    rough = 300 * ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(48, 48)), 3)
    before = cast_shadow(rough, cell=10.0, azimuth=110.0, elevation=25.0)
    # rot90 turns the map against the clock: azimuths fall by 90 degrees.
    after = cast_shadow(np.rot90(rough).copy(), cell=10.0, azimuth=20.0, elevation=25.0)
    assert 0.02 < before.mean() < 0.9
    assert (np.rot90(before) == after).mean() > 0.999
    light = incidence(rough, cell=10.0, azimuth=110.0, elevation=25.0)
    turned = incidence(np.rot90(rough).copy(), cell=10.0, azimuth=20.0, elevation=25.0)
    np.testing.assert_allclose(np.rot90(light), turned, atol=1e-12)


@pytest.mark.parametrize("slope", [0.0, 15.0, 40.0])
@pytest.mark.parametrize("facing", [0.0, 90.0, 180.0, 250.0])
def test_incidence_on_a_plane_is_the_textbook_cosine(slope: float, facing: float) -> None:
    # cos i = cos z cos s + sin z sin s cos(a − f), zenith z, slope s, sun at a, facing f.
    rows, columns = np.indices((12, 12)).astype(float)
    turn = np.radians(facing)
    fall = np.tan(np.radians(slope)) * 10.0
    plane = -fall * (columns * np.sin(turn) - rows * np.cos(turn))
    found = incidence(plane, cell=10.0, azimuth=150.0, elevation=35.0)
    zenith, steep = np.radians(55.0), np.radians(slope)
    cosine = np.cos(zenith) * np.cos(steep)
    cosine += np.sin(zenith) * np.sin(steep) * np.cos(np.radians(150.0) - turn)
    np.testing.assert_allclose(found, max(cosine, 0.0), atol=1e-9)


def test_cutting_the_raster_with_enough_round_it_changes_no_shadow() -> None:
    rough = 400 * ndimage.gaussian_filter(np.random.default_rng(5).normal(size=(90, 80)), 3)
    sun = {"cell": 10.0, "azimuth": 141.0, "elevation": 24.0, "reach": 20}
    whole = cast_shadow(rough, **sun)
    assert 0.02 < whole.mean() < 0.9
    for top, left in ((13, 7), (30, 31), (0, 0)):
        part = rough[max(top - 21, 0) : top + 40 + 21, max(left - 21, 0) : left + 30 + 21]
        found = cast_shadow(np.ascontiguousarray(part), **sun)
        inner = found[min(top, 21) :][:40, min(left, 21) :][:, :30]
        np.testing.assert_array_equal(inner, whole[top : top + 40, left : left + 30])
    assert cast_shadow(rough, **{**sun, "reach": 3}).sum() < whole.sum()


def test_missing_ground_throws_no_shadow() -> None:
    ground = np.zeros((21, 21))
    ground[:, 10] = np.nan
    assert not cast_shadow(ground, cell=10.0, azimuth=90.0, elevation=20.0).any()
    assert not cast_shadow(np.full((5, 5), np.nan), cell=10.0, azimuth=9.0, elevation=9.0).any()
