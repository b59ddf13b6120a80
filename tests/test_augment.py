"""Turning chips: directions turn with the map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import grid
from cryonet.augment import DIHEDRALS, Dihedral, brighten, direction_pairs, turn
from cryonet.errors import LayerError
from cryonet.layers import FAMILIES, LAYERS, build_stack
from cryonet.normalise import fit_statistics, normalise
from cryonet.scene import scene_from_arrays

TERRAIN = list(FAMILIES["terrain"])


def _surface(size: int) -> np.ndarray:
    generator = np.random.default_rng(3)
    rows, cols = np.mgrid[:size, :size] / size
    bumps = np.sin(7 * rows + 3 * cols) + 0.7 * np.cos(5 * rows * cols)
    return (5000 + 300 * bumps + generator.normal(0, 2, (size, size))).astype(np.float32)


def _stack(elevation: np.ndarray) -> np.ndarray:
    scene = scene_from_arrays({"elevation": elevation}, grid(*elevation.shape))
    stack = build_stack(scene, TERRAIN)
    return np.stack([stack[name].values for name in TERRAIN])


@pytest.mark.parametrize("dihedral", DIHEDRALS)
def test_turn_the_scene_then_compute_is_compute_then_turn(dihedral: Dihedral):
    """Every terrain layer, aspect's components included."""
    elevation = _surface(48)
    turned = turn(torch.from_numpy(elevation)[None], dihedral)[0].numpy()
    pairs = direction_pairs([LAYERS[name] for name in TERRAIN])
    expected = _stack(np.ascontiguousarray(turned))
    found = turn(torch.from_numpy(_stack(elevation)), dihedral, pairs).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3, rtol=1e-4)


@pytest.mark.parametrize("dihedral", DIHEDRALS)
def test_normalising_and_turning_commute(dihedral: Dihedral):
    specs = [LAYERS[name] for name in TERRAIN]
    raw = _stack(_surface(40))
    statistics = fit_statistics([layer.ravel() for layer in raw], specs)
    pairs = direction_pairs(specs)
    one = turn(torch.from_numpy(normalise(raw, statistics)[0]), dihedral, pairs)
    other, _ = normalise(turn(torch.from_numpy(raw), dihedral, pairs).numpy(), statistics)
    np.testing.assert_allclose(one.numpy(), other, atol=1e-5)


@pytest.mark.parametrize("dihedral", DIHEDRALS)
def test_inverse_undoes(dihedral: Dihedral):
    image = torch.arange(2 * 5 * 5, dtype=torch.float32).reshape(2, 5, 5)
    there = turn(image, dihedral, [(0, 1)])
    assert torch.equal(turn(there, dihedral.inverse, [(0, 1)]), image)


def test_the_eight_differ():
    image = torch.arange(12.0).reshape(1, 3, 4)[:, :, :3]
    assert len({turn(image, d).numpy().tobytes() for d in DIHEDRALS}) == 8


def test_half_a_direction_is_refused():
    with pytest.raises(LayerError, match="aspect"):
        direction_pairs([LAYERS["aspect_sin"]])


@given(st.floats(0, 0.5), st.integers(0, 1000))
def test_brighten_leaves_other_layers_alone(strength: float, seed: int):
    image = torch.ones(3, 4, 4)
    spectral = np.array([True, False, True])
    found = brighten(
        image, spectral, gain=strength, shift=strength, generator=np.random.default_rng(seed)
    )
    assert torch.equal(found[1], image[1])
    assert found.dtype == image.dtype
    if strength > 0.01:
        assert not torch.equal(found[0], image[0])
