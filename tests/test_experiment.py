"""Experiments: what is run, with what, what is kept, and what the report says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from cryonet import experiment
from cryonet.chips import TEST, split_map
from cryonet.cli import app
from cryonet.errors import ConfigError
from cryonet.experiment import Run, megaflop, run_experiment
from cryonet.experiment_config import ExperimentConfig, load_experiment
from cryonet.experiment_report import write_report
from cryonet.experiment_tables import matrix_of
from cryonet.metrics import confusion
from cryonet.models import MODELS, PIXEL_MODELS
from cryonet.predict import predict_scene
from cryonet.progress import Cancelled
from cryonet.scene import open_scene
from cryonet.scene_writer import write_scene

TOML = """
title = "Small"
out = "results"
scenes = ["scene"]
folds = ["blocks", "tiles"]
seeds = [0, 1]
learning_rates = [1e-3, 3e-3]
sweep_epochs = 1
samples = 100

[models.branch]
encoder = "tu-mobilenetv3_small_100"
decoder_channels = [16, 16, 16]
pixel_branch = 8

[models.plain]
encoder = "tu-mobilenetv3_small_100"
decoder_channels = [16, 16, 16]

[stacks]
few = ["red", "nir"]

[train]
classes = ["other", "clean_ice", "debris"]
chip = 32
stride = 32
tile = 32
batch = 2
epochs = 1
steps_per_epoch = 1
accelerator = "cpu"
split = { block = 40, gap = 4 }
"""


@pytest.fixture(scope="module")
def folder(blobs: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("experiment")
    write_scene(blobs, place / "scene", properties={"synthetic": True})
    (place / "small.toml").write_text(TOML)
    return place


@pytest.fixture(scope="module")
def done(folder: Path) -> tuple[ExperimentConfig, list[dict[str, Any]]]:
    config = load_experiment(folder / "small.toml")
    return config, run_experiment(config)


def test_every_combination_has_a_result(done: tuple[ExperimentConfig, list], folder: Path) -> None:
    _, results = done
    keys = [(r["model"], r["stack"], r["fold"], r["seed"]) for r in results]
    assert len(keys) == len(set(keys)) == 2 * 1 * 2 * 2
    names = {file.stem for file in (folder / "results" / "runs").glob("*.json")}
    sweeps = {name for name in names if "rate" in name}
    assert len(sweeps) == 2 * 1 * 2 * 2 and len(names) == len(sweeps) + len(keys)
    # The sweep uses the first seed and never the test.
    for name in sweeps:
        stored = json.loads((folder / "results" / "runs" / f"{name}.json").read_text())
        assert stored["seed"] == 0 and "blocks" not in stored


def test_the_rate_is_the_best_on_validation_blocks(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_experiment(folder / "small.toml")
    config = config.model_copy(
        update={"out": tmp_path, "learning_rates": (1e-4, 1e-3, 1e-2), "sweep_epochs": 2}
    )
    trained = []

    def made(self: Any, run: Run, settings: Any, inner: Any) -> dict[str, Any]:
        trained.append((run, settings))
        score = {1e-4: 0.2, 1e-3: 0.6, 1e-2: None}[settings.learning_rate]
        return {"validation": {"macro_iou": score}, "seed": run.seed}

    monkeypatch.setattr(experiment._Bench, "_made", made)
    run_experiment(config)
    final = [settings.learning_rate for run, settings in trained if run.rate is None]
    assert set(final) == {1e-3}
    assert {settings.epochs for run, settings in trained if run.rate} == {config.sweep_epochs}


def test_models_share_split_budget_and_seed(done: tuple[ExperimentConfig, list]) -> None:
    config, _ = done
    first, second = (config.run(m, "few", "blocks", 1) for m in ("branch", "plain"))
    same = first.model_dump(exclude={"model"})
    assert same == second.model_dump(exclude={"model"}) and first.model != second.model
    tiles = config.run("plain", "few", "tiles", 1).split
    assert (tiles.test, tiles.block, tiles.gap, tiles.validation_gap) == ("blocks", 32, 0, 0)


def test_encoders_may_start_from_a_file_model_by_model(folder: Path) -> None:
    file = folder / "start.toml"
    file.write_text(TOML.replace("[stacks]", "[pretrained.plain]\nsource = 'a.pt'\n[stacks]"))
    config = load_experiment(file)
    sources = [config.run(m, "few", "blocks", 0).pretrained.source for m in ("branch", "plain")]
    assert sources == ["none", str(folder / "a.pt")]


def test_maps_may_be_the_mean_over_flips(
    done: tuple[ExperimentConfig, list], folder: Path, tmp_path: Path
) -> None:
    config, _ = done
    scene = open_scene(folder / "scene")
    alone = {"models": {"plain": config.models["plain"]}, "folds": ("blocks",), "seeds": (0,)}
    found = {}
    for flips in (False, True):
        changes = {"out": tmp_path / str(flips), "flips": flips, "learning_rates": (1e-3,), **alone}
        (result,) = run_experiment(config.model_copy(update=changes))
        found[flips] = result
    assert found[True]["digest"] != found[False]["digest"]
    settings = config.run("plain", "few", "blocks", 0, learning_rate=1e-3)
    made = predict_scene(experiment.train([scene], settings), scene, device="cpu", flips=True)
    labels = scene["labels"].values
    test = split_map(labels.shape, settings.split, generator=np.random.default_rng([0, 0])) == TEST
    wanted = confusion(made["classes"].values, np.where(test, labels, 255), 3)
    assert (matrix_of(found[True]) == wanted).all()


def test_results_count_the_test_pixels_of_the_split(
    done: tuple[ExperimentConfig, list], folder: Path
) -> None:
    config, results = done
    result = next(
        r for r in results if (r["model"], r["fold"], r["seed"]) == ("plain", "blocks", 1)
    )
    scene = open_scene(folder / "scene")
    settings = config.run("plain", "few", "blocks", 1, learning_rate=result["learning_rate"])
    labels = scene["labels"].values
    splits = split_map(labels.shape, settings.split, generator=np.random.default_rng([1, 0]))
    assert matrix_of(result).sum() == ((splits == TEST) & (labels != 255)).sum()
    # The same training gives the same map.
    bundle = experiment.train([scene], settings)
    codes = predict_scene(bundle, scene, device="cpu")["classes"].values
    truth = np.where(splits == TEST, labels, 255)
    np.testing.assert_array_equal(matrix_of(result), confusion(codes, truth, 3))


def test_what_is_finished_is_not_run_again(
    done: tuple[ExperimentConfig, list], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, results = done
    monkeypatch.setattr(experiment, "train", lambda *a, **k: pytest.fail("trained again"))
    assert run_experiment(config) == results


def test_other_settings_are_refused_until_overwriting_is_allowed(
    done: tuple[ExperimentConfig, list], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _ = done
    other = config.model_copy(update={"train": {**config.train, "batch": 3}})
    with pytest.raises(ConfigError, match="made with other settings"):
        run_experiment(other)

    class Trained(Exception):
        pass

    def train(*args: Any, **options: Any) -> None:
        raise Trained

    monkeypatch.setattr(experiment, "train", train)
    with pytest.raises(Trained):
        run_experiment(other, overwrite=True)


class StopAfter:
    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self, done: int, total: int, message: str = "") -> None:
        assert 0 <= done <= total
        self.left -= 1
        if self.left < 0:
            raise Cancelled


def test_a_cancelled_run_leaves_no_result(folder: Path, tmp_path: Path) -> None:
    config = load_experiment(folder / "small.toml")
    train = {**config.train, "epochs": 3}
    update = {"out": tmp_path, "train": train, "learning_rates": (1e-3,)}
    config = config.model_copy(update=update)
    # Within the second epoch there is a best bundle, which training by itself would return.
    with pytest.raises(Cancelled):
        run_experiment(config, progress=StopAfter(1))
    assert list(tmp_path.rglob("*.json")) == []


def test_the_report_has_every_model_and_figure(
    done: tuple[ExperimentConfig, list], folder: Path
) -> None:
    config, results = done
    text = write_report(config, results).read_text()
    for words in ("## Stack few, test blocks", "branch above the others", "What random tiles hide"):
        assert words in text
    assert text.count("| branch |") >= 4 and "parameters, M" in text
    raw = json.loads((folder / "results" / "results.json").read_text())
    row = raw["results"][0]
    matrix = np.array(row["confusion"])
    iou = matrix[1, 1] / (matrix[1].sum() + matrix[:, 1].sum() - matrix[1, 1])
    assert row["scores"]["clean_ice"]["iou"] == pytest.approx(iou, abs=1e-6)
    assert str(folder) not in (folder / "results" / "results.json").read_text()
    with Image.open(folder / "results" / "iou.png") as picture:
        assert picture.size[0] > 600


def test_the_command_runs_it_and_refuses_nonsense(
    done: tuple[ExperimentConfig, list], folder: Path
) -> None:
    shown = CliRunner().invoke(app, ["experiment", str(folder / "small.toml")])
    assert shown.exit_code == 0 and "report.md" in shown.output
    for change, words in [
        (("seeds = [0, 1]", "seeds = [0, 0]"), "twice"),
        (('title = "Small"', 'title = "Small"\nmore = 1'), "more is not valid"),
        (("batch = 2", "batch = 2\nseed = 3"), "the experiment itself sets seed"),
        (("batch = 2", "batch = 0"), "not valid"),
        (('"blocks", "tiles"', '"middle"'), "folds"),
        (("[models.branch]", "[models.'../x']"), "not valid"),
        (("[stacks]", "[pretrained.other]\nsource = 'a.pt'\n[stacks]"), "pretrained names other"),
    ]:
        (folder / "bad.toml").write_text(TOML.replace(*change))
        refused = CliRunner().invoke(app, ["experiment", str(folder / "bad.toml")])
        assert refused.exit_code == 2 and words in refused.output, refused.output
    with pytest.raises(ConfigError, match="does not exist"):
        load_experiment(folder / "none.toml")


def test_operations_are_counted_a_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    class Manifest:
        tile, layers = 32, (1, 2, 3)

    class Bundle:
        manifest = Manifest()
        module = nn.Conv2d(3, 5, 3, padding=1, bias=False)

    with torch.no_grad():
        assert megaflop(Bundle()) == pytest.approx(2 * 3 * 5 * 9 / 1e6)


def test_the_committed_recipes_are_valid_and_name_what_exists() -> None:
    recipes = Path(__file__).resolve().parents[1] / "data" / "recipes"
    everest = load_experiment(recipes / "experiment_everest.toml")
    assert everest.run("cryonet_s2", "full", "east", 0).pretrained.variant == "4b_l2a"
    assert set(everest.folds) == {"east", "west"} and len(everest.seeds) >= 3
    config = load_experiment(recipes / "experiment_synthetic.toml")
    assert {model.architecture for model in config.models.values()} == {*MODELS, *PIXEL_MODELS}
    assert set(config.folds) == {"blocks", "tiles"} and len(config.seeds) >= 3
