"""Ensembles: the mean of their members, disagreement by a plain formula, honest splits."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from test_bundle import bundle  # noqa: F401 - a fixture
from test_calibrate import GOOD
from test_predict import make_bundle, make_scene
from typer.testing import CliRunner

from cryonet.bundle import save_bundle
from cryonet.cli import app
from cryonet.config import SplitConfig
from cryonet.ensemble import predict_ensemble
from cryonet.errors import BundleError, CryonetError
from cryonet.evaluate import score_prediction
from cryonet.passport import split_mask
from cryonet.predict import predict_scene
from cryonet.prediction import open_prediction, read_passport, write_prediction
from cryonet.scene_writer import write_scene


def member(number, *, layers=("red", "nir", "green"), temperature=None, **changes):
    """A bundle whose network mixes the layers at the pixel and round it, by its number."""
    made = make_bundle(layers=layers, **changes)
    torch.manual_seed(number)
    module = torch.nn.Conv2d(len(layers), len(made.manifest.classes), 3, padding=1).eval()
    torch.nn.init.normal_(module.weight, std=2)
    about = {"weights_sha256": f"{number:02d}", "title": f"m{number}"}
    if temperature:
        about["calibration"] = GOOD.model_copy(update={"temperature": temperature})
    return replace(made, module=module, manifest=made.manifest.model_copy(update=about))


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_model_with_itself_is_that_model_and_agrees(count, flips):
    scene, one = make_scene(), member(1, temperature=2.5)
    alone = predict_scene(one, scene, device="cpu", flips=flips)
    found = predict_ensemble([one] * count, scene, device="cpu", flips=flips)
    for name in ("classes", "probabilities", "confidence"):
        np.testing.assert_allclose(found[name].values, alone[name].values, atol=1e-6)
    np.testing.assert_allclose(found["disagreement"].values, 0, atol=1e-6)
    assert found.odc.geobox == alone.odc.geobox


def test_it_is_the_mean_of_what_each_says_at_its_own_temperature():
    """Disagreement against scipy's relative entropy: the mean of that to the mean."""
    scene = make_scene()
    scene["nir"].values[5:9, 5:9] = np.nan
    scene["green"].values[50:60, 5:9] = np.nan
    members = [member(1, temperature=3.0), member(2, layers=("red", "nir")), member(3)]
    each = [predict_scene(m, scene, device="cpu")["probabilities"].values for m in members]
    found = predict_ensemble(members, scene, device="cpu")
    mean = np.mean(np.float64(each), axis=0)
    np.testing.assert_allclose(found["probabilities"].values, mean, atol=1e-6)
    apart = np.mean([entropy(np.float64(p), mean, base=3, axis=0) for p in each], axis=0)
    np.testing.assert_allclose(found["disagreement"].values, apart, atol=1e-6)
    known = np.isfinite(apart)
    assert (found["classes"].values[known] == mean.argmax(axis=0)[known]).all()
    assert apart[known].max() > 0.3
    np.testing.assert_array_equal(found["classes"].values == 255, ~known)
    assert (~known).sum() == 4 * 4 + 10 * 4
    raw = predict_ensemble(members, scene, device="cpu", calibrated=False)
    assert [m["temperature"] for m in found.attrs["members"]] == [3.0, 1.0, 1.0]
    assert [m["weights_sha256"] for m in found.attrs["members"]] == ["01", "02", "03"]
    assert np.abs(raw["probabilities"].values - found["probabilities"].values)[:, known].max() > 0.1


def test_the_order_of_members_does_not_matter():
    scene = make_scene(60, 50)
    members = [member(n) for n in (1, 2, 3)]
    first, *rest = (predict_ensemble(order, scene, device="cpu") for order in permutations(members))
    for found in rest:
        for name in ("classes", "probabilities", "confidence", "disagreement"):
            np.testing.assert_allclose(found[name].values, first[name].values, atol=1e-7)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (member(2, classes=2), "classes"),
        (member(2, tile=96), "window"),
        (member(2, overlap=0.5), "overlap"),
    ],
)
def test_members_that_do_not_fit_are_refused(other, named):
    with pytest.raises(BundleError, match=f"differ in {named}"):
        predict_ensemble([member(1), other], make_scene(), device="cpu")
    with pytest.raises(BundleError, match="no member"):
        predict_ensemble([], make_scene(), device="cpu")


