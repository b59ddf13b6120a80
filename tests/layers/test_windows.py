"""Windows of a stack: the values of the whole, and nothing beside the last one computed twice."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from cryonet.grid import Window, tile_windows
from cryonet.layers import LAYERS, LayerWindows, build_stack

NAMES = [name for name in LAYERS if name != "cast_shadow"]


@pytest.fixture(scope="module")
def whole(make_scene, fits) -> tuple[xr.Dataset, np.ndarray]:
    scene = make_scene((130, 171), seed=2, holes=0.01)
    stack = build_stack(scene, NAMES, fits=fits)
    return scene, np.stack([stack[name].values for name in NAMES])


@pytest.mark.parametrize("lazy", [False, True])
def test_every_window_is_that_of_the_whole_stack(whole, fits, lazy):
    scene, stack = whole
    given = scene.chunk({"y": 50, "x": 60}) if lazy else scene
    windows = LayerWindows(given, NAMES, fits=fits)
    assert windows.names == tuple(NAMES) and windows.shape == (130, 171)
    # Each kind of neighbour of the last: none, the same, narrower, to the right by an overlap,
    # by none, to the left, with a wider one after a narrower, below, higher.
    for window in (
        Window(31, 33, 40, 1), Window(31, 33, 40, 1), Window(31, 33, 40, 50),
        Window(31, 60, 40, 60), Window(31, 70, 40, 50), Window(31, 120, 40, 40),
        Window(31, 50, 40, 90), Window(31, 60, 40, 70), Window(60, 60, 40, 90),
        Window(60, 60, 70, 90), Window(0, 0, 130, 171),
    ):  # fmt: skip
        np.testing.assert_array_equal(windows[window], stack[(slice(None), *window.slices)])


def test_a_sweep_computes_each_row_of_windows_once(whole, fits):
    scene, stack = whole
    windows = LayerWindows(scene, NAMES, fits=fits)
    for window in tile_windows((130, 171), 32, overlap=8):
        np.testing.assert_array_equal(windows[window], stack[(slice(None), *window.slices)])
    rows = len({w.row for w in tile_windows((130, 171), 32, overlap=8)})
    assert windows.computed == rows * 32 * 171


def test_pixels_may_come_from_elsewhere(whole, fits):
    scene, stack = whole
    asked = []

    def read(names, window):
        asked.append(window)
        return {name: scene[name].values[window.slices] for name in names}

    lazy = xr.zeros_like(scene)
    windows = LayerWindows(lazy, ["slope", "red"], fits=fits, read=read)
    picked = stack[[NAMES.index("slope"), NAMES.index("red")]]
    np.testing.assert_array_equal(windows[Window(20, 30, 40, 50)], picked[:, 20:60, 30:80])
    assert asked == [Window(19, 29, 42, 52)]


def test_absent_layers_are_told(make_scene):
    windows = LayerWindows(make_scene((9, 9)).drop_vars("elevation"))
    assert windows.absent["slope"] == ("elevation",)
    assert windows.absent["pca_1"] == ("a fit of pca",)
    assert "slope" not in windows.names
