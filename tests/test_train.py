"""Training: it learns, repeats itself to the byte, and stops cleanly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cryonet.batches import draw_batch
from cryonet.bundle import load_bundle, save_bundle, weights_bytes
from cryonet.chips import TEST, TRAIN, VALIDATION
from cryonet.config import AugmentConfig, ModelConfig, SplitConfig, TrainConfig
from cryonet.errors import ConfigError, SceneError
from cryonet.learner import learning_rate_factor
from cryonet.losses import LOSSES
from cryonet.models import MODELS, build_model, parameter_count
from cryonet.predict import predict_scene
from cryonet.progress import Cancelled
from cryonet.train import _Best, _keep, train, validate
from cryonet.trainset import make_trainset


def _config(**changes) -> TrainConfig:
    settings = {
        "scenes": ("blobs",),
        "out": "bundle",
        "classes": ("other", "clean_ice", "debris"),
        "features": {"stack": ("red", "nir", "elevation", "aspect_sin", "aspect_cos")},
        "split": SplitConfig(test="east", block=32, gap=4, validation_share=0.2),
        "model": ModelConfig(
            encoder="tu-mobilenetv3_small_100", decoder_channels=(32, 32, 16, 16, 16)
        ),
        "chip": 32,
        "stride": 16,
        "batch": 4,
        "epochs": 2,
        "steps_per_epoch": 12,
        "learning_rate": 3e-3,
        "tile": 64,
        "weight_average": 0.8,
        "accelerator": "cpu",
        "threads": 1,
        **changes,
    }
    return TrainConfig.model_validate(settings)


@pytest.fixture(scope="module")
def trained(blobs):
    figures: list[tuple[int, dict[str, float]]] = []
    bundle = train([blobs], _config(), log=lambda epoch, row: figures.append((epoch, row)))
    return bundle, figures


def test_it_learns_and_keeps_the_best_epoch(trained):
    bundle, figures = trained
    scores = [row["macro_iou"] for _, row in figures]
    assert bundle.manifest.training.epoch == 1 + int(np.argmax(scores))
    assert bundle.manifest.training.metrics["validation"]["macro_iou"] == max(scores)
    assert max(scores) > 0.5
    assert figures[-1][1]["loss"] < figures[0][1]["loss"]


def test_a_worse_epoch_does_not_replace_a_better_one():
    best, module = _Best(), torch.nn.Linear(1, 1)
    for epoch, score in enumerate((0.5, 0.7, 0.6, float("nan")), start=1):
        torch.nn.init.constant_(module.weight, epoch)
        _keep(best, epoch, {"macro_iou": score}, module)
    assert (best.epoch, best.score, best.metrics) == (2, 0.7, {"macro_iou": 0.7})
    assert best.state["weight"].item() == 2


def test_of_equal_epochs_the_later_is_kept_but_a_start_stays():
    module = torch.nn.Linear(1, 1)
    best, started = _Best(), _Best()
    for epoch, score in enumerate((0.2, 1.0, 1.0, 0.9), start=1):
        _keep(best, epoch, {"macro_iou": score}, module)
    for epoch in range(3):
        _keep(started, epoch, {"macro_iou": 1.0}, module)
    assert (best.epoch, started.epoch) == (3, 0)


def test_validation_counts_validation_pixels_only(trained, blobs):
    bundle, _ = trained
    config = _config()
    data = make_trainset([blobs], config)
    (scene,) = data.scenes
    figures = validate(bundle.module, data, config, device=torch.device("cpu"))
    for inside, same in ((False, True), (True, False)):
        where = (scene.splits == VALIDATION) == inside
        wrong = np.where(where, (scene.labels + 1) % 3, scene.labels).astype(np.uint8)
        other = replace(data, scenes=(replace(scene, labels=wrong),))
        found = validate(bundle.module, other, config, device=torch.device("cpu"))
        assert (found == figures) == same


def test_same_seed_same_bytes(trained, blobs):
    """T15: weights and prediction, on one CPU."""
    bundle, _ = trained
    again = train([blobs], _config())
    assert weights_bytes(again.module) == weights_bytes(bundle.module)
    assert again.manifest.weights_sha256 == bundle.manifest.weights_sha256
    one, two = (predict_scene(b, blobs, device="cpu") for b in (bundle, again))
    np.testing.assert_array_equal(one["probabilities"].values, two["probabilities"].values)
    other = train([blobs], _config(seed=1, epochs=1, steps_per_epoch=2))
    assert other.manifest.weights_sha256 != bundle.manifest.weights_sha256


#: Every architecture, its encoder and its decoder's widths, small.
TINY = {
    "cryonet": ("tu-mobilenetv3_small_100", (16, 16, 16, 16, 16)),
    "unet": ("resnet18", (8, 8, 8, 8, 8)),
    "deeplabv3plus": ("efficientnet-b0", (16,)),
    "segformer": ("mit_b0", (16,)),
}


@pytest.mark.parametrize("architecture", MODELS)
def test_every_architecture_trains_repeatably_and_travels(architecture, blobs, tmp_path):
    """Whatever torch's generator holds: dropout and stochastic depth hang on the seed too."""
    encoder, widths = TINY[architecture]
    model = {"architecture": architecture, "encoder": encoder, "decoder_channels": widths}
    config = _config(model=model, batch=2, epochs=1, steps_per_epoch=1, loss="distance_head")
    one = train([blobs], config)
    torch.manual_seed(123)
    expected = torch.rand(2)
    torch.manual_seed(123)
    two = train([blobs], config)
    assert torch.equal(torch.rand(2), expected)
    assert one.manifest.weights_sha256 == two.manifest.weights_sha256
    start = build_model(config.model, layers=5, classes=4, seed=config.seed)
    before, after = start.state_dict(), one.module.state_dict()
    moved = [not torch.equal(before[n][: len(t)], t) for n, t in after.items() if t.ndim > 1]
    assert sum(moved) > 0.9 * len(moved)
    loaded = load_bundle(save_bundle(one, tmp_path / "bundle"))
    assert loaded.manifest == one.manifest
    assert loaded.manifest.model.decoder_channels == widths
    image = torch.randn(1, 5, 50, 64)
    with torch.inference_mode():
        found = loaded.module(image)
        assert torch.equal(found, one.module(image))
    assert found.shape == (1, 3, 50, 64)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains(loss, blobs):
    rows = []
    config = _config(loss=loss, steps_per_epoch=8)
    bundle = train([blobs], config, log=lambda epoch, row: rows.append(row))
    assert rows[1]["loss"] < rows[0]["loss"]
    assert bundle.manifest.training.config["loss"] == loss
    assert bundle.manifest.parameters == parameter_count(
        build_model(config.model, layers=5, classes=3)
    )


