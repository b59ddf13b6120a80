"""The measured card: scores of the right pixels, families, failures, and an untouched bundle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import image as pictures
from sklearn.metrics import jaccard_score, precision_score, recall_score
from stac_rules import broken_rules, check_core
from test_bundle import bundle  # noqa: F401 - a fixture
from test_calibrate import GOOD
from test_missing_families import full_scene, mixing_bundle, zeroed
from test_train import _config
from typer.testing import CliRunner

from cryonet.bundle import Bundle, load_bundle, save_bundle, weights_bytes
from cryonet.calibrate import temper
from cryonet.card import model_card
from cryonet.card_workflow import card_pictures, run_card
from cryonet.chips import TEST, VALIDATION
from cryonet.cli import app
from cryonet.errors import BundleError, CryonetError, SceneError
from cryonet.evaluate import score_probabilities
from cryonet.failures import LEAST, find_failures
from cryonet.manifest import TrainingRecord
from cryonet.measured import Failure
from cryonet.measurement import (
    FAILURES,
    Measurement,
    measure,
    probabilities_where,
    scored_pixels,
    without_families,
)
from cryonet.plotting.failures import FailurePicture, plot_failures
from cryonet.predict import predict_scene
from cryonet.scene_record import scene_record
from cryonet.scene_writer import write_scene
from cryonet.trainset import make_trainset


def labelled_scene(seed=0, size=(90, 110), **attrs):
    scene = full_scene(*size, seed=seed)
    codes = np.random.default_rng(seed).integers(0, 4, size).astype(np.uint8)
    codes[:5] = 255
    scene["labels"] = scene["red"].copy(data=codes)
    scene["labels"].attrs = {}
    return scene.assign_attrs({"id": f"s{seed}", **attrs})


def calibrated(made, temperature=2.0):
    about = {"calibration": GOOD.model_copy(update={"temperature": temperature})}
    return replace(made, manifest=made.manifest.model_copy(update=about))


def test_scores_are_those_of_the_prediction():
    """Independent references: sklearn, and the scores of `cryonet evaluate`."""
    made = calibrated(mixing_bundle())
    scenes = [labelled_scene(1), labelled_scene(2, datetime="2020-08-31T05:00:00Z")]
    found = measure(made, scenes, device="cpu").record
    truths, codes, shares = [], [], []
    for scene, figures in zip(scenes, found.scenes, strict=True):
        raw = predict_scene(made, scene, device="cpu", calibrated=False)
        truth = scene["labels"].values
        counts = truth < 3
        truths.append(truth[counts])
        codes.append(raw["classes"].values[counts])
        shares.append(raw["probabilities"].values[:, counts])
        assert (figures.split, figures.pixels) == ("all", counts.sum())
        kinds = {"iou": jaccard_score, "precision": precision_score, "recall": recall_score}
        for key, function in kinds.items():
            wanted = function(truths[-1], codes[-1], average=None)
            assert [getattr(row, key) for row in figures.classes] == pytest.approx(list(wanted))
        assert [row.labelled for row in figures.classes] == list(np.bincount(truths[-1]))
    assert (found.scenes[0].datetime, found.scenes[1].datetime[:10]) == ("", "2020-08-31")
    pooled = jaccard_score(np.concatenate(truths), np.concatenate(codes), average=None)
    assert found.families[0].without == ()
    assert found.families[0].iou == pytest.approx(tuple(pooled))
    assert found.families[0].macro_iou == pytest.approx(pooled.mean())
    both = np.concatenate(shares, axis=1)
    wanted = score_probabilities(temper(both, 2.0), np.concatenate(truths), temperature=2.0)
    for row, reference in zip(found.probabilities, wanted, strict=True):
        assert row.temperature == reference.temperature
        assert row.ece == pytest.approx(reference.table.ece, abs=2e-4)
        assert row.classwise_ece == pytest.approx(reference.classwise_ece, abs=2e-4)


def test_each_family_is_scored_as_if_it_were_zero():
    made, scene = mixing_bundle(), labelled_scene()
    rows = {row.without: row for row in measure(made, [scene], device="cpu").record.families}
    single = (("optical",), ("coherence",), ("phase",), ("terrain",))
    assert list(rows) == [(), *single, ("coherence", "phase")]
    assert {gone for gone, row in rows.items() if row.optional} == {
        ("coherence", "phase"),
        ("terrain",),
    }
    truth = scene["labels"].values
    for gone, row in rows.items():
        codes = predict_scene(zeroed(made, gone), scene, device="cpu")["classes"].values
        wanted = jaccard_score(truth[truth < 3], codes[truth < 3], average=None)
        assert row.iou == pytest.approx(tuple(wanted))
    assert len({row.iou for row in rows.values()}) == len(rows)
    alone = mixing_bundle(groups=(), layers=("red", "nir"))
    assert without_families(alone.manifest) == ()


def test_probabilities_are_those_of_the_whole_where_they_are_wanted():
    made, scene = mixing_bundle(), labelled_scene()
    scene["red"].values[42, 45:50] = np.nan
    wanted = np.zeros((90, 110), bool)
    wanted[40:45, 30:60] = True
    whole = predict_scene(made, scene, device="cpu", calibrated=False)["probabilities"].values
    found = probabilities_where(made, scene, wanted, device="cpu")
    np.testing.assert_allclose(found[:, wanted], whole[:, wanted], atol=1e-6)
    assert np.isnan(found[:, ~wanted]).all() and np.isfinite(found).any()


def test_a_scene_that_lacks_an_optional_family_says_so():
    made, scene = mixing_bundle(), labelled_scene().drop_vars("phase")
    found = measure(made, [scene], device="cpu").record
    assert found.scenes[0].missing == ("coherence", "phase")
    rows = {row.without: row.iou for row in found.families}
    assert rows[()] == rows["coherence", "phase"] == rows[("phase",)]


# ---- which pixels


def trained_on(made, scene, **changes):
    """The bundle as if it had been trained on `scene` after the configuration of test_train."""
    config = _config(**changes)
    record = TrainingRecord.model_validate(
        {
            **made.manifest.training.model_dump(),
            "config": config.model_dump(mode="json", exclude={"scenes", "out"}),
            "scenes": [scene_record(scene).model_dump()],
        }
    )
    return replace(made, manifest=made.manifest.model_copy(update={"training": record}))


def test_only_pixels_off_the_training_are_scored(blobs):
    made = mixing_bundle(groups=(), layers=("red", "nir", "slope"))
    (own,) = make_trainset([blobs], _config()).scenes
    known = trained_on(made, blobs).manifest
    split, mask = scored_pixels(known, blobs)
    assert split == "test"
    np.testing.assert_array_equal(mask, own.splits == TEST)
    blind = blobs.copy(deep=True)
    blind["labels"].values[own.splits == TEST] = 255
    split, mask = scored_pixels(trained_on(made, blind).manifest, blind)
    assert split == "validation"
    np.testing.assert_array_equal(mask, own.splits == VALIDATION)
    blind["labels"].values[own.splits == VALIDATION] = 255
    with pytest.raises(SceneError, match="no pixel"):
        scored_pixels(trained_on(made, blind).manifest, blind)
    split, mask = scored_pixels(known, blobs.assign_attrs(id="other"))
    assert split == "all" and mask.all()
    with pytest.raises(SceneError, match="not the one the model was trained on"):
        scored_pixels(known, blind)
    with pytest.raises(SceneError, match="no labels"):
        scored_pixels(known, blobs.drop_vars("labels"))


def test_what_lies_off_the_scored_pixels_changes_no_score(blobs):
    made = mixing_bundle(groups=(), layers=("red", "nir", "slope"))
    first = measure(trained_on(made, blobs), [blobs], device="cpu").record
    (own,) = make_trainset([blobs], _config()).scenes
    other = blobs.copy(deep=True)
    other["labels"].values[own.splits != TEST] = 0
    again = measure(trained_on(made, other), [other], device="cpu").record
    for key in ("scenes", "probabilities", "families", "failures"):
        assert getattr(again, key) == getattr(first, key)
    with pytest.raises(SceneError, match="told apart"):
        measure(made, [blobs, blobs], device="cpu")


# ---- failures


def test_the_worst_blocks_by_a_plain_loop():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, (70, 90)).astype(np.uint8)
    codes = np.where(generator.random((70, 90)) < 0.6, labels, 2).astype(np.uint8)
    labels[:32, :32] = 255
    labels[:3, :3] = 1
    codes[32:64, 32:64] = labels[32:64, 32:64]
    found = find_failures(codes, labels, scene="s", classes=("a", "b", "c"), block=32)
    wanted = {}
    for row in range(0, 70, 32):
        for col in range(0, 90, 32):
            truth, said = (x[row : row + 32, col : col + 32].ravel() for x in (labels, codes))
            scored = truth < 3
            wrong = scored & (truth != said)
            if scored.sum() < LEAST * truth.size or not wrong.any():
                continue
            pairs = list(zip(truth[wrong].tolist(), said[wrong].tolist(), strict=True))
            pair = max(sorted(set(pairs)), key=pairs.count)
            wanted[row, col] = (scored.sum(), wrong.sum(), *pair, pairs.count(pair))
    names = {"a": 0, "b": 1, "c": 2}
    got = {
        (f.row, f.col): (f.pixels, f.wrong, names[f.labelled], names[f.mapped], f.confused)
        for f in found
    }
    assert got == wanted
    assert (0, 0) not in got and (32, 32) not in got
    order = [f.wrong / f.pixels for f in found]
    assert order == sorted(order, reverse=True)
    last = next(f for f in found if (f.row, f.col) == (64, 64))
    assert (last.height, last.width) == (6, 26)


def test_pictures_show_the_blocks_and_stay_small():
    """Noise does not compress; the map's colours are those of the classes."""
    generator = np.random.default_rng(1)
    side = 128
    rows = [
        FailurePicture(
            title=f"s\nrow {n}",
            picture=generator.random((side, side, 3), np.float32),
            picture_title="red, green, blue",
            labels=np.full((side, side), 3, np.uint8),
            classes=np.full((side, side), 2, np.uint8),
            confidence=generator.random((side, side), np.float32),
        )
        for n in range(FAILURES)
    ]
    scene = labelled_scene()
    found = measure(mixing_bundle(), [scene], device="cpu")
    drawn = card_pictures(
        Measurement(found.record, found.reliability, tuple(rows)),
        classes=("other", "clean_ice", "debris", "lake"),
    )
    assert sorted(drawn) == ["failures.png", "reliability.png"]
    assert sum(map(len, drawn.values())) < 300_000
    figure = plot_failures(rows, classes=("other", "debris", "lake"))
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["other ground", "debris-covered ice", "glacial lake", "no label, no map"]
    shown = [ax.images[0] for ax in figure.axes[:4]]
    for image, colour in zip(shown[1:3], ((0x0A, 0x3D, 0x91), (0xD5, 0x5E, 0x00)), strict=True):
        painted = image.to_rgba(image.get_array())[0, 0, :3]
        np.testing.assert_allclose(painted, np.array(colour) / 255, atol=1e-6)
    np.testing.assert_array_equal(shown[3].get_array(), rows[0].confidence)
    with pytest.raises(CryonetError, match="no block"):
        plot_failures([], classes=("other",))


