"""Transfer: which blocks are labelled, what each variant uses, and what the report says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from typer.testing import CliRunner

from cryonet import transfer
from cryonet.chips import GAP, TEST, TRAIN, VALIDATION
from cryonet.cli import app
from cryonet.config import SplitConfig
from cryonet.errors import ConfigError
from cryonet.experiment import run_experiment
from cryonet.experiment_config import ExperimentConfig, load_experiment
from cryonet.experiment_report import write_report
from cryonet.experiment_tables import matrix_of
from cryonet.metrics import macro_iou
from cryonet.scene_writer import write_scene
from cryonet.transfer import draw_blocks, labelled_splits, target_tests
from cryonet.transfer_config import AS_IS, TransferConfig, variants
from cryonet.warm_start import with_statistics_of

TOML = """
title = "Small transfer"
out = "results"
scenes = ["source"]
seeds = [0]
learning_rates = [1e-2]
samples = 100

[transfer]
target = ["target"]
blocks = [0, 2]
fine_tune_epochs = 1
fine_tune_rate = 1e-3
split = { block = 40, gap = 4, test_share = 0.3 }

[models.branch]
encoder = "tu-mobilenetv3_small_100"
decoder_channels = [16, 16, 16]
pixel_branch = 8

[stacks]
few = ["red", "nir", "elevation"]

[train]
classes = ["other", "clean_ice", "debris"]
chip = 32
stride = 16
tile = 64
batch = 4
epochs = 1
steps_per_epoch = 30
weight_average = 0.8
accelerator = "cpu"
split = { block = 40, gap = 4 }
"""

NAMES = ["as-is", "target-statistics", "fine-tuned-2", "fine-tuned-2-target-statistics"]


@pytest.fixture(scope="module")
def folder(blobs: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("transfer")
    write_scene(blobs, place / "source", properties={"synthetic": True})
    write_scene(elsewhere(blobs), place / "target", properties={"synthetic": True})
    (place / "small.toml").write_text(TOML)
    return place


def elsewhere(scene: xr.Dataset) -> xr.Dataset:
    """The same ground with other gains and offsets; classes lie across blocks."""
    made = scene.assign_attrs(id="target").copy(deep=True)
    made["red"].values[:] = 0.5 * made["red"].values + 0.2
    made["nir"].values[:] = 1.5 * made["nir"].values - 0.1
    made["elevation"].values[:] -= 3000
    return made


@pytest.fixture(scope="module")
def done(folder: Path) -> tuple[ExperimentConfig, list[dict[str, Any]]]:
    config = load_experiment(folder / "small.toml")
    return config, run_experiment(config)


def striped() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Two scenes of labels with several classes in most blocks of 32, and their tests."""
    rng = np.random.default_rng(0)
    labels = [np.repeat(rng.integers(0, 3, (96, 16)), 8, axis=1).astype(np.uint8) for _ in "ab"]
    labels[0][:32, :64] = 1  # two blocks of one class
    tests = [np.full((96, 128), TRAIN, np.uint8) for _ in "ab"]
    tests[0][64:, :], tests[0][56:64, :] = TEST, GAP
    tests[1][:24, :32] = GAP  # a quarter of its first block is free
    return labels, tests


def test_blocks_to_label_are_free_and_show_two_classes() -> None:
    labels, tests = striped()
    options = {"block": 32, "chip": 32, "stride": 16, "classes": 3}
    draw = [
        draw_blocks(labels, tests, generator=np.random.default_rng(seed), **options)
        for seed in (0, 0, 1)
    ]
    assert draw[0] == draw[1] != draw[2] and sorted(draw[0]) == sorted(draw[2])
    # Of the first scene: no test row (8 to 11), and not the two of one class.
    assert {n for scene, n in draw[0] if scene == 0} == {2, 3, 4, 5, 6, 7}
    assert {n for scene, n in draw[0] if scene == 1} == set(range(1, 12))
    # A chip as large as the free part and the gap is not to be had in the second row alone.
    options["chip"] = 64
    large = draw_blocks(labels, tests, generator=np.random.default_rng(0), **options)
    assert (0, 4) in large and (0, 2) in large
    options["chip"] = 96
    none = draw_blocks(labels, tests, generator=np.random.default_rng(0), **options)
    assert not [n for scene, n in none if scene == 0]