class _StopAt:
    def __init__(self, step: int, kind: type[BaseException]) -> None:
        self.at, self.kind = step, kind

    def step(self, done: int, total: int, message: str = "") -> None:
        if done >= self.at:
            raise self.kind


@pytest.mark.parametrize("kind", [Cancelled, KeyboardInterrupt])
def test_stopping_keeps_the_best_so_far(blobs, kind):
    config = _config(steps_per_epoch=3)
    kept = []
    bundle = train([blobs], config, on_best=kept.append, progress=_StopAt(4, kind))
    assert bundle.manifest.training.interrupted
    assert bundle.manifest.training.epoch == 1
    assert weights_bytes(bundle.module) == weights_bytes(kept[0].module)


def test_stopping_in_the_first_epoch_gives_nothing(blobs):
    with pytest.raises(Cancelled):
        train([blobs], _config(), progress=_StopAt(1, KeyboardInterrupt))


def test_statistics_see_training_pixels_only(blobs):
    """What lies in test or validation areas changes nothing that is fitted."""
    config = _config()
    data = make_trainset([blobs], config)
    splits = data.scenes[0].splits
    changed = blobs.copy(deep=True)
    changed["red"].values[splits != TRAIN] += 5
    again = make_trainset([changed], config)
    assert again.statistics == data.statistics
    assert data.scenes[0].record.sha256 != again.scenes[0].record.sha256


def test_fits_see_training_pixels_only_and_travel_with_the_bundle(blobs):
    config = _config(features={"stack": ("red", "texture_contrast")}, steps_per_epoch=2)
    data = make_trainset([blobs], config)
    assert data.fits.texture is not None and data.fits.pca is None
    splits = data.scenes[0].splits
    assert data.fits.texture.pixels == (splits == TRAIN).sum()
    changed = blobs.copy(deep=True)
    changed["nir"].values[splits != TRAIN] += 0.5
    assert make_trainset([changed], config).fits == data.fits
    bundle = train([blobs], config)
    assert bundle.manifest.fits == data.fits
    whole = predict_scene(bundle, blobs, device="cpu")
    assert np.isfinite(whole["probabilities"].values).all()


def test_batches_never_show_test_pixels_nor_other_labels(blobs):
    config = _config(augment=AugmentConfig(zoom=0.5, gain=0, shift=0))
    data = make_trainset([blobs], config)
    (scene,) = data.scenes
    scene.inputs[:, scene.splits == TEST] = 99
    for batch in range(20):
        images, labels = draw_batch(data, config, range(8 * batch, 8 * batch + 8))
        assert images.max() < 50
        assert set(torch.unique(labels).tolist()) <= {0, 1, 2, 255}
        assert (labels != 255).any()


def test_holes_are_ignored_in_training(blobs):
    holed = blobs.copy(deep=True)
    holed["red"].values[40:60, 20:60] = np.nan
    data = make_trainset([holed], _config())
    assert not data.scenes[0].valid[45, 30]
    assert np.isfinite(data.scenes[0].inputs).all()


def test_learning_rate_warms_up_and_ends_near_zero():
    factors = [learning_rate_factor(step, 100, 0.1) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[9] == pytest.approx(1)
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0, abs=1e-9)


def test_what_does_not_fit_is_refused(blobs):
    with pytest.raises(SceneError, match="labels"):
        train([blobs.drop_vars("labels")], _config())
    with pytest.raises(ConfigError, match="debris"):
        train([blobs], _config(classes=("other", "clean_ice")))
    with pytest.raises(ConfigError, match="order"):
        train([blobs], _config(classes=("other", "debris")))
    with pytest.raises(ConfigError, match="id"):
        train([blobs, blobs], _config())
    with pytest.raises(ConfigError, match="layers"):
        bare = blobs.drop_vars("elevation").assign_attrs(id="bare")
        train([blobs, bare], _config(features={"stack": "full"}))