def test_the_blocks_shown_are_those_of_the_scene():
    scenes = [labelled_scene(1), labelled_scene(2)]
    made = mixing_bundle()
    found = measure(made, scenes, device="cpu")
    assert len(found.failures) == FAILURES
    each = [row for s in scenes for row in measure(made, [s], device="cpu").record.failures]
    worst = sorted(each, key=lambda row: row.wrong / row.pixels, reverse=True)[:FAILURES]
    assert list(found.record.failures) == worst != each[:FAILURES]
    for failure, row in zip(found.record.failures, found.failures, strict=True):
        scene = next(s for s in scenes if s.attrs["id"] == failure.scene)
        place = (slice(failure.row, failure.row + 64), slice(failure.col, failure.col + 64))
        truth = scene["labels"].values[place]
        np.testing.assert_array_equal(row.labels, np.where(truth < 3, truth, 255))
        whole = predict_scene(made, scene, device="cpu")
        codes = whole["classes"].values[place]
        assert failure.wrong == ((truth < 3) & (truth != codes)).sum()
        np.testing.assert_array_equal(row.classes, np.where(truth < 3, codes, 255))
        trust = np.where(truth < 3, whole["confidence"].values[place], np.nan)
        np.testing.assert_allclose(row.confidence, trust, atol=1e-5)
        assert (
            np.corrcoef(row.picture[..., 1].ravel(), scene["red"].values[place].ravel())[0, 1]
            > 0.99
        )


