"""Lakes: level, before the ice or on the debris, as large as asked."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from cryonet.synthetic.lakes import ponds, proglacial_lakes

rows, columns = np.indices((140, 120)).astype(float)
VALLEY = 4000 + 1.0 * (140 - rows) + 0.02 * (columns - 60) ** 2
ICE = (rows < 60) & (np.abs(columns - 60) < 15)


@pytest.mark.parametrize("build", [True, False])
def test_a_lake_lies_level_below_the_terminus(build: bool) -> None:
    surface, lakes = proglacial_lakes(
        VALLEY, ICE, count=300, rng=np.random.default_rng(0), cell=10.0, build=build
    )
    assert lakes.sum() == pytest.approx(300, rel=0.35)
    assert not (lakes & ICE).any()
    # It touches the tongue's end and reaches down the valley.
    assert (ndimage.binary_dilation(ICE, iterations=6) & lakes).any()
    assert rows[lakes].mean() > 60 and np.abs(columns[lakes] - 60).mean() < 20
    parts, number = ndimage.label(lakes)
    for part in range(1, number + 1):
        assert np.ptp(surface[parts == part]) == 0
    np.testing.assert_array_equal(surface[ICE], VALLEY[ICE])
    if not build:
        np.testing.assert_array_equal(surface[~lakes], VALLEY[~lakes])


def test_a_built_dam_stands_over_the_water() -> None:
    surface, lakes = proglacial_lakes(
        VALLEY, ICE, count=300, rng=np.random.default_rng(0), cell=10.0
    )
    shore = ndimage.binary_dilation(lakes) & ~lakes & ~ICE
    assert surface[shore].min() > surface[lakes].max()


def test_lakes_of_two_tongues_never_touch() -> None:
    # Two tongues side by side whose lakes want the same ground, at different levels.
    ground = VALLEY - 0.02 * (columns - 60) ** 2
    ice = ((rows < 60) & (np.abs(columns - 30) < 14)) | ((rows < 66) & (np.abs(columns - 76) < 14))
    surface, lakes = proglacial_lakes(
        ground, ice, count=2600, rng=np.random.default_rng(0), cell=10.0, build=False
    )
    parts, number = ndimage.label(lakes, structure=np.ones((3, 3)))
    assert number > 1
    for part in range(1, number + 1):
        assert np.ptp(surface[parts == part]) == 0


def test_without_ice_there_are_no_lakes() -> None:
    surface, lakes = proglacial_lakes(
        VALLEY, np.zeros_like(ICE), count=300, rng=np.random.default_rng(0), cell=10.0
    )
    assert not lakes.any()
    np.testing.assert_array_equal(surface, VALLEY)


def test_ponds_are_small_level_and_on_debris() -> None:
    debris = ICE & (rows > 20)
    surface, water = ponds(VALLEY, debris, count=60, rng=np.random.default_rng(0))
    assert 20 < water.sum() <= 60
    assert not (water & ~ndimage.binary_erosion(debris)).any()
    assert (surface <= VALLEY).all()
    np.testing.assert_array_equal(surface[~water], VALLEY[~water])
    parts, number = ndimage.label(water)
    assert number > 2
    for part in range(1, number + 1):
        assert np.ptp(surface[parts == part]) == 0
