"""The illumination layers: the textbook cosine, the shadow of a wall, and where the sun is."""

from __future__ import annotations

import numpy as np
import pytest

from cryonet.errors import LayerError
from cryonet.layers import build_stack, select_layers

BOTH = ["solar_incidence", "cast_shadow"]


def with_relief(make_scene, heights: np.ndarray):
    scene = make_scene(heights.shape, cell=(10.0, -10.0))
    scene["elevation"].values[:] = heights
    return scene


@pytest.mark.parametrize("slope", [0.0, 20.0, 50.0])
@pytest.mark.parametrize("facing", [0.0, 90.0, 320.0])
def test_incidence_on_a_plane_is_the_textbook_cosine(make_scene, slope, facing):
    rows, columns = np.indices((9, 11)).astype(float)
    turn, fall = np.radians(facing), 10 * np.tan(np.radians(slope))
    plane = 3000 - fall * (columns * np.sin(turn) - rows * np.cos(turn))
    found = build_stack(with_relief(make_scene, plane), BOTH)
    zenith, steep = np.radians(55.0), np.radians(slope)
    expected = np.cos(zenith) * np.cos(steep)
    expected += np.sin(zenith) * np.sin(steep) * np.cos(np.radians(140.0) - turn)
    np.testing.assert_allclose(found["solar_incidence"], expected, atol=2e-5)
    # A plane that turns away from the sun lies in its own shadow, but for what it cuts off.
    assert bool(found["cast_shadow"].any()) == (expected < 0)


def test_a_step_shades_the_ground_behind_it(make_scene):
    heights = np.full((41, 41), 3000.0)
    heights[20:] += 70  # at 35 degrees: 100 m, along azimuth 140 some 7 rows
    found = build_stack(with_relief(make_scene, heights), ["cast_shadow"])["cast_shadow"].values
    assert set(np.unique(found)) == {0.0, 1.0}
    assert found[14:20, :30].all() and not found[20:].any() and not found[:12].any()
    heights[5, 5] = np.nan
    holed = build_stack(with_relief(make_scene, heights), ["cast_shadow"])["cast_shadow"].values
    assert np.isnan(holed[5, 5]) and np.isnan(holed).sum() == 1


def test_without_the_sun_they_are_refused_and_an_impossible_sun_too(make_scene):
    scene = make_scene((9, 9))
    assert not set(BOTH) & {spec.name for spec in select_layers(scene)[0]}
    del scene.attrs["view:sun_elevation"]
    with pytest.raises(LayerError, match="cast_shadow needs the sun's position"):
        build_stack(scene, ["cast_shadow"])
    scene.attrs["view:sun_elevation"] = -3
    with pytest.raises(LayerError, match=r"impossible: 140\.0, -3\.0"):
        build_stack(scene, ["cast_shadow"])
