"""Terrain layers against the vectors of the literature and surfaces of known shape."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryonet.layers.terrain import FLAT, TERRAIN, arctangent

BY_NAME = {spec.name: spec for spec in TERRAIN}

#: Jenness' worked example, cells of 100 m.
JENNESS = [[190, 170, 155], [183, 165, 145], [175, 160, 122]]


def layer(name: str, surface, cell: float) -> np.ndarray:
    return BY_NAME[name].compute({"elevation": np.asarray(surface, np.float32)}, cell)


def centre(name: str, surface, cell: float) -> float:
    return float(layer(name, surface, cell)[1, 1])


def axes(half: int, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Return eastward and northward metres from the centre of a square of cells."""
    steps = np.arange(-half, half + 1) * cell
    return np.meshgrid(steps, -steps)


def test_the_layers():
    assert [(spec.name, spec.units) for spec in TERRAIN] == [
        ("elevation", "m"),
        ("slope", "degree"),
        ("aspect_sin", "1"),
        ("aspect_cos", "1"),
        ("profile_curvature", "1/m"),
        ("planform_curvature", "1/m"),
        ("tpi", "m"),
        ("tri", "m"),
        ("roughness", "m"),
    ]
    assert {spec.halo for spec in TERRAIN[1:]} == {1}
    assert [spec.name for spec in TERRAIN if spec.direction == "east"] == ["aspect_sin"]
    assert [spec.name for spec in TERRAIN if spec.direction == "north"] == ["aspect_cos"]


@pytest.mark.parametrize(
    ("name", "value", "tolerance"),
    [
        ("slope", 12.512492, 1e-6),
        ("tri", 58.719673, 5e-6),
        ("tpi", 2.5, 0),
        ("roughness", 68.0, 0),
        ("profile_curvature", 0.038599e-2, 5e-9),
        ("planform_curvature", -0.106149e-2, 5e-9),
    ],
)
def test_jenness_window(name, value, tolerance):
    assert centre(name, JENNESS, 100.0) == pytest.approx(value, abs=tolerance)


def test_steep_window():
    steep = [[50, 45, 50], [30, 30, 30], [8, 10, 10]]
    assert centre("slope", steep, 5.0) == pytest.approx(75.257658, abs=5e-6)


def test_jenness_aspect_points_down_to_the_east_south_east():
    east, north = centre("aspect_sin", JENNESS, 100.0), centre("aspect_cos", JENNESS, 100.0)
    zx = ((155 + 2 * 145 + 122) - (190 + 2 * 183 + 175)) / 800
    zy = ((190 + 2 * 170 + 155) - (175 + 2 * 160 + 122)) / 800
    assert math.atan2(east, north) == pytest.approx(math.atan2(-zx, -zy), abs=1e-6)
    assert east > 0 > north


@settings(max_examples=200, deadline=None)
@given(
    tilt=st.floats(0.05, 80),
    azimuth=st.floats(0, 360),
    cell=st.sampled_from([2.0, 10.0, 30.0]),
    shape=st.tuples(st.integers(2, 7), st.integers(2, 7)),
)
def test_a_plane_is_exact_everywhere_edges_and_corners_included(tilt, azimuth, cell, shape):
    fall, towards = math.tan(math.radians(tilt)), math.radians(azimuth)
    rows, cols = np.indices(shape)
    east, north = cols * cell, -rows * cell
    surface = -fall * (east * math.sin(towards) + north * math.cos(towards))
    # float32 metres round by 2^-24 of the height; what that does to a difference:
    rounding = np.abs(surface).max() * 2.0**-23 / cell
    np.testing.assert_allclose(
        layer("slope", surface, cell), tilt, atol=math.degrees(rounding) + 1e-5
    )
    slack = 4 * rounding / fall + 1e-6
    np.testing.assert_allclose(layer("aspect_sin", surface, cell), math.sin(towards), atol=slack)
    np.testing.assert_allclose(layer("aspect_cos", surface, cell), math.cos(towards), atol=slack)
    np.testing.assert_allclose(layer("tpi", surface, cell), 0, atol=8 * rounding * cell)
    span = 2 * cell * fall * (abs(math.sin(towards)) + abs(math.cos(towards)))
    np.testing.assert_allclose(
        layer("roughness", surface, cell), span, rtol=1e-5, atol=8 * rounding * cell
    )
    np.testing.assert_allclose(
        layer("tri", surface, cell), cell * fall * math.sqrt(6), rtol=1e-5,
        atol=16 * rounding * cell,
    )  # fmt: skip
    bend = 8 * rounding / cell
    np.testing.assert_allclose(layer("profile_curvature", surface, cell), 0, atol=bend)
    np.testing.assert_allclose(layer("planform_curvature", surface, cell), 0, atol=bend / fall)


