"""Terrain measures made in one pass, and slope and aspect after either gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cryonet.errors import LayerError
from cryonet.layers.terrain import MEASURES, TERRAIN, terrain

BY_NAME = {spec.name: spec for spec in TERRAIN}
JENNESS = np.array([[190, 170, 155], [183, 165, 145], [175, 160, 122]], np.float32)
STEEP = np.array([[50, 45, 50], [30, 30, 30], [8, 10, 10]], np.float32)
ZT = "zevenbergen_thorne"


def relief(shape: tuple[int, int], seed: int, holes: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    surface = 5000 + np.cumsum(rng.normal(0, 4, shape), axis=1)
    surface += rng.integers(0, 2, shape) * 30  # steep steps, so that slope passes 45 degrees
    surface[rng.random(shape) < holes] = np.nan
    return surface.astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.sampled_from(MEASURES), min_size=1, unique=True),
    shape=st.one_of(
        st.sampled_from([(1, 1), (1, 9), (9, 1), (2, 2), (1, 2), (2, 1)]),
        st.tuples(st.integers(1, 40), st.integers(1, 40)),
    ),
    holes=st.sampled_from([0.0, 0.02, 0.3]),
)
def test_together_is_one_by_one_bit_for_bit(names, shape, holes):
    arrays = {"elevation": relief(shape, sum(shape), holes)}
    (shared,) = {BY_NAME[name].together for name in names}
    made = shared(names, arrays, 10.0)
    assert len(made) == len(names)
    for name, values in zip(names, made, strict=True):
        assert values.dtype == np.float32 and values.shape == shape
        alone = BY_NAME[name].compute(arrays, 10.0)
        np.testing.assert_array_equal(values.view(np.int32), alone.view(np.int32), err_msg=name)


@settings(max_examples=40, deadline=None)
@given(
    first=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    gradient=st.sampled_from(["horn", ZT]),
)
def test_where_a_pixel_lies_in_its_line_makes_no_difference(first, shape, gradient):
    # The processor takes eight pixels at once, and what is left over one at a time.
    surface = relief((64, 64), 3)
    whole = terrain(surface, 10.0, gradient=gradient)
    rows = slice(first[0], first[0] + shape[0] + 2)
    cols = slice(first[1], first[1] + shape[1] + 2)
    part = terrain(surface[rows, cols], 10.0, gradient=gradient)
    for name in MEASURES:
        np.testing.assert_array_equal(
            part[name][1:-1, 1:-1], whole[name][rows, cols][1:-1, 1:-1], err_msg=name
        )


def test_measures_come_in_the_order_asked_for():
    made = terrain(relief((5, 6), 1), 10.0, names=["tri", "slope"])
    assert list(made) == ["tri", "slope"]
    assert list(terrain(relief((5, 6), 1), 10.0)) == list(MEASURES)
    assert terrain(np.empty((0, 4), np.float32), 10.0)["slope"].shape == (0, 4)


@pytest.mark.parametrize(
    ("surface", "cell", "gradient", "degrees", "tolerance"),
    [
        (JENNESS, 100.0, "horn", 12.512492, 1e-6),
        (JENNESS, 100.0, ZT, 11.115261, 1e-6),
        (STEEP, 5.0, "horn", 75.257658, 5e-6),
    ],
)
def test_slope_of_the_worked_examples(surface, cell, gradient, degrees, tolerance):
    made = terrain(surface, cell, names=["slope"], gradient=gradient)
    assert float(made["slope"][1, 1]) == pytest.approx(degrees, abs=tolerance)


def test_slope_in_single_precision_keeps_its_digits():
    rng = np.random.default_rng(8)
    scale = np.geomspace(0.01, 3000, 300)[:, None, None]
    windows = (5000 + scale * rng.normal(size=(300, 3, 3))).astype(np.float32)
    for window in windows:
        (a, b, c), (d, _, f), (g, h, i) = window.astype(float)
        east = ((c + 2 * f + i) - (a + 2 * d + g)) / 80
        north = ((a + 2 * b + c) - (g + 2 * h + i)) / 80
        exact = math.degrees(math.atan(math.hypot(east, north)))
        got = float(terrain(window, 10.0, names=["slope"])["slope"][1, 1])
        assert got == pytest.approx(exact, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(tilt=st.floats(0.1, 80), azimuth=st.floats(0, 360), cell=st.sampled_from([2.0, 30.0]))
def test_zevenbergen_thorne_on_a_plane(tilt, azimuth, cell):
    fall, towards = math.tan(math.radians(tilt)), math.radians(azimuth)
    rows, cols = np.indices((6, 7))
    plane = -fall * cell * (cols * math.sin(towards) - rows * math.cos(towards))
    rounding = np.abs(plane).max() * 2.0**-23 / cell
    made = terrain(plane.astype(np.float32), cell, names=MEASURES[:3], gradient=ZT)
    slack = math.degrees(rounding) + 1e-5
    np.testing.assert_allclose(made["slope"], tilt, atol=slack)
    slack = 4 * rounding / fall + 1e-6
    np.testing.assert_allclose(made["aspect_sin"], math.sin(towards), atol=slack)
    np.testing.assert_allclose(made["aspect_cos"], math.cos(towards), atol=slack)


def test_zevenbergen_thorne_is_exact_on_a_quadratic_with_a_cubic_across():
    # z = p x^2 + q x y + r y^2 + s x + t y + u x y^2: central differences along the axes are
    # exact; the last term, which a plane fitted to all nine would see, is not.
    cell = 8.0
    steps = np.arange(-6, 7) * cell
    x, y = np.meshgrid(steps, -steps)
    p, q, r, s, t, u = 1 / 256, 1 / 512, -1 / 128, 1 / 4, 3 / 8, 1 / 4096
    surface = p * x**2 + q * x * y + r * y**2 + s * x + t * y + u * x * y**2
    assert (surface.astype(np.float32) == surface).all()
    zx, zy = 2 * p * x + q * y + s + u * y**2, q * x + 2 * r * y + t + 2 * u * x * y
    size = np.hypot(zx, zy)
    made = terrain(surface.astype(np.float32), cell, names=MEASURES[:3], gradient=ZT)
    inner = (slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(made["slope"][inner], np.degrees(np.arctan(size))[inner], atol=1e-5)
    np.testing.assert_allclose(made["aspect_sin"][inner], (-zx / size)[inner], atol=1e-6)
    np.testing.assert_allclose(made["aspect_cos"][inner], (-zy / size)[inner], atol=1e-6)
    horn = terrain(surface.astype(np.float32), cell, names=["slope"])["slope"]
    assert np.abs(horn - made["slope"])[inner].max() > 0.1


def test_either_gradient_against_scipy():
    surface = relief((40, 53), 9)
    z = np.pad(surface.astype(float), 1, mode="reflect", reflect_type="odd")
    for gradient, weights in (("horn", [1, 2, 1]), (ZT, [0, 1, 0])):
        across = np.array(weights) / np.sum(weights)
        east, south = (
            ndimage.correlate1d(
                ndimage.correlate1d(z, [-0.05, 0, 0.05], axis=axis), across, axis=1 - axis
            )[1:-1, 1:-1]
            for axis in (1, 0)
        )
        size = np.hypot(east, south)
        made = terrain(surface, 10.0, names=MEASURES[:3], gradient=gradient)
        np.testing.assert_allclose(made["slope"], np.degrees(np.arctan(size)), atol=1e-4)
        # Directions of gentle ground feel that heights beyond the edge are rounded.
        np.testing.assert_allclose(made["aspect_sin"], -east / size, atol=1e-3)
        np.testing.assert_allclose(made["aspect_cos"], south / size, atol=1e-3)
        steep = (size > 0.2)[1:-1, 1:-1]
        for name, part in (("aspect_sin", -east), ("aspect_cos", south)):
            got, want = made[name][1:-1, 1:-1], (part / size)[1:-1, 1:-1]
            np.testing.assert_allclose(got[steep], want[steep], atol=3e-7)


def test_the_other_measures_do_not_follow_the_gradient():
    surface = relief((20, 21), 4)
    horn, other = terrain(surface, 10.0), terrain(surface, 10.0, gradient=ZT)
    for name in MEASURES:
        same = np.array_equal(horn[name], other[name])
        assert same == (name not in MEASURES[:3]), name


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("gradient", ["horn", ZT])
@pytest.mark.parametrize("name", MEASURES)
def test_any_missing_or_infinite_cell_gives_nan(name, gradient, missing):
    tilted = np.add.outer(np.arange(3.0), 2 * np.arange(3.0))
    for surface in (tilted, np.zeros((3, 3))):
        for row in range(3):
            for col in range(3):
                holed = surface.astype(np.float32)
                holed[row, col] = missing
                made = terrain(holed, 10.0, names=[name], gradient=gradient)
                assert math.isnan(made[name][1, 1]), (row, col)


def test_aspect_components_stay_within_one():
    made = terrain(relief((200, 200), 12), 10.0, names=["aspect_sin", "aspect_cos"])
    for values in made.values():
        assert np.abs(values).max() <= 1.0
    # A slope due west has no other part: its direction is -1 exactly, however steep it is.
    ramp = np.cumsum(np.random.default_rng(2).uniform(1, 9, 300)) * np.ones((4, 1))
    np.testing.assert_array_equal(terrain(ramp.astype(np.float32), 10.0)["aspect_sin"], -1.0)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ({"names": ["slope", "steepness"]}, "steepness"),
        ({"gradient": "sobel"}, "sobel"),
        ({"elevation": np.zeros(4, np.float32)}, (4,)),
        ({"cell": 0.0}, 0.0),
        ({"cell": math.nan}, math.nan),
    ],
)
def test_what_cannot_be_computed_is_refused(change, value):
    given_ = {"elevation": JENNESS, "cell": 10.0} | change
    with pytest.raises(LayerError) as caught:
        terrain(given_.pop("elevation"), given_.pop("cell"), **given_)
    assert caught.value.value is value or caught.value.value == value
    assert caught.value.rule
