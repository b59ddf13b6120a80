"""Baselines in experiments: no sweep, thresholds once, and what the report says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from icy_scene import icy
from typer.testing import CliRunner

from cryonet.cli import app
from cryonet.config import TrainConfig
from cryonet.errors import ConfigError
from cryonet.experiment import run_experiment
from cryonet.experiment_config import OWN_STACK, ExperimentConfig, load_experiment
from cryonet.experiment_tables import matrix_of
from cryonet.model_config import NETWORK_KEYS
from cryonet.scene_writer import write_scene

TOML = """
title = "With baselines"
out = "results"
scenes = ["scene"]
folds = ["blocks", "tiles"]
seeds = [0]
learning_rates = [1e-3, 3e-3]
sweep_epochs = 1
samples = 100

[models.forest]
architecture = "forest"
trees = 12
leaves = 40
samples = 2000

[models.threshold]
architecture = "threshold"

[models.network]
encoder = "tu-mobilenetv3_small_100"
decoder_channels = [16, 16, 16]

[stacks]
few = ["red", "nir"]
more = ["red", "nir", "swir16", "blue"]

[train]
chip = 32
stride = 16
tile = 32
batch = 2
epochs = 1
steps_per_epoch = 1
loss = "focal"
overlap = 0.5
accelerator = "cpu"
split = { block = 16, gap = 2 }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("experiment")
    write_scene(icy(), place / "scene")
    (place / "run.toml").write_text(TOML)
    return place


@pytest.fixture(scope="module")
def done(folder: Path) -> tuple[ExperimentConfig, list[dict[str, Any]], str]:
    shown = CliRunner().invoke(app, ["experiment", str(folder / "run.toml")])
    assert shown.exit_code == 0, shown.output
    config = load_experiment(folder / "run.toml")
    return config, run_experiment(config), (folder / "results" / "report.md").read_text()


def test_baselines_are_not_swept_and_thresholds_run_once_a_fold_and_seed(
    done: tuple[Any, ...], folder: Path
) -> None:
    names = {file.stem for file in (folder / "results" / "runs").glob("*.json")}
    made = {name.split("-")[0] for name in names if "rate" in name}
    assert made == {"network"}
    assert len([n for n in names if n.startswith("forest")]) == 2 * 2
    assert {n for n in names if n.startswith("threshold")} == {
        f"threshold-{OWN_STACK}-{fold}-seed0" for fold in ("blocks", "tiles")
    }


def test_what_baselines_lack_is_null_and_the_rest_is_there(done: tuple[Any, ...]) -> None:
    _, results, _ = done
    for result in results:
        for key in ("parameters", "mflop_a_pixel", "learning_rate", "epochs"):
            assert (result[key] is None) == (result["model"] != "network"), key
        assert result["train_seconds"] >= 0 and result["megapixels_a_second"] > 0
    # Thresholds never map debris; the forest is given all that it needs.
    iou = {}
    for result in results:
        matrix = matrix_of(result)
        union = matrix.sum(axis=0) + matrix.sum(axis=1) - np.diag(matrix)
        iou[result["model"], result["stack"], result["fold"], result["seed"]] = (
            np.diag(matrix) / union
        )
    for fold in ("blocks", "tiles"):
        assert iou["threshold", OWN_STACK, fold, 0][1] > 0.95
        assert iou["threshold", OWN_STACK, fold, 0][2] == 0
        assert iou["forest", "more", fold, 0][1] > 0.95


def test_the_report_shows_thresholds_with_every_stack(done: tuple[Any, ...], folder: Path) -> None:
    _, _, text = done
    parts = text.split("\n## ")[1:5]
    assert [p.splitlines()[0] for p in parts] == [
        f"Stack {stack}, test {fold}" for stack in ("few", "more") for fold in ("blocks", "tiles")
    ]
    for part in parts:
        rows = [line.split(" | ") for line in part.splitlines() if line.startswith("| threshold")]
        assert len(rows) == 3 + 1  # scores, calibration, costs, paired with the forest
        assert " / – / " in "".join(rows[0])  # nothing mapped as debris: no precision
        costs = rows[2]
        assert costs[1:3] == ["n/a", "n/a"] and costs[-1] == "n/a |"
        assert 0 <= float(costs[3]) < 60 and float(costs[4]) > 0
    assert text.count("stand with every stack") == text.count("The forest sees each pixel") == 1
    leak = text.split("## What random tiles hide")[1]
    assert leak.count("| threshold |") == 1
    raw = json.loads((folder / "results" / "results.json").read_text())
    assert raw["results"][0]["parameters"] is None


def test_the_forest_has_the_split_and_chips_of_the_networks(done: tuple[Any, ...]) -> None:
    config, _, _ = done
    forest, network = (config.run(m, "more", "tiles", 1) for m in ("forest", "network"))
    assert (network.loss, network.overlap, network.steps_per_epoch) == ("focal", 0.5, 1)
    ignored = {*NETWORK_KEYS, "model"}
    assert forest.model_dump(exclude=ignored) == network.model_dump(exclude=ignored)
    # What it leaves aside is at its default, so that its result does not hang on it.
    assert forest.loss == TrainConfig.model_fields["loss"].default
    assert TrainConfig.model_validate(forest.model_dump()) == forest
    threshold = config.run("threshold", OWN_STACK, "tiles", 1)
    assert threshold.features.stack == ("band_ratio", "blue", "ndwi")
    assert threshold.split == network.split and threshold.seed == network.seed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("[models.network]\nencoder", "[models.other]\narchitecture"), "architecture"),
        (("trees = 12", "tress = 12"), "models.forest.tress is not valid"),
        (("few = [", "_own = ["), "_own"),
    ],
)
def test_what_does_not_fit_is_named(folder: Path, change: tuple[str, str], words: str) -> None:
    (folder / "bad.toml").write_text(TOML.replace(*change))
    refused = CliRunner().invoke(app, ["experiment", str(folder / "bad.toml")])
    assert refused.exit_code == 2 and words in refused.output, refused.output


def test_keys_that_no_model_reads_are_refused(folder: Path) -> None:
    start, end = TOML.index("[models.network]"), TOML.index("[stacks]")
    (folder / "bad.toml").write_text(TOML[:start] + TOML[end:])
    with pytest.raises(ConfigError, match="epochs, loss, overlap, steps_per_epoch") as caught:
        load_experiment(folder / "bad.toml")
    assert "no model here reads" in str(caught.value) and "batch" not in caught.value.rule
