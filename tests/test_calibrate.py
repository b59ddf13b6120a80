"""Calibration: known temperatures come back, classes stay, errors by a plain loop."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from test_bundle import bundle  # noqa: F401 - a fixture
from test_predict import make_bundle, make_scene
from test_train import _config

from conftest import grid
from cryonet.bundle import Bundle, load_bundle, save_bundle
from cryonet.calibrate import (
    COLDEST,
    HOTTEST,
    calibrate,
    classwise_ece,
    fit_temperature,
    negative_log_likelihood,
    pooled,
    reliability,
    temper,
    top_label,
)
from cryonet.chips import TEST, VALIDATION
from cryonet.errors import BundleError, CryonetError
from cryonet.evaluate import score_prediction, score_probabilities
from cryonet.manifest import Calibration
from cryonet.map_strips import as_prediction
from cryonet.predict import predict_scene
from cryonet.trainset import make_trainset
from cryonet.validation import calibrate_on_validation

GOOD = Calibration(
    temperature=2.5, split="validation", pixels=10, bins=15, nll_before=2, nll_after=1,
    ece_before=0.3, ece_after=0.1, classwise_ece_before=0.2, classwise_ece_after=0.1,
)  # fmt: skip


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=0))
    return powers / powers.sum(axis=0)


def draws(pixels, *, classes=4, seed=0):
    """Logits ``(class, pixel)`` and labels drawn from their own softmax."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (classes, pixels))
    steps = softmax(logits).cumsum(axis=0)
    return logits, (generator.random(pixels) > steps[:-1]).sum(axis=0).astype(np.uint8)


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_a_known_temperature_comes_back(factor):
    logits, labels = draws(40_000)
    found = fit_temperature(softmax(factor * logits), labels)
    # The logits' own temperature is 1 within sampling error; what was put in is put in whole.
    assert found == pytest.approx(factor, rel=0.03)
    assert found / fit_temperature(softmax(logits), labels) == pytest.approx(factor, rel=1e-4)


def test_nothing_near_has_a_lower_likelihood():
    logits, labels = draws(2_000, seed=3)
    shares = softmax(1.7 * logits).astype(np.float32)
    best = fit_temperature(shares, labels)

    def loss(temperature):
        powers = shares.astype(np.float64) ** (1 / temperature)
        own = (powers / powers.sum(axis=0))[labels, np.arange(len(labels))]
        return -np.log(own).mean()

    assert loss(best) < min(loss(best * 1.02), loss(best / 1.02))
    found = negative_log_likelihood(shares, labels, temperature=best)
    assert found == pytest.approx(loss(best), rel=1e-6)


def test_the_ends_are_kept_where_there_is_no_minimum():
    shares = np.array([[0.9, 0.1, 0.8], [0.1, 0.9, 0.2]])
    assert fit_temperature(shares, np.array([0, 1, 0])) == pytest.approx(COLDEST)
    assert fit_temperature(shares, np.array([1, 0, 1])) == pytest.approx(HOTTEST)
    with pytest.raises(CryonetError, match="nothing"):
        fit_temperature(shares[:, :0], np.array([], np.uint8))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_tempering_is_dividing_logits(temperature):
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 3, (4, 30, 20))
    shares = softmax(logits).astype(np.float32)
    found = temper(shares, temperature)
    np.testing.assert_allclose(found, softmax(logits / temperature), atol=2e-6)
    np.testing.assert_array_equal(found.argmax(axis=0), logits.argmax(axis=0))
    np.testing.assert_allclose(temper(found, 1 / temperature), shares, atol=2e-5)


def test_holes_stay_zeros_stay_finite_and_input_is_kept():
    shares = np.array([[1.0, np.nan, 0.5], [0.0, np.nan, 0.5]], np.float32)
    before = shares.copy()
    found = temper(shares, 7.0)
    np.testing.assert_array_equal(shares, before)
    assert np.isnan(found[:, 1]).all()
    assert np.isfinite(found[:, [0, 2]]).all()
    np.testing.assert_allclose(found[:, [0, 2]].sum(axis=0), 1, atol=1e-6)
    assert found[0, 0] > found[1, 0] > 0
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(CryonetError, match="temperature"):
            temper(shares, wrong)


def _plain_ece(confidence, right, bins):
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [i for i, c in enumerate(confidence) if low < c <= high or (number == c == 0)]
        if inside:
            gap = np.mean([right[i] for i in inside]) - np.mean([confidence[i] for i in inside])
            total += len(inside) / len(confidence) * abs(gap)
    return total


def test_the_error_is_that_of_a_plain_loop():
    logits, labels = draws(3_000, seed=5)
    shares = softmax(2 * logits)
    chosen = shares.argmax(axis=0)
    table = top_label(shares, labels, bins=12)
    assert table.ece == pytest.approx(_plain_ece(shares.max(axis=0), chosen == labels, 12))
    assert table.counts.sum() == 3_000
    by_class = [_plain_ece(shares[c], labels == c, 12) for c in range(4)]
    assert classwise_ece(shares, labels, bins=12) == pytest.approx(np.mean(by_class))
    assert table.ece > 0.05