def test_labelled_splits_hold_the_blocks_and_nothing_else() -> None:
    _, tests = striped()
    blocks = [(0, 4), (1, 3), (0, 2), (1, 11)]
    maps = labelled_splits(tests, blocks, block=32, validation_share=0.15)
    counts = [{code: int((m == code).sum()) for code in (TRAIN, VALIDATION)} for m in maps]
    # Block 4 of the first scene loses its last eight rows to the gap.
    assert counts == [
        {TRAIN: 32 * 24 + 32 * 32, VALIDATION: 0},
        {TRAIN: 32 * 32, VALIDATION: 32 * 32},
    ]
    assert (maps[0][32:56, :32] == TRAIN).all() and (maps[1][:32, 96:] == VALIDATION).all()
    for codes, test in zip(maps, tests, strict=True):
        np.testing.assert_array_equal(codes == TEST, test == TEST)
        assert not (codes[test == GAP] != GAP).any()
    two = labelled_splits(tests, blocks[:2], block=32, validation_share=0.15)
    for few, many in zip(two, maps, strict=True):
        assert ((few == GAP) | (few == many)).all()
    half = labelled_splits(tests, blocks, block=32, validation_share=0.5)
    assert sum(int((m == VALIDATION).sum()) for m in half) == 2 * 32 * 32


def test_the_test_of_the_target_is_drawn_once(blobs: xr.Dataset) -> None:
    split = SplitConfig(test="west", gap=8, block=40)
    config = TransferConfig(target=(Path("x"),), split=split)
    (codes,) = target_tests([blobs], config)
    assert (codes[:, :92] == TEST).all() and (codes[:, 92:100] == GAP).all()
    assert (codes[:, 100:] == TRAIN).all()


def test_variants_begin_with_the_source_as_it_is() -> None:
    config = TransferConfig(target=(Path("x"),), blocks=(2,), statistics=("target",))
    names = [variant.name for variant in variants(config)]
    assert names == ["as-is", "fine-tuned-2-target-statistics", "target-only-2"]
    assert variants(config)[0] == AS_IS


def test_every_variant_is_tested_on_the_same_pixels(
    done: tuple[ExperimentConfig, list], folder: Path
) -> None:
    _, results = done
    assert [r["variant"] for r in results] == [*NAMES, "target-only-2"]
    rows = [matrix_of(r).sum(axis=1).tolist() for r in results]
    assert all(row == rows[0] for row in rows) and sum(rows[0]) > 5000
    assert all(r["places"] == results[0]["places"] for r in results)
    scores = {r["variant"]: macro_iou(matrix_of(r)) for r in results}
    # The target differs by gains and offsets alone: its own statistics undo them.
    assert scores["target-statistics"] > scores["as-is"] + 0.2
    stored = json.loads((folder / "results/runs/branch-few-seed0-source.json").read_text())
    assert {r["source_weights_sha256"] for r in results} == {stored["weights_sha256"]}
    trained = {r["variant"]: r["weights_sha256"] for r in results if r["labelled_blocks"]}
    assert len(set(trained.values())) == 3


def test_labels_of_the_test_take_no_part(
    done: tuple[ExperimentConfig, list], blobs: xr.Dataset, folder: Path, tmp_path: Path
) -> None:
    """Weights hang on the labels of labelled blocks, on no other label of the target."""
    config, results = done
    assert config.transfer is not None
    scene = elsewhere(blobs)
    (codes,) = target_tests([scene], config.transfer)
    wrong = scene["labels"].values
    wrong[codes == TEST] = (wrong[codes == TEST] + 1) % 3
    write_scene(scene, tmp_path / "target")
    shutil.copytree(folder / "results", tmp_path / "results")
    for file in (tmp_path / "results" / "runs").glob("*.json"):
        if not file.stem.endswith("source"):
            file.unlink()
    other = config.transfer.model_copy(
        update={"target": (tmp_path / "target",), "target_only": False}
    )
    changed = config.model_copy(update={"out": tmp_path / "results", "transfer": other})
    again = run_experiment(changed)
    assert [r["variant"] for r in again] == NAMES
    for one, two in zip(results, again, strict=False):
        assert one.get("weights_sha256") == two.get("weights_sha256")
        assert one.get("validation") == two.get("validation")
        assert one["blocks"] != two["blocks"]