# ---- the bundle


@pytest.fixture
def folder(bundle, blobs, tmp_path):  # noqa: F811
    write_scene(blobs.assign_attrs(id="elsewhere"), tmp_path / "elsewhere")
    path = save_bundle(bundle, tmp_path / "bundle")
    (path / "notes.txt").write_text("mine")
    return path


def test_the_card_is_renewed_and_the_bundle_stays(folder, bundle, tmp_path, monkeypatch):  # noqa: F811
    before = (folder / "weights.safetensors").read_bytes()
    args = ["card", folder, tmp_path / "elsewhere", "--device", "cpu"]
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code == 0, result.output
    assert (folder / "weights.safetensors").read_bytes() == before
    assert (folder / "notes.txt").read_text() == "mine"
    found = load_bundle(folder)
    assert weights_bytes(found.module) == weights_bytes(bundle.module)
    measured = found.manifest.measured
    assert found.manifest.model_copy(update={"measured": None}) == bundle.manifest
    card = (folder / "CARD.md").read_text()
    row = measured.scenes[0].classes[2]
    line = f"| elsewhere | all | debris | {row.iou:.3f} | {row.precision:.3f} | {row.recall:.3f} |"
    assert line in card
    for text in ("calibration error", "mapped as",
                 "not tested on a real scene", "10 m"):  # fmt: skip
        assert text in card, text
    for name in ("reliability.png", "failures.png"):
        assert f"](./{name})" in card
        assert pictures.imread(folder / name).shape[2] == 4
    item = json.loads((folder / "item.json").read_text())
    check_core(item)
    assert broken_rules(item) == []
    assert item["assets"]["failures"]["href"] == "./failures.png"
    assert item["properties"]["cryonet:measured"]["scenes"][0]["macro_iou"] == pytest.approx(
        measured.scenes[0].macro_iou
    )
    # A second time, and a time that fails.
    run_card(folder, [tmp_path / "elsewhere"], device="cpu")
    digests = _digests(folder)

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cryonet.bundle.model_card", fail)
    with pytest.raises(BundleError, match="No space"):
        run_card(folder, [tmp_path / "elsewhere"], device="cpu")
    assert _digests(folder) == digests
    assert {p.name for p in tmp_path.iterdir()} == {"bundle", "elsewhere"}


