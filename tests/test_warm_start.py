"""Starting from a bundle: the same outputs, what is refused, and statistics fitted anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from cryonet.bundle import Bundle, load_bundle, save_bundle
from cryonet.card import model_card
from cryonet.chips import GAP, TEST, TRAIN, VALIDATION
from cryonet.config import TrainConfig, load_config
from cryonet.errors import BundleError, ConfigError, CryonetError, GridError
from cryonet.metrics import confusion, macro_iou
from cryonet.models import build_model
from cryonet.passport import split_mask
from cryonet.predict import predict_scene
from cryonet.progress import Cancelled
from cryonet.scene_writer import write_scene
from cryonet.train import train
from cryonet.trainset import make_trainset
from cryonet.warm_start import load_start, with_statistics_of
from cryonet.workflows import run_training

LAYERS = ("red", "nir", "elevation", "texture_mean")


def settings(**changes: Any) -> TrainConfig:
    """Return a small run, long enough to tell the classes apart."""
    given = {
        "scenes": ("blobs",),
        "out": "bundle",
        "classes": ("other", "clean_ice", "debris"),
        "features": {"stack": LAYERS},
        "split": {"test": "east", "block": 32, "gap": 4, "validation_share": 0.2},
        "model": {
            "encoder": "tu-mobilenetv3_small_100",
            "decoder_channels": (16, 16, 16),
            "pixel_branch": 8,
        },
        "chip": 32,
        "stride": 16,
        "batch": 4,
        "epochs": 1,
        "steps_per_epoch": 30,
        "learning_rate": 1e-2,
        "tile": 64,
        "weight_average": 0.8,
        "accelerator": "cpu",
        "threads": 1,
        **changes,
    }
    return TrainConfig.model_validate(given)


@pytest.fixture(scope="module")
def source(blobs: xr.Dataset) -> Bundle:
    return train([blobs], settings())


@pytest.fixture(scope="module")
def target(blobs: xr.Dataset) -> xr.Dataset:
    """The same ground with other gains and offsets, as of another sensor or season."""
    changes = {
        "red": 0.5 * blobs["red"] + 0.2,
        "nir": 1.5 * blobs["nir"] - 0.1,
        "elevation": blobs["elevation"] - 3000,
    }
    changed = blobs.assign(
        {
            name: blobs[name].copy(data=values.astype("float32").values)
            for name, values in changes.items()
        }
    )
    return changed.assign_attrs(id="target")


class Stop:
    """Stops at the first step, before any weight has been kept by an epoch."""

    def step(self, done: int, total: int, message: str = "") -> None:
        raise Cancelled


def logits(bundle: Bundle) -> torch.Tensor:
    image = torch.randn(1, len(LAYERS), 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return bundle.module(image)


@pytest.mark.parametrize("loss", ["ce_dice", "distance_head"])
def test_it_begins_with_the_outputs_of_the_start(
    source: Bundle, blobs: xr.Dataset, loss: str
) -> None:
    made = train([blobs], settings(seed=5, loss=loss), start=source, progress=Stop())
    assert torch.equal(logits(made), logits(source))
    training = made.manifest.training
    assert (training.epoch, training.interrupted) == (0, True)
    assert training.start is not None
    assert training.start.weights_sha256 == source.manifest.weights_sha256
    assert training.start.scenes == source.manifest.training.scenes
    # The network that is trained, too, with the outputs that the loss adds.
    network = build_model(settings().model, layers=len(LAYERS), classes=4, seed=9)
    load_start(network, source)
    image = torch.randn(1, len(LAYERS), 64, 64)
    with torch.inference_mode():
        found, wanted = network.eval()(image)[:, :3], source.module(image)
    torch.testing.assert_close(found, wanted)


def test_fine_tuning_goes_on_from_there(source: Bundle, blobs: xr.Dataset) -> None:
    """Normalisation stays, layers keep the start's order, and no epoch below the start wins."""
    other = settings(features={"stack": LAYERS[::-1]}, steps_per_epoch=2, seed=3)
    made = train([blobs], other, start=source)
    assert made.manifest.layers == source.manifest.layers
    assert made.manifest.fits == source.manifest.fits
    harmful = settings(learning_rate=50.0, steps_per_epoch=3, weight_average=0)
    kept = train([blobs], harmful, start=source)
    assert kept.manifest.weights_sha256 == source.manifest.weights_sha256
    assert kept.manifest.training.epoch == 0
    assert "started from the bundle" in model_card(kept.manifest)


