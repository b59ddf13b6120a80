"""Importance by retraining: which layers an ablated stack has, and what the falls are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from pydantic import ValidationError

from cryonet.errors import ConfigError
from cryonet.experiment import run_experiment
from cryonet.experiment_config import ExperimentConfig, load_experiment
from cryonet.experiment_report import write_report
from cryonet.experiment_tables import matrix_of
from cryonet.importance import GROUPS, ImportanceConfig, ablations, complete_only
from cryonet.layers import LAYERS, select_layers
from cryonet.layers.fits import FIT_NAMES
from cryonet.layers.spec import Family
from cryonet.metrics import class_scores
from cryonet.scene import VARIABLES
from cryonet.scene_writer import write_scene

TOML = """
title = "Worth"
out = "results"
scenes = ["scene"]
seeds = [0, 1]
learning_rates = [1e-3, 1e-2]
sweep_epochs = 1
samples = 100

[models.branch]
encoder = "tu-mobilenetv3_small_100"
decoder_channels = [16, 16, 16]
pixel_branch = 8

[stacks]
few = ["red", "nir", "elevation"]

[importance]
stack = "few"
families = ["optical"]

[train]
classes = ["other", "clean_ice", "debris"]
chip = 32
stride = 16
tile = 64
batch = 4
epochs = 1
steps_per_epoch = 12
weight_average = 0.8
accelerator = "cpu"
split = { block = 40, gap = 4 }
"""


def test_the_groups_are_those_of_the_layer_table() -> None:
    """By what layers need: imagery only the bands, spectral a pixel of them, insar its pairs."""
    assets = {
        family: {VARIABLES[n].asset for s in LAYERS.values() if s.family == family for n in s.needs}
        for family in get_args(Family)
    }
    reach = {f: max(s.halo for s in LAYERS.values() if s.family == f) for f in assets}
    imagery = [family for family, kinds in assets.items() if kinds == {"optical"}]
    radar = assets["coherence"] | assets["phase"]
    assert set(GROUPS["imagery"]) == set(imagery)
    assert set(GROUPS["spectral"]) == {family for family in imagery if reach[family] == 0}
    assert set(GROUPS["insar"]) == {f for f, kinds in assets.items() if kinds <= radar}


def test_an_ablated_stack_has_exactly_the_other_layers(blobs: xr.Dataset) -> None:
    present = [spec.name for spec in select_layers(blobs, "full", fits=FIT_NAMES)[0]]
    made = {a.name: a.layers for a in ablations(ImportanceConfig(), "full", [blobs])}
    families = ["optical", "indices", "terrain", "texture"]
    groups = {f: {f} for f in families}
    groups |= {"spectral": {"optical", "indices"}, "imagery": {"optical", "indices", "texture"}}
    assert set(made) == {f"{kind}-{g}" for g in groups for kind in ("without", "only")}
    for group, members in groups.items():
        kept = [name for name in present if LAYERS[name].family in members]
        assert list(made[f"only-{group}"]) == kept
        assert list(made[f"without-{group}"]) == [n for n in present if n not in kept]
    chosen = ImportanceConfig(only=False, families=("terrain",), groups={"light": ("optical",)})
    names = [a.name for a in ablations(chosen, "full", [blobs])]
    assert names == ["without-terrain", "without-light"]


def test_what_cannot_be_left_out_is_refused(blobs: xr.Dataset) -> None:
    for config, stack, words in [
        (ImportanceConfig(families=("coherence",)), "full", "is not in the stack"),
        (ImportanceConfig(), ("red", "nir"), "is the whole stack"),
    ]:
        with pytest.raises(ConfigError, match=words):
            ablations(config, stack, [blobs])
    with pytest.raises(ConfigError, match="differ in layers"):
        ablations(ImportanceConfig(), "full", [blobs, blobs.drop_vars("elevation")])
    for wrong in (
        {"without": False, "only": False},
        {"families": ["optical"], "groups": {"optical": ["terrain"]}},
        {"groups": {"a-b": ["terrain"]}},
        {"families": ["radar"]},
    ):
        with pytest.raises(ValidationError):
            ImportanceConfig.model_validate(wrong)


@pytest.fixture(scope="module")
def folder(blobs: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("importance")
    holed = blobs.copy(deep=True)
    holed["elevation"].values[::3, ::5] = np.nan
    write_scene(holed, place / "scene", properties={"synthetic": True})
    (place / "small.toml").write_text(TOML)
    return place


@pytest.fixture(scope="module")
def done(folder: Path) -> tuple[ExperimentConfig, list[dict[str, Any]]]:
    config = load_experiment(folder / "small.toml")
    return config, run_experiment(config)


def test_the_engine_trains_the_ablated_stacks_with_the_one_rate(
    done: tuple[ExperimentConfig, list], folder: Path
) -> None:
    _, results = done
    stacks = ["few", "without-optical", "only-optical"]
    assert [(r["stack"], r["seed"]) for r in results] == [(s, n) for s in stacks for n in (0, 1)]
    assert [r["layers"] for r in results] == [3, 3, 1, 1, 2, 2]
    assert len({r["learning_rate"] for r in results}) == 1
    names = {file.stem for file in (folder / "results" / "runs").glob("*rate*.json")}
    assert names == {f"branch-few-blocks-seed0-rate{rate:g}" for rate in (1e-3, 1e-2)}
    # Optical layers have no hole, yet are tested where the whole stack has values.
    for seed in (0, 1):
        mine = [r for r in results if r["seed"] == seed]
        rows = [matrix_of(r).sum(axis=1).tolist() for r in mine]
        assert rows[0] == rows[1] == rows[2] and sum(rows[0]) > 0
        assert mine[0]["places"] == mine[1]["places"] == mine[2]["places"]


def test_a_search_for_each_stack_can_be_had(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryonet import experiment

    config = load_experiment(folder / "small.toml")
    assert config.importance is not None
    each = config.importance.model_copy(update={"search": "each"})
    config = config.model_copy(update={"out": tmp_path, "importance": each})
    swept = []

    def made(self: Any, run: Any, settings: Any, inner: Any) -> dict[str, Any]:
        if run.rate:
            swept.append(run.stack)
        best = {"few": 1e-3, "without-optical": 1e-2, "only-optical": 1e-2}[run.stack]
        score = float(settings.learning_rate == best)
        return {"validation": {"macro_iou": score}, "run": [run.stack, settings.learning_rate]}

    monkeypatch.setattr(experiment._Bench, "_made", made)
    results = run_experiment(config)
    assert sorted(set(swept)) == ["few", "only-optical", "without-optical"]
    rates = dict(r["run"] for r in results)
    assert rates == {"few": 1e-3, "without-optical": 1e-2, "only-optical": 1e-2}


def test_labels_are_left_where_every_layer_is(blobs: xr.Dataset) -> None:
    holed = blobs.copy(deep=True)
    holed["nir"].values[10:20, 5:9] = np.nan
    made = complete_only(holed, ["red", "nir"])["labels"].values
    gone = np.isnan(holed["nir"].values)
    assert (made[gone] == 255).all()
    np.testing.assert_array_equal(made[~gone], blobs["labels"].values[~gone])
    assert (holed["labels"].values != 255).all()


def test_the_report_has_falls_and_what_stands_alone(
    done: tuple[ExperimentConfig, list], folder: Path
) -> None:
    config, results = done
    text = write_report(config, results).read_text()
    assert "## Layer importance by retraining" in text and "best for the whole stack" in text
    assert text.count("## Stack") == 1 and "## Stack few, test blocks" in text
    raw = json.loads((folder / "results" / "results.json").read_text())
    (found,) = raw["importance"]
    assert (found["group"], found["layers_without"], found["layers_only"]) == ("optical", 1, 2)
    scores: dict[str, list[np.ndarray]] = {}
    for result in results:
        scores.setdefault(result["stack"], []).append(class_scores(matrix_of(result))["iou"])
    falls = np.mean(np.array(scores["few"]) - np.array(scores["without-optical"]), axis=0)
    for code, name in enumerate(config.train["classes"]):
        fall = found["falls"][name]
        assert fall["mean"] == pytest.approx(falls[code], abs=1e-5)
        assert fall["low"] <= fall["mean"] <= fall["high"]
        assert np.mean(found["falls_by_seed"][name]) == pytest.approx(falls[code], abs=1e-5)
        alone = [iou[code] for iou in scores["only-optical"]]
        assert found["only"][name] == pytest.approx(alone, abs=1e-5)
    assert {row["stack"] for row in raw["results"]} == set(scores)
    with Image.open(folder / "results" / "importance.png") as picture:
        assert picture.size[0] > 600


def test_a_stack_of_the_same_name_is_refused(folder: Path) -> None:
    for change, words in [
        (('stack = "few"', 'stack = "many"'), "is not among the stacks"),
        (("[stacks]", '[stacks]\nonly-optical = "optical"'), "makes a stack of this name"),
    ]:
        (folder / "bad.toml").write_text(TOML.replace(*change))
        with pytest.raises(ConfigError, match=words):
            run_experiment(load_experiment(folder / "bad.toml"))


def test_the_committed_recipe_is_valid() -> None:
    recipes = Path(__file__).resolve().parents[1] / "data" / "recipes"
    config = load_experiment(recipes / "experiment_importance.toml")
    assert config.importance is not None and len(config.seeds) >= 3
    assert config.importance.without and config.importance.only
    assert config.importance_stack == "full"
