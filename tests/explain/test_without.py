"""A map without families: the plain prediction when none is hidden, and honest otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_missing_families import full_scene, mixing_bundle, shares, zeroed

from cryonet.bundle import load_bundle
from cryonet.chips import SPLITS
from cryonet.errors import ConfigError, CryonetError, SceneError
from cryonet.evaluate import score
from cryonet.explain.held import HeldView
from cryonet.explain.scored import scored_mask
from cryonet.explain.without import WithoutFamilies, how_hidden
from cryonet.grid import Window, geobox_of
from cryonet.passport import split_codes
from cryonet.predict import predict_scene
from cryonet.progress import Cancelled
from cryonet.scene import open_scene

DEMO = Path(__file__).resolve().parents[2] / "data" / "demo"
WINDOW = Window(20, 30, 41, 52)


def holed_scene(**arrays):
    scene = full_scene()
    scene["red"][30:34, 40:47] = np.nan
    scene["phase"][25:29, 60:70] = np.nan
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 3, (90, 110)).astype(np.uint8)
    labels[:, :35] = 255
    return scene.assign(labels=(("y", "x"), labels), **arrays)


@pytest.mark.parametrize("window", [None, WINDOW])
@pytest.mark.parametrize("flips", [False, True])
def test_without_hiding_it_is_the_plain_prediction(window, flips):
    bundle, scene = mixing_bundle(), holed_scene()
    found = WithoutFamilies(bundle, scene, window, device="cpu", flips=flips).predict()
    plain = predict_scene(bundle, scene, device="cpu", window=window, flips=flips)
    np.testing.assert_allclose(
        found.prediction["probabilities"].values, plain["probabilities"].values, atol=2e-6
    )
    np.testing.assert_array_equal(found.prediction["classes"].values, plain["classes"].values)
    assert geobox_of(found.prediction) == geobox_of(plain)
    assert found.hidden == () and found.how == {} and found.change.pixels == 0
    assert (found.change.codes == 255).all() and found.change.area_km2 == 0


def test_of_the_demo_it_is_the_plain_prediction_too():
    bundle, scene = load_bundle(DEMO / "bundle"), open_scene(DEMO / "scene")
    window = Window(60, 40, 150, 130)
    found = WithoutFamilies(bundle, scene, window, device="cpu").predict().prediction
    plain = predict_scene(bundle, scene, device="cpu", window=window)
    np.testing.assert_allclose(
        found["probabilities"].values, plain["probabilities"].values, atol=1e-5
    )


@pytest.mark.parametrize(
    "hide", [{"terrain"}, {"coherence", "phase"}, {"optical", "terrain", "coherence", "phase"}]
)
def test_hidden_families_are_zeros_to_the_network(hide):
    """Hiding all of them leaves the same map everywhere but at holes."""
    bundle, scene = mixing_bundle(), holed_scene()
    found = WithoutFamilies(bundle, scene, WINDOW, device="cpu").predict(hide)
    wanted = shares(zeroed(bundle, hide), scene, window=WINDOW)
    np.testing.assert_allclose(found.prediction["probabilities"].values, wanted, atol=2e-6)
    assert set(found.hidden) == hide
    assert np.isnan(wanted).any()


def test_the_change_counts_pixels_by_class_and_area():
    bundle, scene = mixing_bundle(), holed_scene()
    without = WithoutFamilies(bundle, scene, WINDOW, device="cpu")
    found = without.predict({"optical"})
    before = without.predict().prediction["classes"].values
    after = found.prediction["classes"].values
    change = found.change
    assert change.pixels == (before != after).sum() > 0
    for was in range(3):
        for now in range(3):
            assert change.moves[was, now] == ((before == was) & (after == now)).sum()
    np.testing.assert_array_equal(change.codes[before != after], after[before != after])
    assert (change.codes[before == after] == 255).all()
    assert change.area_km2 == pytest.approx(change.pixels * 1e-4)
    assert change.share == pytest.approx(change.pixels / (after != 255).sum())
    assert change.areas_km2["debris"] == pytest.approx(
        ((before == 2).sum() * 1e-4, (after == 2).sum() * 1e-4)
    )


def test_scores_are_those_of_the_labels_in_the_view():
    bundle, scene = mixing_bundle(), holed_scene()
    found = WithoutFamilies(bundle, scene, WINDOW, device="cpu").predict({"terrain"})
    codes, labels = (v[...] for v in (found.prediction["classes"].values, scene["labels"].values))
    wanted = score(
        codes,
        labels[WINDOW.slices],
        geobox_of(found.prediction),
        classes=bundle.manifest.classes,
    )
    assert found.scores is not None and found.scored == "all"
    np.testing.assert_array_equal(found.scores.confusion, wanted.confusion)
    bare = WithoutFamilies(bundle, full_scene(), WINDOW, device="cpu").predict()
    assert bare.scores is None and bare.scored == "none"


def test_of_a_training_scene_only_test_pixels_count():
    scene = holed_scene()
    record = {"id": "s", "sha256": "0" * 64, "synthetic": True}
    training = {"split": {"block": 16, "gap": 4, "validation_block": 8, "validation_gap": 2}}
    manifest = mixing_bundle().manifest
    manifest = type(manifest).model_validate(
        manifest.model_dump()
        | {"training": manifest.training.model_dump() | {"scenes": (record,), "config": training}}
    )
    split, mask = scored_mask(manifest, scene, Window(0, 0, 90, 110))
    codes = split_codes(manifest.training.model_dump(mode="json"), "s", (90, 110))
    assert split == "test" and 0 < mask.sum() < (codes >= 0).sum()
    np.testing.assert_array_equal(mask, (codes == SPLITS["test"]) & (scene["labels"].values < 3))
    rows, cols = np.nonzero((codes == SPLITS["train"]) & (scene["labels"].values < 3))
    split, mask = scored_mask(manifest, scene, Window(int(rows[0]), int(cols[0]), 1, 1))
    assert split == "seen" and mask.all()


def test_it_says_what_training_left_out():
    manifest = mixing_bundle().manifest
    assert how_hidden(manifest, {"terrain"}) == {"terrain": "trained without"}
    assert how_hidden(manifest, {"phase"}) == {"phase": "training mean"}
    both = how_hidden(manifest, {"phase", "coherence", "optical"})
    assert both == {
        "optical": "training mean", "coherence": "trained without", "phase": "trained without",
    }  # fmt: skip
    assert how_hidden(mixing_bundle(groups=()).manifest, {"terrain"}) == {
        "terrain": "training mean"
    }
    # A scene that lacks phase has lost the pair with coherence, as in training.
    bare = full_scene().drop_vars("phase")
    found = WithoutFamilies(mixing_bundle(), bare, WINDOW, device="cpu").predict({"coherence"})
    assert found.summary == "coherence (trained without)"


def test_results_are_kept_but_not_all():
    bundle = mixing_bundle()
    calls = []
    bundle.module.register_forward_hook(lambda *_: calls.append(1))
    without = WithoutFamilies(bundle, full_scene(), WINDOW, device="cpu", keep=2)
    first = without.predict({"optical"})
    done = len(calls)
    assert without.predict(["optical", "optical"]) is first
    assert without.predict() is without.predict(())
    assert len(calls) == done
    without.predict({"terrain"})
    without.predict({"phase"})
    done = len(calls)
    assert without.predict({"optical"}) is not first
    assert len(calls) > done


def test_inputs_are_computed_once(monkeypatch):
    without = WithoutFamilies(mixing_bundle(), full_scene(), WINDOW, device="cpu")
    held = without.view.image.copy()
    monkeypatch.setattr("cryonet.scene_inputs.SceneInputs.__getitem__", None)
    without.predict({"optical"})
    np.testing.assert_array_equal(without.view.image, held)
    with pytest.raises(ValueError, match="read-only"):
        without.view.image[:] = 0


def test_it_can_be_stopped():
    class Stop:
        def step(self, done, total, message=""):
            raise Cancelled

    without = WithoutFamilies(mixing_bundle(), full_scene(), WINDOW, device="cpu")
    with pytest.raises(Cancelled):
        without.predict({"optical"}, progress=Stop())
    assert without.predict({"optical"}).hidden == ("optical",)


def test_what_cannot_be_is_refused():
    bundle = mixing_bundle()
    without = WithoutFamilies(bundle, full_scene(), WINDOW, device="cpu")
    with pytest.raises(ConfigError, match=r"no such family: texture\. The model has optical"):
        without.predict({"texture"})
    with pytest.raises(ConfigError, match=r"negative: -1\. Give 0"):
        WithoutFamilies(bundle, full_scene(), keep=-1)
    with pytest.raises(CryonetError, match="another shape than the view"):
        without.view.predict(np.zeros((7, 3, 3), np.float32))
    with pytest.raises(SceneError, match=r"no pixel of the view has a label: s\."):
        HeldView(bundle, full_scene(), WINDOW, device="cpu").labels()
    assert torch.is_inference_mode_enabled() is False