def test_what_does_not_fit_is_refused(source: Bundle, blobs: xr.Dataset) -> None:
    fewer = {**settings().model.model_dump(), "pixel_branch": 4}
    for changes, words in [
        ({"features": {"stack": ("red", "nir", "elevation")}}, "the layers are not those"),
        ({"features": {"stack": (*LAYERS, "slope")}}, "the layers are not those"),
        ({"model": fewer}, "the model is not that"),
        ({"classes": ("other", "clean_ice", "debris", "lake")}, "the classes are not those"),
        ({"pretrained": {"source": "ukis-csmask"}}, "there are two starts"),
    ]:
        with pytest.raises(ConfigError, match=words):
            train([blobs], settings(**changes), start=source)
    with pytest.raises(ConfigError, match="was not given"):
        train([blobs], settings(start={"bundle": "somewhere"}))
    coarse = blobs.assign_coords(x=blobs["x"] * 2, y=blobs["y"] * 2)
    with pytest.raises(GridError, match="another resolution"):
        train([coarse], settings(), start=source)


def codes_of(bundle: Bundle, scene: xr.Dataset) -> np.ndarray:
    return np.asarray(predict_scene(bundle, scene, device="cpu")["classes"].values)


def test_target_statistics_undo_an_affine_change(
    source: Bundle, blobs: xr.Dataset, target: xr.Dataset
) -> None:
    at_home = with_statistics_of(source, [blobs])
    scored = source.manifest.model_copy(update={"measured": "scores under other statistics"})
    adapted = with_statistics_of(Bundle(source.module, scored), [target])
    truth = blobs["labels"].values
    scores = [
        macro_iou(confusion(codes_of(bundle, scene), truth, 3))
        for bundle, scene in [(at_home, blobs), (source, target), (adapted, target)]
    ]
    assert scores[0] > 0.6 and scores[1] < scores[0] - 0.2
    assert scores[2] == pytest.approx(scores[0], abs=0.01)
    # The grey limits are the changed ones, to their step.
    home, away = at_home.manifest.fits.texture, adapted.manifest.fits.texture
    assert home and away
    assert away.low == pytest.approx(1.5 * home.low - 0.1, abs=3e-4)
    assert away.high == pytest.approx(1.5 * home.high - 0.1, abs=3e-4)
    assert adapted.manifest.weights_sha256 == source.manifest.weights_sha256
    assert adapted.manifest.calibration is None and adapted.manifest.measured is None
    assert [scene.id for scene in adapted.manifest.adapted_to] == ["target"]
    assert "fitted anew, without labels, to target" in model_card(adapted.manifest)


def test_statistics_see_no_label_and_no_masked_pixel(source: Bundle, target: xr.Dataset) -> None:
    mask = np.zeros(target["labels"].shape, bool)
    mask[:, :96] = True
    changed = target.copy(deep=True)
    changed["labels"].values[:] = 0
    # Texture looks three pixels round.
    for name in ("red", "nir", "elevation"):
        changed[name].values[:, 100:] = 0.7
    one, two = (with_statistics_of(source, [s], masks=[mask]) for s in (target, changed))
    assert one.manifest.layers == two.manifest.layers
    assert one.manifest.fits == two.manifest.fits
    whole = with_statistics_of(source, [target])
    assert whole.manifest.layers != one.manifest.layers