def test_statistics_of_the_target_leave_its_test_out(
    done: tuple[ExperimentConfig, list],
    blobs: xr.Dataset,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, _ = done
    assert config.transfer is not None
    found = []

    def kept(*given: Any, **options: Any) -> Any:
        found.append(with_statistics_of(*given, **options))
        return found[-1]

    monkeypatch.setattr(transfer, "with_statistics_of", kept)
    for name, code in (("as it is", None), ("test", TEST), ("gap", GAP)):
        scene = elsewhere(blobs)
        (codes,) = target_tests([scene], config.transfer)
        scene["red"].values[codes == (255 if code is None else code)] += 1
        place = tmp_path / name
        write_scene(scene, place / "target")
        shutil.copytree(folder / "results/bundles", place / "bundles")
        (place / "runs").mkdir()
        source = "branch-few-seed0-source.json"
        shutil.copy(folder / "results/runs" / source, place / "runs" / source)
        other = config.transfer.model_copy(
            update={"target": (place / "target",), "blocks": (0,), "target_only": False}
        )
        run_experiment(config.model_copy(update={"out": place, "transfer": other}))
    plain, test, gap = (bundle.manifest.layers for bundle in found)
    assert test == plain != gap


def test_what_is_finished_is_not_run_again(
    done: tuple[ExperimentConfig, list], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, results = done
    monkeypatch.setattr(transfer, "train", lambda *a, **k: pytest.fail("trained again"))
    assert run_experiment(config) == results
    assert config.transfer is not None
    other = config.transfer.model_copy(update={"split_seed": 1})
    with pytest.raises(ConfigError, match="made with other settings"):
        run_experiment(config.model_copy(update={"transfer": other}))
    manifest = config.out / "bundles/branch-few-seed0-source/manifest.json"
    kept = manifest.read_text()
    manifest.write_text(kept.replace(results[0]["source_weights_sha256"], "0" * 64))
    with pytest.raises(ConfigError, match="the bundle of a result is missing or another"):
        run_experiment(config)
    manifest.write_text(kept)
    many = config.transfer.model_copy(update={"blocks": (0, 30)})
    with pytest.raises(ConfigError, match="too few blocks to label"):
        run_experiment(config.model_copy(update={"transfer": many}))


def test_the_report_sets_every_variant_against_the_source(
    done: tuple[ExperimentConfig, list], folder: Path
) -> None:
    config, results = done
    text = write_report(config, results).read_text()
    assert "## branch, stack few" in text and "- target-only:" in text
    assert [line for line in text.splitlines() if line.startswith("| target-statistics |")]
    raw = json.loads((folder / "results" / "results.json").read_text())
    above = {row["variant"]: row["iou"]["macro"] for row in raw["above_as_is"]}
    assert set(above) == {r["variant"] for r in results} - {"as-is"}
    scores = {r["variant"]: macro_iou(matrix_of(r)) for r in results}
    for name, found in above.items():
        assert found["mean"] == pytest.approx(scores[name] - scores["as-is"], abs=1e-5)
        assert found["low"] <= found["mean"] <= found["high"]
    assert str(folder) not in json.dumps(raw)
    with Image.open(folder / "results" / "above.png") as picture:
        assert picture.size[0] > 600


def test_nonsense_is_refused(folder: Path) -> None:
    for change, words in [
        (("blocks = [0, 2]", "blocks = [0, 1]"), "none is left for validation"),
        (("blocks = [0, 2]", "blocks = [2, 2]"), "comes twice"),
        (("gap = 4, test_share = 0.3", 'test = "none"'), "the target needs a test"),
        (("samples = 100", "samples = 100\nflips = true"), "transfer maps without flips"),
        (("samples = 100", "samples = 100\n[models.f]\narchitecture = 'forest'"), "networks alone"),
        (("samples = 100", 'samples = 100\nfolds = ["west"]'), "transfer goes with neither"),
        (("batch = 4", "batch = 4\nstart = { bundle = 'x' }"), "the experiment itself sets start"),
    ]:
        assert change[0] in TOML
        (folder / "bad.toml").write_text(TOML.replace(*change))
        refused = CliRunner().invoke(app, ["experiment", str(folder / "bad.toml")])
        assert refused.exit_code == 2 and words in refused.output, refused.output


def test_the_committed_recipe_is_valid() -> None:
    recipes = Path(__file__).resolve().parents[1] / "data" / "recipes"
    config = load_experiment(recipes / "experiment_transfer.toml")
    assert config.transfer is not None and len(config.seeds) >= 3
    assert set(config.transfer.statistics) == {"source", "target"}
    assert 0 in config.transfer.blocks and max(config.transfer.blocks) >= 4
