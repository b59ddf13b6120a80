"""Forest: trees as scikit-learn walks them, and tables that are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from cryonet.errors import BundleError, ConfigError
from cryonet.model_config import ForestConfig
from cryonet.models.forest import Forest, forest_of

SMALL = ForestConfig(architecture="forest", trees=7, leaves=60)


def fitted(layers=5, seed=0, **options):
    """A forest of scikit-learn on made-up pixels whose values are often equal."""
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(2_000, layers)).round(1).astype(np.float32)
    codes = (inputs[:, 0] > 0).astype(int) + (inputs[:, 1] * inputs[:, 2] > 0.3)
    settings = {"max_leaf_nodes": 60, "n_estimators": 7, "random_state": seed} | options
    return RandomForestClassifier(**settings).fit(inputs, codes), inputs


@pytest.mark.parametrize("shape", [(1, 1), (30, 47), (64, 64)])
def test_the_forest_is_that_of_scikit_learn(shape):
    peer, inputs = fitted()
    forest = forest_of(peer, SMALL, classes=4)
    pixels = inputs[: 2 * shape[0] * shape[1]]
    pixels = np.resize(pixels, (2 * shape[0] * shape[1], 5))
    image = torch.from_numpy(pixels.reshape(2, *shape, 5).transpose(0, 3, 1, 2).copy())
    found = forest(image).softmax(dim=1)
    expected = peer.predict_proba(pixels).reshape(2, *shape, 3).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found[:, :3].numpy(), expected, atol=1e-6)
    assert found[:, 3].max() < 1e-6
    assert expected.std() > 0.1


def test_values_at_a_threshold_go_the_same_way():
    """scikit-learn's thresholds are float64; the nearest float32 may lie beyond the value."""
    peer, _ = fitted()
    trees = [e.tree_ for e in peer.estimators_]
    cuts = np.concatenate([t.threshold[t.children_left >= 0] for t in trees])
    near = cuts.astype(np.float32)
    assert (near > cuts).any() and (near < cuts).any()
    values = np.unique(np.concatenate([near, np.nextafter(near, -9), np.nextafter(near, 9)]))
    values = values.astype(np.float32)
    for layer in range(5):
        pixels = np.zeros((len(values), 5), np.float32)
        pixels[:, layer] = values
        image = torch.from_numpy(pixels.T[None, :, None].copy())
        found = forest_of(peer, SMALL, classes=3)(image).softmax(dim=1)[0, :, 0].T
        np.testing.assert_allclose(found.numpy(), peer.predict_proba(pixels), atol=1e-6)


def test_a_class_missing_from_the_sample_gets_no_share():
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(300, 2)).astype(np.float32)
    peer = RandomForestClassifier(7, max_leaf_nodes=60, random_state=0)
    peer.fit(inputs, np.where(inputs[:, 0] > 0, 3, 1))
    image = torch.from_numpy(inputs.T[None, :, None].copy())
    found = forest_of(peer, SMALL, classes=4)(image).softmax(dim=1)[0, :, 0].numpy()
    np.testing.assert_allclose(found[[1, 3]].T, peer.predict_proba(inputs), atol=1e-6)
    assert found[[0, 2]].max() < 1e-6


def test_a_forest_of_another_size_is_refused():
    peer, _ = fitted(n_estimators=6)
    with pytest.raises(ConfigError, match="6 trees"):
        forest_of(peer, SMALL, classes=3)
    peer, _ = fitted(max_leaf_nodes=61)
    with pytest.raises(ConfigError, match="121 nodes"):
        forest_of(peer, SMALL, classes=3)


@pytest.mark.parametrize(
    ("table", "value", "named"),
    [
        ("left", 0, "left, right"),
        ("left", -1, "left, right"),
        ("right", 119, "left, right"),
        ("feature", 5, "feature"),
        ("feature", -1, "feature"),
        ("shares", float("nan"), "shares"),
        ("shares", -1.0, "shares"),
        ("shares", 0.9, "shares"),
    ],
)
def test_tables_that_lead_astray_are_refused(table, value, named):
    """A hostile bundle may not read outside its tables, nor walk for ever."""
    forest = forest_of(fitted()[0], SMALL, classes=3)
    state = {name: tensor.clone() for name, tensor in forest.state_dict().items()}
    fresh = Forest(SMALL, 5, 3)
    fresh.load_state_dict(state)
    state[table].view(7, 119, -1)[2, 1, 0] = value
    with pytest.raises(BundleError, match=f"{named} cannot be used.*tree 2, node 1"):
        fresh.load_state_dict(state)