def test_the_configuration_chooses_the_statistics(
    source: Bundle, blobs: xr.Dataset, target: xr.Dataset
) -> None:
    kept = make_trainset([target], settings(), start=source)
    assert list(kept.statistics) == [entry.statistics for entry in source.manifest.layers]
    config = settings(start={"statistics": "scenes"})
    anew = make_trainset([target], config, start=source)
    unseen = [anew.scenes[0].splits != TEST]
    expected = with_statistics_of(source, [target], masks=unseen).manifest
    assert list(anew.statistics) == [entry.statistics for entry in expected.layers]
    assert anew.fits == expected.fits


def test_given_splits_are_used_and_their_test_never(source: Bundle, target: xr.Dataset) -> None:
    codes = np.full(target["labels"].shape, GAP, np.uint8)
    codes[:64, :64], codes[64:128, :64], codes[:, 96:] = TRAIN, VALIDATION, TEST
    config = settings(steps_per_epoch=2, start={"statistics": "scenes"})
    wrong = target.copy(deep=True)
    wrong["labels"].values[codes == TEST] = 0
    one, two = (train([s], config, start=source, splits=[codes]) for s in (target, wrong))
    assert one.manifest.training.metrics == two.manifest.training.metrics
    data = [make_trainset([s], config, start=source, splits=[codes]) for s in (target, wrong)]
    assert one.manifest.weights_sha256 == two.manifest.weights_sha256
    assert data[0].chips == data[1].chips and data[0].statistics == data[1].statistics
    learned = target.copy(deep=True)
    learned["labels"].values[codes == TRAIN] = 0
    three = make_trainset([learned], config, start=source, splits=[codes])
    assert three.chips != data[0].chips
    passport = {
        "scene": {"id": "target"},
        "bundle": {"training": one.manifest.training.model_dump()},
    }
    with pytest.raises(CryonetError, match="given as maps"):
        split_mask(passport, "test", codes.shape)
    with pytest.raises(ConfigError, match="do not fit the scenes"):
        train([target], config, splits=[codes[1:]])


TOML = """
scenes = ["scene"]
out = "tuned"
classes = ["other", "clean_ice", "debris"]
features = { stack = ["red", "nir", "elevation", "texture_mean"] }
split = { test = "east", block = 32, gap = 4 }
chip = 32
stride = 16
tile = 64
batch = 2
epochs = 1
steps_per_epoch = 1
accelerator = "cpu"
start = { bundle = "first", statistics = "scenes" }

[model]
encoder = "tu-mobilenetv3_small_100"
decoder_channels = [16, 16, 16]
pixel_branch = 8
"""


def test_a_user_fine_tunes_a_bundle_from_a_file(
    source: Bundle, target: xr.Dataset, tmp_path: Path
) -> None:
    write_scene(target.assign_attrs(synthetic=False), tmp_path / "scene")
    (tmp_path / "run.toml").write_text(TOML)
    config = load_config(tmp_path / "run.toml")
    with pytest.raises(BundleError, match="there is no bundle"):
        run_training(config)
    save_bundle(source, tmp_path / "first")
    manifest = load_bundle(run_training(config)).manifest
    start = manifest.training.start
    assert start is not None and start.statistics == "scenes"
    assert start.weights_sha256 == source.manifest.weights_sha256
    assert manifest.training.config["start"]["bundle"] == "first"
    assert manifest.layers != source.manifest.layers
    # The scene is not synthetic, what its weights learned from is.
    assert [scene.synthetic for scene in manifest.training.scenes] == [False]
    assert manifest.synthetic
    training = manifest.training.model_dump()
    passport = {"scene": {"id": "blobs"}, "bundle": {"training": training}}
    training["scenes"] = (*training["scenes"], {"id": "blobs"})
    with pytest.raises(CryonetError, match="start was trained on this scene"):
        split_mask(passport, "test", (160, 192))
