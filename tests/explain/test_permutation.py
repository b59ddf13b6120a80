"""Permutation importance: zero for what a model ignores, the same from the same seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_missing_families import full_scene, mixing_bundle

from cryonet.errors import ConfigError, SceneError
from cryonet.explain.held import HeldView
from cryonet.explain.permutation import Passes, permutation_importance, shuffle
from cryonet.grid import Window
from cryonet.metrics import confusion, macro_iou
from cryonet.predict import predict_scene
from cryonet.progress import Cancelled


class TwoLayers(torch.nn.Module):
    """Sees red and slope (channels 0 and 5), and nothing else."""

    def forward(self, image):
        first, second = image[:, 0] - 0.1, (image[:, 5] - 12) / 8
        return torch.stack([0 * first, 8 * first, second], dim=1)


def planted(labels_of="model"):
    bundle = replace(mixing_bundle(groups=()), module=TwoLayers().eval())
    scene = full_scene()
    if labels_of == "model":
        codes = predict_scene(bundle, scene, device="cpu")["classes"].values
        scene = scene.assign(labels=(("y", "x"), codes))
    return bundle, scene


def test_a_family_that_the_model_ignores_has_no_fall():
    bundle, scene = planted()
    found = permutation_importance(bundle, scene, repeats=2, device="cpu")
    means = found.means()
    assert found.macro == 1 and found.iou == (1, 1, 1)
    assert means["coherence"] == means["phase"] == 0
    assert means["optical"] > 0.2 and means["terrain"] > 0.2
    assert found.falls["optical"].shape == (2, 4)
    assert found.pixels == 90 * 110 and found.scored == "all"
    assert found.spreads()["coherence"] == 0 < found.spreads()["optical"] < 0.05
    plain = found.to_dict()
    assert plain["falls"]["optical"]["macro"] == found.falls["optical"][:, 0].tolist()


def test_by_layer_only_the_layers_that_are_used_count():
    bundle, scene = planted()
    windows = [Window(0, 0, 40, 50), Window(50, 50, 40, 50)]
    found = permutation_importance(
        bundle, scene, by="layer", windows=windows, repeats=1, device="cpu"
    )
    falls = found.means("debris")
    assert {name for name, fall in falls.items() if fall != 0} == {"red", "slope"}
    assert found.pixels == 2 * 40 * 50
    assert np.isnan(found.spreads()["red"])


def test_falls_are_those_of_shuffled_inputs():
    """Windows are scored together; computed anew from the shuffled inputs themselves."""
    bundle, scene = planted()
    one = permutation_importance(bundle, scene, repeats=3, seed=5, device="cpu")
    again = permutation_importance(bundle, scene, repeats=3, seed=5, device="cpu")
    other = permutation_importance(bundle, scene, repeats=3, seed=6, device="cpu")
    np.testing.assert_array_equal(one.falls["optical"], again.falls["optical"])
    assert (one.falls["optical"] != other.falls["optical"]).any()
    # The same scores by hand, from the very permutations.
    labels = scene["labels"].values
    view = HeldView(bundle, scene, device="cpu")
    for repeat, falls in enumerate(one.falls["optical"]):
        generator = np.random.default_rng([5, 0, 0, repeat])
        image = np.ascontiguousarray(shuffle(view.image, [0, 1], view.valid, generator))
        codes = TwoLayers()(torch.from_numpy(image[None]))[0].argmax(dim=0).numpy()
        assert falls[0] == pytest.approx(1 - macro_iou(confusion(codes, labels, 3)))
    assert one.means("debris")["optical"] == pytest.approx(one.falls["optical"][:, 3].mean())


def test_a_permutation_keeps_values_together_and_holes_in_place():
    generator = np.random.default_rng(0)
    image = generator.normal(size=(4, 9, 11)).astype(np.float32)
    valid = generator.random((9, 11)) > 0.3
    made = shuffle(image, [1, 3], valid, np.random.default_rng(1))
    np.testing.assert_array_equal(made[[0, 2]], image[[0, 2]])
    np.testing.assert_array_equal(made[:, ~valid], image[:, ~valid])
    before = {tuple(pair) for pair in image[[1, 3]][:, valid].T}
    assert {tuple(pair) for pair in made[[1, 3]][:, valid].T} == before
    assert (made[1] != image[1]).sum() > 0.8 * valid.sum()


def test_it_tells_how_far_it_is_and_can_be_stopped():
    said = []

    class Keep:
        def step(self, done, total, message=""):
            said.append((done / total, message))

    bundle, scene = planted()
    permutation_importance(bundle, scene, repeats=1, device="cpu", progress=Keep())
    shares = [share for share, _ in said]
    assert shares == sorted(shares) and shares[-1] == 1
    assert said[-1][1] == "shuffling, pass 5 of 5"

    class Stop:
        def step(self, done, total, message=""):
            if done > total / 2:
                raise Cancelled

    with pytest.raises(Cancelled):
        permutation_importance(bundle, scene, repeats=1, device="cpu", progress=Stop())
    Passes(Keep(), 2).step(1, 1)
    assert said[-1] == (0.5, "shuffling, pass 1 of 2")


def test_what_cannot_be_is_refused():
    bundle, scene = planted()
    with pytest.raises(ConfigError, match=r"unknown: pixel\. Give family or layer"):
        permutation_importance(bundle, scene, by="pixel")
    with pytest.raises(ConfigError, match="no repeat: 0"):
        permutation_importance(bundle, scene, repeats=0)
    with pytest.raises(ConfigError, match="no window"):
        permutation_importance(bundle, scene, windows=[])
    with pytest.raises(SceneError, match="no pixel of the view has a label"):
        permutation_importance(*planted(labels_of=""), repeats=1)
    found = permutation_importance(bundle, scene, repeats=1, device="cpu")
    with pytest.raises(ConfigError, match=r"no such score: rock\. Give one of macro, other"):
        found.means("rock")