def test_bins_hold_their_upper_end_and_empty_ones_nothing():
    table = reliability(np.array([0.0, 0.5, 0.500001, 1.0]), np.array([0, 1, 1, 1], bool), bins=2)
    np.testing.assert_array_equal(table.counts, [2, 2])
    table = reliability(np.array([0.9]), np.array([True]), bins=3)
    assert np.isnan(table.accuracy[:2]).all() and table.accuracy[2] == 1
    assert table.ece == pytest.approx(0.1)
    assert np.isnan(reliability(np.array([]), np.array([], bool)).ece)


def test_calibrated_draws_have_no_error_but_that_of_sampling():
    logits, labels = draws(200_000, seed=2)
    shares = softmax(logits)
    # The mean absolute error of a bin's share of right pixels is √(2 p (1 − p) / (π n)).
    table = top_label(shares, labels)
    counts = np.maximum(table.counts, 1)
    accuracy = np.nan_to_num(table.accuracy)
    noise = np.sqrt(2 * accuracy * (1 - accuracy) / (np.pi * counts))
    assert table.ece < 2 * (table.counts * noise).sum() / table.counts.sum() < 0.006
    assert classwise_ece(shares, labels) < 0.003


def test_calibration_takes_labelled_known_pixels_of_all_scenes():
    logits, labels = draws(6_000, seed=4)
    shares, codes = softmax(3 * logits).reshape(4, 60, 100), labels.reshape(60, 100).copy()
    codes[:10] = 255
    shares[:, 50:] = np.nan
    split = [shares[:, :30], shares[:, 30:]], [codes[:30], codes[30:]]
    found = calibrate(*split)
    assert found is not None and found.pixels == 4_000 and found.split == "validation"
    flat = shares[:, 10:50].reshape(4, -1), codes[10:50].ravel()
    assert found.temperature == pytest.approx(fit_temperature(*flat))
    after = temper(flat[0], found.temperature)
    assert found.ece_before == pytest.approx(top_label(*flat).ece)
    assert found.ece_after == pytest.approx(top_label(after, flat[1]).ece)
    assert found.nll_after == pytest.approx(negative_log_likelihood(after, flat[1]), rel=1e-5)
    assert found.ece_after < found.ece_before / 2
    assert calibrate([shares], [np.full((60, 100), 255)]) is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"temperature": 0}, "temperature"),
        ({"temperature": -1.5}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"split": "test"}, "split"),
        ({"pixels": 0}, "pixels"),
        ({"ece_before": 1.5}, "ece_before"),
        ({"nll_after": 3}, "log-likelihood"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_nonsense_is_refused(change, named):
    with pytest.raises(ValidationError, match=named):
        Calibration.model_validate({**GOOD.model_dump(), **change})


def calibrated(plain: Bundle, **changes) -> Bundle:
    return Bundle(plain.module, plain.manifest.model_copy(update={"calibration": GOOD, **changes}))


def test_prediction_applies_it_and_keeps_the_classes():
    scene = make_scene(100, 130)
    scene["red"].values[3:7, 9] = np.nan
    plain, other = (predict_scene(b, scene, device="cpu") for b in (
        make_bundle(), calibrated(make_bundle()),
    ))  # fmt: skip
    shares = np.stack([scene[n].values for n in ("red", "nir", "green")]) / GOOD.temperature
    np.testing.assert_allclose(
        other["probabilities"].values, np.where(np.isnan(shares).any(axis=0), np.nan,
        softmax(np.nan_to_num(shares))), atol=1e-6,
    )  # fmt: skip
    np.testing.assert_array_equal(other["classes"].values, plain["classes"].values)
    entropy = -(other["probabilities"] * np.log(other["probabilities"])).sum("class", skipna=False)
    np.testing.assert_allclose(other["confidence"], 1 - entropy / np.log(3), atol=1e-5)
    assert (plain.attrs["temperature"], other.attrs["temperature"]) == (1.0, 2.5)
    left = predict_scene(calibrated(make_bundle()), scene, device="cpu", calibrated=False)
    np.testing.assert_array_equal(left["probabilities"].values, plain["probabilities"].values)
    assert left.attrs["temperature"] == 1


def test_a_class_is_not_lost_to_rounding():
    close = np.array([[[0.5]], [[np.nextafter(np.float32(0.5), np.float32(1))]]], np.float32)
    found = as_prediction(close, grid(1, 1), ["other", "clean_ice"], temperature=90.0)
    assert found["probabilities"].values[0] == found["probabilities"].values[1]
    assert found["classes"].values.item() == 1


def test_a_bundle_keeps_it_on_disk_and_says_so(bundle, tmp_path):  # noqa: F811
    kept = save_bundle(calibrated(bundle), tmp_path / "b")
    assert load_bundle(kept).manifest.calibration == GOOD
    assert "temperature 2.500" in (kept / "CARD.md").read_text()


def test_bundles_of_the_first_format_load_and_predict_as_before(bundle, tmp_path):  # noqa: F811
    scene = make_scene(64, 64).drop_vars("green")
    plain = calibrated(bundle, calibration=None)
    old = save_bundle(plain, tmp_path / "old")
    text = json.loads((old / "manifest.json").read_text())
    (old / "manifest.json").write_text(json.dumps({**text, "format": "cryonet-bundle/1"}))
    found = predict_scene(load_bundle(old), scene, device="cpu")
    same = predict_scene(plain, scene, device="cpu")
    np.testing.assert_array_equal(found["probabilities"].values, same["probabilities"].values)
    assert "not calibrated" in (old / "CARD.md").read_text()
    text |= {"format": "cryonet-bundle/1", "calibration": GOOD.model_dump()}
    (old / "manifest.json").write_text(json.dumps(text))
    with pytest.raises(BundleError, match="no calibration"):
        load_bundle(old)


def test_training_calibrates_on_validation_pixels_only(bundle, blobs):  # noqa: F811
    found = bundle.manifest.calibration
    assert found is not None and found.nll_after <= found.nll_before
    config = _config(
        features={"stack": ("red", "nir")}, split=bundle.manifest.training.config["split"]
    )
    config = config.model_copy(update={"seed": bundle.manifest.training.seed})
    data = make_trainset([blobs], config)
    wanted = (data.scenes[0].splits == VALIDATION) & data.scenes[0].valid
    assert found.pixels == int(wanted.sum())
    whole = predict_scene(bundle, blobs, device="cpu", calibrated=False)["probabilities"].values
    labels = data.scenes[0].labels
    again = fit_temperature(whole[:, wanted], labels[wanted])
    assert found.temperature == pytest.approx(again, rel=1e-3)


def test_labels_of_other_splits_change_nothing(bundle, blobs):  # noqa: F811
    import torch

    config = _config(features={"stack": ("red", "nir")})
    device = torch.device("cpu")
    first = calibrate_on_validation(
        bundle.module, make_trainset([blobs], config), config, device=device
    )
    data = make_trainset([blobs], config)
    (scene,) = data.scenes
    assert (scene.splits == TEST).any()
    for labels, expected in (
        (np.where(scene.splits == VALIDATION, scene.labels, 0), first),
        (np.full_like(scene.labels, 255), None),
    ):
        other = replace(data, scenes=(replace(scene, labels=labels.astype(np.uint8)),))
        found = calibrate_on_validation(bundle.module, other, config, device=device)
        assert found == expected
    wrong = np.where(scene.splits == VALIDATION, (scene.labels + 1) % 3, scene.labels)
    other = replace(data, scenes=(replace(scene, labels=wrong.astype(np.uint8)),))
    assert calibrate_on_validation(bundle.module, other, config, device=device) != first


def test_scores_before_and_after_are_told_apart():
    logits, labels = draws(5_000, seed=6)
    raw, codes = softmax(3 * logits).astype(np.float32).reshape(4, 50, 100), labels.reshape(50, 100)
    mask = np.zeros(codes.shape, bool)
    mask[:20] = True
    before, after = score_probabilities(temper(raw, 3.0), codes, temperature=3.0, mask=mask)
    assert (before.temperature, after.temperature) == (1, 3)
    kept = raw[:, mask], codes[mask]
    assert before.table.ece == pytest.approx(top_label(*kept).ece, abs=1e-4)
    assert before.table.ece > 0.1 > 2 * after.table.ece
    assert before.table.counts.sum() == mask.sum()
    (only,) = score_probabilities(raw, codes)
    assert only.table.ece == pytest.approx(top_label(raw.reshape(4, -1), labels).ece)
    assert score_probabilities(raw, np.full(codes.shape, 255)) == ()
    prediction = as_prediction(raw, grid(50, 100), ["other", "clean_ice", "debris", "lake"])
    plain = score_prediction(prediction, codes, mask=mask).to_dict()
    assert plain["probabilities"][0]["temperature"] == 1
    assert sum(plain["probabilities"][0]["pixels"]) == mask.sum()
    assert json.dumps(plain, allow_nan=False)


def test_tables_of_parts_are_pooled_to_that_of_the_whole():
    generator = np.random.default_rng(4)
    share = generator.random(3000)
    right = generator.random(3000) < share**2
    whole = reliability(share, right)
    parts = [slice(0, 5), slice(5, 5), slice(5, 1200), slice(1200, 3000)]
    found = pooled([reliability(share[part], right[part]) for part in parts])
    np.testing.assert_array_equal(found.counts, whole.counts)
    np.testing.assert_allclose(found.confidence, whole.confidence)
    np.testing.assert_allclose(found.accuracy, whole.accuracy)
    assert found.ece == pytest.approx(whole.ece)
