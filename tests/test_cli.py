"""The command line from a scene to its scores, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

from cryonet import __version__
from cryonet.bundle import read_manifest
from cryonet.cli import app
from cryonet.config import EXAMPLE
from cryonet.layers import LAYERS
from cryonet.prediction import open_prediction, read_passport
from cryonet.scene_writer import write_scene

CONFIG = """
scenes = ["scene"]
out = "bundle"
classes = ["other", "clean_ice", "debris"]
chip = 32
stride = 32
batch = 2
epochs = 1
steps_per_epoch = 2
tile = 64
accelerator = "cpu"
threads = 1
[features]
stack = ["red", "nir", "elevation"]
[split]
test = "west"
block = 32
gap = 4
[model]
encoder = "tu-mobilenetv3_small_100"
decoder_channels = [16, 16, 16]
"""


def run(*args: object):
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture(scope="module")
def folder(blobs, tmp_path_factory) -> Path:
    """A scene, a bundle and a prediction, made by the commands."""
    where = tmp_path_factory.mktemp("cli")
    write_scene(blobs, where / "scene")
    (where / "run.toml").write_text(CONFIG)
    for args in (
        ("train", where / "run.toml"),
        ("predict", where / "bundle", where / "scene", where / "map", "--device", "cpu"),
    ):
        result = run(*args)
        assert result.exit_code == 0, result.output
    return where


def test_training_leaves_a_bundle_and_its_logs(folder):
    assert read_manifest(folder / "bundle").layer_names == ("red", "nir", "elevation")
    lines = (folder / "bundle-logs" / "metrics.csv").read_text().splitlines()
    assert lines[0].startswith("epoch,iou_other")
    assert len(lines) == 2
    assert list((folder / "bundle-logs").glob("events.out.tfevents.*"))


def test_training_ends_with_the_scores_of_the_test_half(folder):
    measured = read_manifest(folder / "bundle").measured
    (scene,) = measured.scenes
    # The west half of 160 × 192 pixels, less half of the gap.
    assert (scene.split, scene.pixels) == ("test", 160 * (96 - 2))
    assert [row.without for row in measured.families] == [(), ("optical",), ("terrain",)]
    assert "| blobs | test | debris |" in (folder / "bundle" / "CARD.md").read_text()
    assert (folder / "bundle" / "reliability.png").is_file()


def test_the_passport_names_what_went_in(folder):
    passport = read_passport(folder / "map")
    assert set(passport["scene"]["files"]) >= {"scene.json", "optical.tif", "labels.tif"}
    assert passport["scene"]["synthetic"] is True
    assert passport["bundle"]["weights_sha256"] == read_manifest(folder / "bundle").weights_sha256
    assert passport["versions"]["cryonet"] == __version__


def test_evaluation_counts_only_the_split_asked_for(folder):
    out = folder / "scores.json"
    result = run("evaluate", folder / "map", folder / "scene", "--split", "test", "--out", out)
    assert result.exit_code == 0, result.output
    scores = json.loads(out.read_text())
    # The west half of 160 × 192 pixels, less half of the gap.
    assert scores["pixels"] == 160 * (96 - 2)
    whole = run("evaluate", folder / "map", folder / "scene/labels.tif", "--out", out)
    assert whole.exit_code == 0, whole.output
    scores = json.loads(out.read_text())
    codes = open_prediction(folder / "map")["classes"].values
    assert scores["pixels"] == int((codes != 255).sum())
    assert "debris" in whole.output


def test_evaluation_tells_calibration_and_areas_and_draws(folder):
    found = read_manifest(folder / "bundle").calibration
    assert found is not None
    passport = read_passport(folder / "map")
    assert passport["prediction"]["temperature"] == found.temperature
    assert passport["settings"]["calibrated"] is True
    out, picture = folder / "scores.json", folder / "reliability.png"
    result = run(
        "evaluate", folder / "map", folder / "scene", "--split", "validation", "--out", out,
        "--reliability", picture, "--buffer", 2, "--correlation", 0,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "calibrated" in result.output and "Areas and their uncertainty" in result.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    scores = json.loads(out.read_text())
    before, after = scores["probabilities"]
    # The map's probabilities are kept in steps of 1/250. Those of a network of two steps lie
    # round 1/3, an edge of the bins, over which this moves pixels.
    assert before["ece"] == pytest.approx(found.ece_before, abs=0.03)
    assert after["ece"] == pytest.approx(found.ece_after, abs=0.03)
    for row in scores["areas_km2"]:
        assert row["correlated"] == row["independent"] < row["together"]
    plain = run(
        "predict", folder / "bundle", folder / "scene", folder / "raw", "--uncalibrated",
        "--device", "cpu",
    )  # fmt: skip
    assert plain.exit_code == 0, plain.output
    assert read_passport(folder / "raw")["prediction"]["temperature"] == 1
    evaluated = run("evaluate", folder / "raw", folder / "scene", "--out", out)
    assert "calibrated" not in evaluated.output
    assert len(json.loads(out.read_text())["probabilities"]) == 1
    run("evaluate", folder / "map", folder / "scene", "--split", "validation", "--out", out)
    for wide, half in zip(
        scores["areas_km2"], json.loads(out.read_text())["areas_km2"], strict=True
    ):
        assert wide["buffer"] == pytest.approx(4 * half["buffer"])
        assert half["correlated"] > wide["correlated"]


def test_layers_are_written_by_name(folder):
    out = folder / "layers.tif"
    result = run("layers", "compute", folder / "scene", out)
    assert result.exit_code == 0, result.output
    with rasterio.open(out) as file:
        assert {"red", "ndvi", "slope"} <= set(file.descriptions)
        assert np.isfinite(file.read(1)).all()
    assert "left out ndsi: it needs swir16" in result.output
    assert run("layers", "compute", folder / "scene", out).exit_code == 2


def test_layers_are_fitted_and_then_computed(tmp_path):
    run("scene", "synthetic", tmp_path / "s", "--size", 64, "--seed", 3)
    fitted = run("layers", "fit", tmp_path / "fits.json", tmp_path / "s")
    assert fitted.exit_code == 0, fitted.output
    assert "the axes explain" in fitted.output and "32 levels of nir" in fitted.output
    again = run("layers", "fit", tmp_path / "fits.json", tmp_path / "s")
    assert again.exit_code == 2 and "exists already" in again.output
    out = tmp_path / "layers.tif"
    names = "pca_1,texture_entropy,slope"
    made = run(
        "layers", "compute", tmp_path / "s", out,
        "--layers", names, "--fits", tmp_path / "fits.json",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    with rasterio.open(out) as file:
        assert list(file.descriptions) == names.split(",")
        assert file.tags()["CRYONET_INPUT"] == "synthetic"
    sheet = tmp_path / "sheet.png"
    drawn = run("layers", "plot", tmp_path / "s", sheet, "--fits", tmp_path / "fits.json")
    assert drawn.exit_code == 0, drawn.output
    assert sheet.read_bytes().startswith(b"\x89PNG")
    checked = run("layers", "check", tmp_path / "s")
    assert checked.exit_code == 0, checked.output
    assert "tc_brightness is a sum of blue, green, red, nir, swir16, swir22" in checked.output
    assert "copy" not in checked.output
    (tmp_path / "fits.json").write_text("{}[")
    broken = run(
        "layers", "compute", tmp_path / "s", tmp_path / "o.tif", "--fits", tmp_path / "fits.json"
    )
    assert broken.exit_code == 2 and "fits cannot be read" in broken.output
    assert not (tmp_path / "o.tif").exists()


def test_layers_list_is_the_table():
    result = run("layers", "list")
    assert all(f"| {name} |" in result.output for name in LAYERS)


def test_synthetic_scene_and_info(tmp_path):
    made = run("scene", "synthetic", tmp_path / "s", "--size", 64, "--seed", 3)
    assert made.exit_code == 0, made.output
    shown = run("scene", "info", tmp_path / "s")
    assert "synthetic" in shown.output
    assert "debris" in shown.output


def test_example_is_the_example():
    assert run("train", "--example").output == EXAMPLE


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("scene", "info", "nowhere"), "nowhere"),
        (("scene", "import", "out", "--bands", "red=none.tif"), "none.tif"),
        (("scene", "import", "out", "--bands", "red=a.tif", "red=b.tif"), "twice"),
        (("scene", "synthetic", "out", "--region", "alps"), "alps"),
        (("train",), "configuration"),
        (("train", "none.toml"), "none.toml"),
        (("predict", "none", "none", "out"), "none"),
        (("evaluate", "none", "none"), "none"),
    ],
)
def test_refusals_exit_with_two_and_write_nothing(args, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*args)
    assert result.exit_code == 2, result.output
    assert named in result.output
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_cancelled_prediction_leaves_nothing(folder, monkeypatch):
    def stop(self, done, total, message=""):
        raise KeyboardInterrupt

    monkeypatch.setattr("cryonet.console.ConsoleProgress.step", stop)
    result = run("predict", folder / "bundle", folder / "scene", folder / "cancelled")
    assert result.exit_code == 130, result.output
    assert not list(folder.glob("*cancelled*"))


def test_an_existing_output_is_kept(folder):
    before = (folder / "map" / "passport.json").read_bytes()
    result = run("predict", folder / "bundle", folder / "scene", folder / "map")
    assert result.exit_code == 2
    assert (folder / "map" / "passport.json").read_bytes() == before