@pytest.mark.parametrize(
    ("surface", "east", "north"),
    [
        ("north", 0.0, 1.0),
        ("east", 1.0, 0.0),
        ("south", 0.0, -1.0),
        ("west", -1.0, 0.0),
    ],
)
def test_aspect_is_the_way_down(surface, east, north):
    x, y = axes(2, 10.0)
    downhill = {"north": -y, "east": -x, "south": y, "west": x}[surface]
    np.testing.assert_allclose(layer("aspect_sin", downhill, 10.0), east, atol=1e-7)
    np.testing.assert_allclose(layer("aspect_cos", downhill, 10.0), north, atol=1e-7)


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_line_of_pixels_is_level_across(across, length):
    fall = 0.5 if length > 1 else 0.0
    profile = -fall * 10.0 * np.arange(length)
    surface = profile[None, :] if across else profile[:, None]
    tilt = math.degrees(math.atan(fall))
    np.testing.assert_allclose(layer("slope", surface, 10.0), tilt, atol=1e-5)
    east, north = (float(across), 0.0) if across else (0.0, -1.0)
    held = 1.0 if length > 1 else 0.0
    np.testing.assert_allclose(layer("aspect_sin", surface, 10.0), held * east, atol=1e-7)
    np.testing.assert_allclose(layer("aspect_cos", surface, 10.0), held * north, atol=1e-7)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_cone_and_a_funnel(sign):
    cell, steepness = 10.0, 0.5
    x, y = axes(60, cell)
    radius = np.hypot(x, y)
    surface = -sign * steepness * radius
    far = (radius > 25 * cell) & (radius < 55 * cell)
    with np.errstate(divide="ignore", invalid="ignore"):
        east, north, bend = sign * x / radius, sign * y / radius, sign / radius
    slope = layer("slope", surface, cell)[far]
    np.testing.assert_allclose(slope, math.degrees(math.atan(steepness)), atol=0.02)
    np.testing.assert_allclose(layer("aspect_sin", surface, cell)[far], east[far], atol=1e-3)
    np.testing.assert_allclose(layer("aspect_cos", surface, cell)[far], north[far], atol=1e-3)
    planform = layer("planform_curvature", surface, cell)[far]
    np.testing.assert_allclose(planform, bend[far], rtol=5e-3)
    profile = layer("profile_curvature", surface, cell)[far]
    np.testing.assert_allclose(profile, 0, atol=2e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_dome_and_a_bowl(sign):
    cell, ball = 10.0, 2000.0
    x, y = axes(70, cell)
    radius = np.hypot(x, y)
    surface = sign * np.sqrt(ball**2 - radius**2)
    ring = (radius > 10 * cell) & (radius < 65 * cell)
    slope = layer("slope", surface, cell)[ring]
    np.testing.assert_allclose(slope, np.degrees(np.arcsin(radius[ring] / ball)), atol=5e-3)
    profile = layer("profile_curvature", surface, cell)[ring]
    np.testing.assert_allclose(profile, sign / ball, rtol=1e-2)
    planform = layer("planform_curvature", surface, cell)[ring]
    np.testing.assert_allclose(planform, sign / radius[ring], rtol=1e-2)
    assert (sign * layer("tpi", surface, cell)[1:-1, 1:-1] > 0).all()


@pytest.mark.parametrize("tilt", [0.0, FLAT / 2])
def test_flat_ground_has_no_direction_and_no_curvature(tilt):
    surface = np.float32(500) + tilt * np.arange(6)[None, :] * 10 + np.zeros((5, 1))
    for name in ("aspect_sin", "aspect_cos", "profile_curvature", "planform_curvature"):
        np.testing.assert_array_equal(layer(name, surface, 10.0), 0)
    np.testing.assert_allclose(layer("slope", surface, 10.0), math.degrees(tilt), atol=2e-3)


def test_ground_just_above_flat_has_its_direction():
    surface = -2 * FLAT * np.arange(6)[None, :] * 10 + np.zeros((5, 1))
    np.testing.assert_allclose(layer("aspect_sin", surface, 10.0), 1)


def test_a_summit_a_pit_and_a_step():
    peak = np.zeros((3, 3))
    peak[1, 1] = 8
    for sign in (1, -1):
        assert centre("tpi", sign * peak, 10.0) == 8 * sign
        assert centre("tri", sign * peak, 10.0) == pytest.approx(8 * math.sqrt(8))
        assert centre("roughness", sign * peak, 10.0) == 8
    corner = np.zeros((3, 3))
    corner[0, 2] = 5  # one cell of the window, at no measure's centre cross
    assert centre("roughness", corner, 10.0) == 5
    assert centre("tri", corner, 10.0) == 5
    assert centre("tpi", corner, 10.0) == -5 / 8


@pytest.mark.parametrize("name", [spec.name for spec in TERRAIN[1:]])
def test_any_missing_cell_of_the_window_gives_nan(name):
    surface = np.add.outer(np.arange(3.0), 2 * np.arange(3.0))
    for row in range(3):
        for col in range(3):
            holed = surface.copy()
            holed[row, col] = np.nan
            assert math.isnan(centre(name, holed, 10.0)), (row, col)


def test_heights_far_above_zero_keep_the_curvature():
    x, y = axes(20, 10.0)
    dome = (-(x**2) / 4000 - y**2 / 8000).astype(np.float32)
    raised = np.round(dome * 128) / 128  # exact in float32 at both heights
    for name in BY_NAME.keys() - {"elevation"}:
        low, high = layer(name, raised, 10.0), layer(name, raised + 8000, 10.0)
        np.testing.assert_allclose(low, high, rtol=1e-6, atol=1e-9, err_msg=name)


@given(st.floats(0, 1e9))
def test_arctangent_within_its_bound(value):
    assert arctangent(value) == pytest.approx(math.atan(value), abs=2e-8)


def test_memory_layouts_make_no_difference():
    rng = np.random.default_rng(4)
    surface = rng.normal(0, 20, (8, 9)).astype(np.float32)
    frozen = surface.copy()
    frozen.flags.writeable = False
    padded = np.full((16, 18), np.nan, np.float32)
    padded[::2, ::2] = surface
    for other in (np.asfortranarray(surface), frozen, padded[::2, ::2]):
        got = BY_NAME["slope"].compute({"elevation": other}, 10.0)
        np.testing.assert_array_equal(got, layer("slope", surface, 10.0))