def _digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_a_card_of_other_weights_is_refused(folder, bundle):  # noqa: F811
    from cryonet.bundle import renew_card

    other = bundle.manifest.model_copy(update={"weights_sha256": "0" * 64})
    with pytest.raises(BundleError, match="another bundle"):
        renew_card(folder, other, pictures={})


def test_a_saved_measured_bundle_speaks_of_no_picture_it_lacks(folder, tmp_path):
    run_card(folder, [tmp_path / "elsewhere"], device="cpu")
    copy = save_bundle(load_bundle(folder), tmp_path / "copy")
    card = (copy / "CARD.md").read_text()
    assert "| elsewhere | all | debris |" in card and ".png" not in card
    assert "failures" not in json.loads((copy / "item.json").read_text())["assets"]


def test_limits_tell_what_was_seen_and_what_was_not():
    made = mixing_bundle()
    scene = labelled_scene(1, datetime="2020-08-31T05:00:00Z")
    training = made.manifest.training.model_copy(update={"scenes": (scene_record(scene),)})
    manifest = made.manifest.model_copy(update={"training": training})
    assert "It was not tested." in model_card(manifest)
    assert "cannot map glacial lake" in model_card(manifest)
    elsewhere = labelled_scene(3)
    elsewhere["labels"].values[elsewhere["labels"].values == 1] = 255
    record = measure(Bundle(made.module, made.manifest), [elsewhere], device="cpu").record
    card = model_card(manifest.model_copy(update={"measured": record}))
    assert "- s1: real, 2020-08-31, 28.01° N to 28.01° N" in card.replace("28.02", "28.01")
    assert "no scored pixel is labelled so: clean_ice" in card
    assert "not tested on a second date" in card
    assert "not tested on a real scene" not in card and "held out for test" not in card
    worst = record.failures[0]
    assert f"{worst.wrong / worst.pixels:.0%} of {worst.pixels:,}" in card
    assert isinstance(worst, Failure)