def test_one_overlap_for_all_replaces_their_own():
    found = predict_ensemble(
        [member(1), member(2, overlap=0.5)], make_scene(), device="cpu", overlap=0.1
    )
    assert found.attrs["overlap"] == 0.1


def test_progress_counts_all_members():
    class Seen:
        def __init__(self):
            self.steps = []

        def step(self, done, total, message=""):
            self.steps.append((done, total, message))

    seen = Seen()
    predict_ensemble([member(1), member(2)], make_scene(), device="cpu", progress=seen)
    dones = [done for done, _, _ in seen.steps]
    assert dones == sorted(dones)
    assert {total for _, total, _ in seen.steps} == {dones[-1]}
    assert "model 2 of 2" in seen.steps[-1][2]


def test_disagreement_travels(tmp_path):
    found = predict_ensemble([member(1), member(2)], make_scene(), device="cpu")
    back = open_prediction(write_prediction(found, tmp_path / "p", passport={}))
    np.testing.assert_allclose(
        back["disagreement"].values, found["disagreement"].values, atol=0.0021
    )
    alone = write_prediction(
        predict_scene(member(1), make_scene(), device="cpu"), tmp_path / "q", passport={}
    )
    assert "disagreement" not in open_prediction(alone)
    assert not (alone / "disagreement.tif").exists()


def test_the_command_averages_bundles_and_links_to_them_all(bundle, blobs, tmp_path):  # noqa: F811
    from stac_rules import broken_rules, check_core

    state = {name: value.clone() for name, value in bundle.module.state_dict().items()}
    folders = [save_bundle(bundle, tmp_path / "one"), save_bundle(bundle, tmp_path / "two")]
    scene = write_scene(blobs, tmp_path / "scene")
    args = ["predict", folders[0], scene, tmp_path / "map", "--with", folders[1], "--device", "cpu"]
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code == 0, result.output
    passport = read_passport(tmp_path / "map")
    digest = bundle.manifest.weights_sha256
    assert [m["weights_sha256"] for m in passport["members"]] == [digest] * 2
    assert [m["weights_sha256"] for m in passport["prediction"]["members"]] == [digest] * 2
    item = json.loads((tmp_path / "map" / "prediction.json").read_text())
    ends = {x["title"]: x["href"] for x in item["links"] if x["rel"] == "derived_from"}
    assert list(ends) == ["scene", "model 1", "model 2"]
    assert [ends[f"model {n}"] for n in (1, 2)] == ["../one/item.json", "../two/item.json"]
    assert item["assets"]["disagreement"]["bands"][0]["name"] == "disagreement"
    check_core(item)
    assert broken_rules(item) == []
    # It is scored as any other, on the pixels of a split too.
    args = ["evaluate", tmp_path / "map", scene, "--split", "validation"]
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code == 0, result.output
    alone = predict_scene(bundle, blobs, device="cpu")
    mask = split_mask(passport, "validation", (160, 192))
    ours = score_prediction(open_prediction(tmp_path / "map"), blobs["labels"].values, mask=mask)
    theirs = score_prediction(alone, blobs["labels"].values, mask=mask)
    np.testing.assert_array_equal(ours.confusion, theirs.confusion)
    assert all(torch.equal(state[k], v) for k, v in bundle.module.state_dict().items())


def _training(seed, ids, **split):
    return {"scenes": [{"id": i} for i in ids], "seed": seed,
            "config": {"split": SplitConfig(**split).model_dump()}}  # fmt: skip


def test_a_split_of_an_ensemble_is_that_of_all_its_members():
    drawn = {"test": "blocks", "block": 16, "gap": 0, "test_share": 0.5}
    models = [
        {"training": _training(seed, ids, **drawn)}
        for seed, ids in ((0, ["s"]), (1, ["a", "s"]), (2, ["a"]))
    ]
    shape = (128, 128)
    alone = [split_mask({"scene": {"id": "s"}, "bundle": m}, "test", shape) for m in models[:2]]
    found = split_mask({"scene": {"id": "s"}, "members": models}, "test", shape)
    np.testing.assert_array_equal(found, alone[0] & alone[1])
    assert 0 < found.sum() < alone[0].sum()
    with pytest.raises(CryonetError, match="not trained on this scene"):
        split_mask({"scene": {"id": "x"}, "members": models}, "test", shape)
    sides = [{"training": _training(0, ["s"], test=side, gap=0)} for side in ("west", "east")]
    with pytest.raises(CryonetError, match="no pixel is test"):
        split_mask({"scene": {"id": "s"}, "members": sides}, "test", (256, 256))
