"""Baselines: thresholds as the formula, pixels as chips are drawn, one path with networks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import torch
from icy_scene import icy
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import jaccard_score
from stac_rules import broken_rules
from typer.testing import CliRunner

from cryonet import baselines
from cryonet.baselines import best_thresholds, draw_pixels
from cryonet.bundle import Bundle, load_bundle, read_manifest, save_bundle, weights_bytes
from cryonet.calibrate import temper
from cryonet.chips import TEST, TRAIN
from cryonet.cli import app
from cryonet.config import SplitConfig, TrainConfig, parse_config
from cryonet.errors import BundleError, ConfigError
from cryonet.evaluate import score
from cryonet.grid import geobox_of
from cryonet.manifest import Manifest
from cryonet.model_config import ThresholdConfig
from cryonet.models import PIXEL_MODELS, build_model
from cryonet.models.forest import Forest
from cryonet.models.thresholds import Thresholds
from cryonet.normalise import normalise
from cryonet.predict import predict_scene
from cryonet.progress import Cancelled
from cryonet.scene_writer import write_scene
from cryonet.train import train
from cryonet.trainset import make_trainset

FOREST = {
    "architecture": "forest", "trees": 12, "leaves": 40, "leaf_pixels": 50, "samples": 3_000,
}  # fmt: skip
BANDS = ("red", "nir", "elevation", "aspect_sin", "aspect_cos")


def configured(model=FOREST, **changes) -> TrainConfig:
    """What a baseline of the blobs is trained with."""
    settings = {
        "scenes": ("blobs",),
        "out": "bundle",
        "classes": ("other", "clean_ice", "debris"),
        "features": {"stack": BANDS},
        "split": SplitConfig(test="east", block=32, gap=4, validation_share=0.2),
        "model": model,
        "chip": 32,
        "stride": 16,
        "tile": 64,
        "accelerator": "cpu",
        "threads": 1,
        **changes,
    }
    return TrainConfig.model_validate(settings)


def thresholds(ice=1.5, blue=0.1, water=0.4, classes=4) -> Thresholds:
    config = ThresholdConfig(architecture="threshold")
    module = Thresholds(config, 3 if classes > 3 else 2, classes)
    for name, value in (("ice", ice), ("blue", blue), ("water", water)):
        if hasattr(module, name):
            getattr(module, name).fill_(value)
    return module


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_the_thresholds_are_the_formula(classes):
    generator = np.random.default_rng(0)
    ratio, blue, ndwi = generator.uniform((0.5, 0, -1), (3, 0.3, 1), (20, 30, 3)).transpose(2, 0, 1)
    ratio[0, 0], blue[0, 0], ndwi[0, 0] = 1.5, np.float32(0.1), -1
    ndwi[0, 1] = np.float32(0.4)
    expected = np.where((ratio >= 1.5) & (blue >= np.float32(0.1)), 1, 0)
    if classes == 4:
        expected = np.where(ndwi >= np.float32(0.4), 3, expected)
    layers = np.stack([ratio, blue, ndwi][: 3 if classes == 4 else 2]).astype(np.float32)
    found = thresholds(classes=classes)(torch.from_numpy(layers[None])).softmax(dim=1)[0].numpy()
    np.testing.assert_array_equal(found.argmax(axis=0), expected)
    np.testing.assert_allclose(found.max(axis=0), 1)
    assert found.shape == (classes, 20, 30)
    assert set(np.unique(expected)) == ({0, 1, 3} if classes == 4 else {0, 1})


def test_thresholds_read_their_layers():
    config = ThresholdConfig(architecture="threshold", index="ndsi")
    assert config.layer_names(4) == ("ndsi", "blue", "ndwi")
    assert config.layer_names(3) == ("ndsi", "blue")
    with pytest.raises(ConfigError, match="ndsi, blue, ndwi"):
        build_model(config, layers=2, classes=4)


def test_the_best_thresholds_are_those_of_a_search_one_by_one(monkeypatch):
    monkeypatch.setattr(
        baselines,
        "GRIDS",
        {"band_ratio": np.linspace(1, 3, 9), "blue": np.linspace(0, 0.3, 7)},
    )
    generator = np.random.default_rng(4)
    values = generator.uniform((0.5, -0.05), (3.5, 0.35), (4_000, 2)).T
    # Half lie on thresholds themselves, which count as reached.
    values[:, ::2] = np.round(values[:, ::2] * 20) / 20
    truth = (values[0] > 1.7) & (values[1] > 0.12) ^ (generator.random(4_000) < 0.1)
    found = best_thresholds(values, truth, ["band_ratio", "blue"])
    scores = {
        (float(a), float(b)): jaccard_score(
            truth, (values[0].astype("f4") >= a) & (values[1].astype("f4") >= b)
        )
        for a in np.arange(1, 3.01, 0.25, np.float32)
        for b in np.linspace(0, 0.3, 7).astype(np.float32)
    }
    assert scores[found] == max(scores.values())
    assert found == (1.75, pytest.approx(0.15))


def test_pixels_are_drawn_as_chips_are(blobs):
    config = configured(split={"test": "east", "block": 32, "gap": 4})
    data = make_trainset([blobs], config)
    (scene,) = data.scenes
    # Each pixel's own chance: of the chips it is in, and of the pixels that share them.
    chance = np.zeros(scene.labels.shape)
    for chip, weight in zip(data.chips, data.weights, strict=True):
        mine = scene.splits[chip.window.slices] == TRAIN
        chance[chip.window.slices] += weight * mine / mine.sum()
    scene.inputs[0] = np.arange(chance.size).reshape(chance.shape)
    inputs, codes = draw_pixels(data, 50_000, generator=np.random.default_rng(0))
    assert inputs.shape == (50_000, 5) and inputs.dtype == np.float32
    drawn = inputs[:, 0].astype(int)
    np.testing.assert_array_equal(codes, scene.labels.ravel()[drawn])
    assert (scene.splits.ravel()[drawn] == TRAIN).all()
    expected = [chance[scene.labels == code].sum() for code in range(3)]
    np.testing.assert_allclose(np.bincount(codes, minlength=3) / 50_000, expected, atol=0.01)
    halves = np.bincount((drawn // chance.shape[1]) // 40, minlength=4) / 50_000
    np.testing.assert_allclose(
        halves, [chance[r : r + 40].sum() for r in (0, 40, 80, 120)], atol=0.01
    )


def test_pixels_without_label_or_layer_are_never_drawn(blobs):
    holed = blobs.copy(deep=True)
    holed["labels"].values[:80] = 255
    holed["red"].values[100:120, :60] = np.nan
    data = make_trainset([holed], configured())
    (scene,) = data.scenes
    scene.inputs[0] = np.arange(scene.labels.size).reshape(scene.labels.shape)
    inputs, codes = draw_pixels(data, 5_000, generator=np.random.default_rng(0))
    drawn = inputs[:, 0].astype(int)
    assert (codes < 3).all()
    assert scene.valid.ravel()[drawn].all()


@pytest.fixture(scope="module")
def forest_bundle(blobs) -> Bundle:
    return train([blobs], configured(seed=3))


def threshold_config(**changes):
    classes = ("other", "clean_ice", "debris", "lake")
    model = {"architecture": "threshold", **changes.pop("model", {})}
    return configured(model, classes=classes, features={"stack": "full"}, **changes)


@pytest.mark.parametrize("index", ["band_ratio", "ndsi"])
def test_thresholds_are_fitted_to_training_pixels(index):
    scene = icy()
    bundle = train([scene], threshold_config(model={"index": index}))
    manifest = bundle.manifest
    assert manifest.layer_names == (index, "blue", "ndwi")
    assert manifest.overlap == 0
    assert manifest.training.config["features"]["stack"] == [index, "blue", "ndwi"]
    codes = predict_scene(bundle, scene, device="cpu")["classes"].values
    labels = scene["labels"].values
    # All but debris, which is not mapped: to the ratio it is rock.
    np.testing.assert_array_equal(codes, np.where(labels == 2, 0, labels))
    told = manifest.training.metrics["thresholds"]
    assert told == {
        index: pytest.approx(float(bundle.module.ice)),
        "blue": pytest.approx(float(bundle.module.blue)),
        "ndwi": pytest.approx(float(bundle.module.water)),
    }
    # Above shade, and below lakes: ice is told apart outside them.
    assert 0.04 < told["blue"] < 0.1
    changed = scene.copy(deep=True)
    splits = make_trainset([scene], threshold_config()).scenes[0].splits
    changed["labels"].values[splits != TRAIN] = 1
    again = train([changed], threshold_config(model={"index": index}))
    assert weights_bytes(again.module) == weights_bytes(bundle.module)


def test_no_lake_to_learn_from_maps_no_lake_and_no_ice_is_refused():
    scene = icy()
    scene["labels"].values[scene["labels"].values == 3] = 0
    bundle = train([scene], threshold_config())
    assert 3 not in predict_scene(bundle, scene, device="cpu")["classes"].values
    scene["labels"].values[scene["labels"].values == 1] = 0
    with pytest.raises(ConfigError, match="clean ice"):
        train([scene], threshold_config())


def test_what_was_saved_comes_back(forest_bundle, blobs, tmp_path):
    folders = {
        "forest": save_bundle(forest_bundle, tmp_path / "forest"),
        "threshold": save_bundle(train([icy()], threshold_config()), tmp_path / "threshold"),
    }
    for (name, folder), scene in zip(folders.items(), (blobs, icy()), strict=True):
        files = {p.name for p in folder.iterdir()}
        assert files == {"weights.safetensors", "manifest.json", "CARD.md", "item.json"}
        found = load_bundle(folder)
        assert found.manifest.model.architecture == name
        again = train([scene], parse_config(_again(found.manifest)))
        one, two = (predict_scene(b, scene, device="cpu") for b in (found, again))
        np.testing.assert_array_equal(one["probabilities"].values, two["probabilities"].values)
        item = json.loads((folder / "item.json").read_text())
        assert broken_rules(item) == []
        told = item["properties"]
        assert told["mlm:architecture"].endswith("of single pixels")
        own = set(type(found.manifest.model).model_fields) - {"architecture"}
        shared = {"tile", "overlap", "resolution", "seed"}
        assert set(told["mlm:hyperparameters"]) == shared | own
        card = (folder / "CARD.md").read_text()
        assert "each pixel alone" in card
        # Both are said of networks only.
        assert "whole window" not in card and "epoch" not in card


def _again(manifest: Manifest) -> dict[str, object]:
    return {**manifest.training.config, "scenes": ["s"], "out": "o"}


def test_a_forest_with_tampered_tables_is_refused(forest_bundle, tmp_path):
    forest_bundle.module.left[0, 0], kept = 10**6, int(forest_bundle.module.left[0, 0])
    try:
        folder = _saved_as_it_is(forest_bundle, tmp_path / "b")
    finally:
        forest_bundle.module.left[0, 0] = kept
    with pytest.raises(BundleError, match="left, right cannot be used"):
        load_bundle(folder)


def test_a_forest_too_large_for_its_weights_is_refused_before_it_is_built(
    forest_bundle, tmp_path, monkeypatch
):
    folder = save_bundle(forest_bundle, tmp_path / "b")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["model"] |= {"trees": 1000, "leaves": 65_536}
    (folder / "manifest.json").write_text(json.dumps(manifest))

    class Unbuilt(Forest):
        def __init__(self, *args):
            super().__init__(*args)
            assert self.left.is_meta

    monkeypatch.setitem(PIXEL_MODELS, "forest", Unbuilt)
    with pytest.raises(BundleError, match="another shape"):
        load_bundle(folder)


def _saved_as_it_is(bundle, path):
    import hashlib

    digest = hashlib.sha256(weights_bytes(bundle.module)).hexdigest()
    manifest = bundle.manifest.model_copy(update={"weights_sha256": digest})
    return save_bundle(Bundle(bundle.module, manifest), path)


def test_holes_stay_holes_and_the_rest_is_as_scikit_learn_says(forest_bundle, blobs):
    holed = blobs.copy(deep=True)
    holes = np.random.default_rng(0).random(blobs["red"].shape) < 0.2
    holed["red"].values[holes] = np.nan
    found = predict_scene(forest_bundle, holed, device="cpu")
    layers = forest_bundle.manifest.layers
    data = make_trainset([blobs], parse_config(_again(forest_bundle.manifest)))
    np.testing.assert_array_equal(found["classes"].values == 255, holes | ~data.scenes[0].valid)
    assert tuple(s for s in data.statistics) == tuple(e.statistics for e in layers)
    inputs, codes = draw_pixels(data, 3_000, generator=np.random.default_rng([3, 1]))
    peer = RandomForestClassifier(12, max_leaf_nodes=40, min_samples_leaf=50, random_state=3)
    peer.fit(inputs, codes)
    expected = peer.predict_proba(data.scenes[0].inputs.reshape(5, -1).T).T.reshape(3, *holes.shape)
    known = found["classes"].values != 255
    shares = temper(expected, forest_bundle.manifest.temperature)
    np.testing.assert_allclose(found["probabilities"].values[:, known], shares[:, known], atol=2e-6)


def test_the_forest_learns_what_can_be_told(forest_bundle, blobs):
    test = make_trainset([blobs], configured()).scenes[0].splits == TEST
    codes = predict_scene(forest_bundle, blobs, device="cpu")["classes"].values
    found = score(
        codes, blobs["labels"].values, geobox_of(blobs),
        classes=forest_bundle.manifest.classes, mask=test,
    )  # fmt: skip
    assert found.macro_iou > 0.95
    validation = forest_bundle.manifest.training.metrics["validation"]["macro_iou"]
    assert validation is not None and validation > 0.95
    assert forest_bundle.manifest.calibration is not None


def test_the_seed_decides(forest_bundle, blobs):
    again = train([blobs], configured(seed=3))
    assert weights_bytes(again.module) == weights_bytes(forest_bundle.module)
    other = train([blobs], configured(seed=1))
    assert weights_bytes(other.module) != weights_bytes(forest_bundle.module)


def test_growing_can_be_stopped(blobs):
    seen = []

    class Stop:
        def step(self, done, total, message=""):
            seen.append((done, total))
            if done:
                raise Cancelled

    with pytest.raises(Cancelled):
        train([blobs], configured(), progress=Stop())
    assert seen == [(0, 12), (10, 12)]


TOML = """
scenes = ["scene"]
out = "bundle"
chip = 32
stride = 16
tile = 64
accelerator = "cpu"
[split]
test = "east"
block = 16
gap = 2
[model]
"""


@pytest.mark.parametrize(
    "model",
    [
        'architecture = "forest"\ntrees = 8\nleaves = 30\n'
        '[features]\nstack = ["red", "nir", "swir16", "blue"]\n',
        'architecture = "threshold"\n',
    ],
)
def test_from_a_configuration_to_scores(model, tmp_path):
    """The commands are those of a network."""
    write_scene(icy(), tmp_path / "scene")
    (tmp_path / "run.toml").write_text(TOML + model)
    out = tmp_path / "scores.json"
    for command in (
        ["train", tmp_path / "run.toml"],
        ["predict", tmp_path / "bundle", tmp_path / "scene", tmp_path / "map", "--device", "cpu"],
        ["evaluate", tmp_path / "map", tmp_path / "scene", "--split", "test", "--out", out],
    ):
        result = CliRunner().invoke(app, [str(part) for part in command])
        assert result.exit_code == 0, result.output
    assert read_manifest(tmp_path / "bundle").parameters == 0
    rows = {row["class"]: row for row in json.loads(out.read_text())["classes"]}
    assert rows["clean_ice"]["iou"] > 0.95 and rows["lake"]["iou"] > 0.95
    assert (rows["debris"]["iou"] > 0.2) == ("forest" in model)
    with rasterio.open(tmp_path / "map" / "classes.tif") as file:
        assert file.shape == (96, 128)


def test_layers_in_their_own_units_are_not_changed():
    stack = np.array([[[7.9, -0.1, 5e5]]], np.float32)
    np.testing.assert_array_equal(normalise(stack, [baselines._PLAIN])[0], stack)
