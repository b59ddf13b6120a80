"""Windows of a stack: the values of the whole, each block computed once, few kept."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from cryonet.grid import Window, tile_windows
from cryonet.layers import LAYERS, LayerWindows, build_stack
from cryonet.layers import windows as module

NAMES = [name for name in LAYERS if name != "cast_shadow"]


@pytest.fixture(scope="module")
def whole(make_scene, fits) -> tuple[xr.Dataset, np.ndarray]:
    scene = make_scene((130, 171), seed=2, holes=0.01)
    stack = build_stack(scene, NAMES, fits=fits)
    return scene, np.stack([stack[name].values for name in NAMES])


@pytest.mark.parametrize("lazy", [False, True])
def test_every_window_is_that_of_the_whole_stack(whole, fits, monkeypatch, lazy):
    monkeypatch.setattr(module, "BLOCK", 32)
    scene, stack = whole
    given = scene.chunk({"y": 50, "x": 60}) if lazy else scene
    windows = LayerWindows(given, NAMES, fits=fits)
    assert windows.names == tuple(NAMES) and windows.shape == (130, 171)
    for window in (Window(0, 0, 130, 171), Window(31, 33, 2, 1), Window(97, 140, 33, 31)):
        np.testing.assert_array_equal(windows[window], stack[(slice(None), *window.slices)])


def test_a_sweep_computes_every_block_once_and_keeps_two_rows(whole, fits, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 32)
    scene, stack = whole
    windows = LayerWindows(scene, NAMES, fits=fits)
    for window in tile_windows((130, 171), 32, overlap=8):
        np.testing.assert_array_equal(windows[window], stack[(slice(None), *window.slices)])
        assert len(windows._kept) <= 12
    assert windows.computed == 5 * 6
    windows[Window(0, 0, 1, 1)]
    assert windows.computed == 31, "the first block was given up"


def test_windows_taller_than_a_block_compute_every_block_once_too(whole, fits, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 16)
    scene, _ = whole
    counts = []
    for tallest in (None, 41):
        windows = LayerWindows(scene, ["red"], fits=fits, tallest=tallest)
        for window in tile_windows((130, 171), 41, overlap=8):
            windows[window]
        counts.append(windows.computed)
    assert counts[0] > counts[1] == 9 * 11


def test_absent_layers_are_told(make_scene):
    windows = LayerWindows(make_scene((9, 9)).drop_vars("elevation"))
    assert windows.absent["slope"] == ("elevation",)
    assert windows.absent["pca_1"] == ("a fit of pca",)
    assert "slope" not in windows.names
