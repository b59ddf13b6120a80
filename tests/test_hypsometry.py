"""Hypsometry: bands that are round and few, and no area lost."""

from __future__ import annotations

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from pyproj import Geod

from conftest import grid
from cryonet.hypsometry import MOST, STEPS, HypsometryTally

NAMES = ("other", "clean_ice", "debris", "lake")


def counted(codes, elevation, geobox=None):
    tally = HypsometryTally(geobox or grid(*codes.shape), classes=NAMES)
    half = len(codes) // 2
    tally.add(codes[:half], elevation[:half])
    tally.add(codes[half:], elevation[half:])
    return tally.hypsometry()


@pytest.mark.parametrize(("span", "step"), [(90, 10), (350, 20), (1400, 50), (5900, 200)])
def test_bands_are_round_and_few(span, step):
    generator = np.random.default_rng(span)
    elevation = generator.uniform(2013, 2013 + span, (80, 90)).astype(np.float32)
    codes = generator.integers(0, 4, elevation.shape).astype(np.uint8)
    found = counted(codes, elevation)
    assert set(np.diff(found.edges)) == {step} and step in STEPS
    assert len(found.edges) - 1 <= MOST and (found.edges % step == 0).all()
    for code in range(4):
        expected, _ = np.histogram(elevation[codes == code], found.edges)
        np.testing.assert_allclose(found.km2[code], expected * 1e-4)
    assert found.km2.sum() == pytest.approx(80 * 90 * 1e-4) and not found.unknown.any()


def test_a_band_holds_its_lower_edge():
    elevation = np.array([[99.99999, 100.0, 109.99999, 110.0]], np.float32)
    found = counted(np.ones((1, 4), np.uint8), elevation)
    assert found.edges.tolist() == [90, 100, 110, 120]
    assert found.km2[1] == pytest.approx([1e-4, 2e-4, 1e-4])


def test_what_no_ground_has_is_unknown():
    elevation = np.array([[np.nan, -9999, 9500, np.inf, 3000, 3000]], np.float32)
    codes = np.array([[1, 1, 1, 2, 3, 255]], np.uint8)
    found = counted(codes, elevation)
    assert found.unknown == pytest.approx([0, 3e-4, 1e-4, 0])
    assert found.km2.sum() == pytest.approx(1e-4)
    nothing = counted(np.full((2, 3), 255, np.uint8), np.full((2, 3), np.nan))
    assert nothing.km2.shape == (4, 0)


def test_areas_are_those_of_the_ellipsoid():
    box = GeoBox.from_bbox((86, 60, 87, 61), crs="EPSG:4326", shape=(10, 10))
    elevation = np.tile(np.arange(10)[:, None] * 10.0, (1, 10))
    found = counted(np.ones((10, 10), np.uint8), elevation, box)
    area, _ = Geod(ellps="WGS84").polygon_area_perimeter([86, 87, 87, 86], [60, 60, 60.1, 60.1])
    assert found.km2[1, 9] == pytest.approx(abs(area) / 1e6, rel=1e-3)
