"""Turning the map: what a layer's `direction` promises, held against the physics.

A scene turned or mirrored and then computed must equal the layers of the scene, turned or
mirrored, with the two components of each direction mixed as a vector on that map.
"""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from cryonet.layers import LAYERS, build_stack

#: Quarter turns anticlockwise, and the unit vectors' images: (east, north) of each.
QUARTER = np.array([[0, -1], [1, 0]])


def turned(scene: xr.Dataset, turns: int, mirror: bool) -> xr.Dataset:
    """Return a square scene mirrored left to right, then turned, and the sun with it."""
    out = scene.copy(deep=True)
    for name, data in scene.data_vars.items():
        out[name].data = moved(data.values, turns, mirror)
    azimuth = scene.attrs["view:sun_azimuth"] * (-1 if mirror else 1) - 90.0 * turns
    out.attrs["view:sun_azimuth"] = azimuth % 360
    return out


def moved(values: np.ndarray, turns: int, mirror: bool) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(values[:, ::-1] if mirror else values, turns))


@pytest.fixture(scope="module")
def square(make_scene, fits) -> tuple[xr.Dataset, xr.Dataset]:
    scene = make_scene((31, 31), seed=8, holes=0.01)
    return scene, build_stack(scene, list(LAYERS), fits=fits)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_turn_then_compute_is_compute_then_turn(square, fits, turns, mirror):
    scene, stack = square
    got = build_stack(turned(scene, turns, mirror), list(LAYERS), fits=fits)
    matrix = np.linalg.matrix_power(QUARTER, turns) @ np.diag([-1 if mirror else 1, 1])
    for name, spec in LAYERS.items():
        if spec.direction == "scalar":
            expected = moved(stack[name].values, turns, mirror)
        else:
            pair = {s.direction: s.name for s in LAYERS.values() if s.vector == spec.vector}
            east, north = (moved(stack[pair[d]].values, turns, mirror) for d in ("east", "north"))
            expected = matrix[("east", "north").index(spec.direction)] @ np.stack(
                [east.ravel(), north.ravel()]
            )
            expected = expected.reshape(east.shape)
        scale = np.nanstd(expected)
        np.testing.assert_allclose(
            got[name].values, expected, rtol=1e-5, atol=1e-6 * scale, err_msg=name
        )


@settings(deadline=None, max_examples=30)
@given(azimuth=st.floats(0, 2 * np.pi), turns=st.integers(0, 3))
def test_a_slope_that_falls_to_an_azimuth_falls_to_the_turned_azimuth(azimuth, turns):
    rows, cols = np.indices((5, 5))
    surface = -3.0 * (cols * np.sin(azimuth) - rows * np.cos(azimuth))
    arrays = {"elevation": np.ascontiguousarray(np.rot90(surface, turns), dtype=np.float32)}
    found = azimuth - turns * np.pi / 2  # anticlockwise turns take from a clockwise angle
    for name, value in (("aspect_sin", np.sin(found)), ("aspect_cos", np.cos(found))):
        np.testing.assert_allclose(LAYERS[name].compute(arrays, 10.0), value, atol=1e-5)
