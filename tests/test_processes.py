"""Two processes, really started, talking over loopback: same chips, same weights, one result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_cli import CONFIG
from test_train import _config

from cryonet.bundle import load_bundle
from cryonet.scene_writer import write_scene

pytestmark = [pytest.mark.network]
TESTS = Path(__file__).parent

#: Seconds after which a run of two processes counts as hung.
LIMIT = 300


def start(*words: object) -> subprocess.CompletedProcess[str]:
    paths = [str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")]
    kept = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "NODE_RANK")}
    return subprocess.run(
        [sys.executable, *map(str, words)],
        env={**kept, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


@pytest.fixture(scope="module")
def scene(blobs, tmp_path_factory) -> Path:
    return write_scene(blobs, tmp_path_factory.mktemp("two") / "scene")


def run(scene: Path, where: Path, *, fail=None, stop=None, plain=True, **changes):
    """Train in a script; return what each process wrote down, and how the script ended."""
    where.mkdir()
    settings = {"devices": 2, "batch": 2, "epochs": 2, "steps_per_epoch": 4, **changes}
    settings |= {"loss": "cross_entropy", "augment": {"zoom": 0.2}, "prefetch": 1}
    config = _config(**settings).model_dump(mode="json")
    config |= {"scenes": [str(scene)], "out": str(where / "bundle")}
    told = {"config": config, "notes": str(where), "fail": fail, "stop": stop, "plain": plain}
    (where / "told.json").write_text(json.dumps(told))
    ended = start(TESTS / "two_process_worker.py", where / "told.json")
    notes = [json.loads(f.read_text()) for f in sorted(where.glob("[01].json"))]
    return notes, ended


def test_two_processes_learn_what_one_does(scene, tmp_path):
    (one, two), ended = run(scene, tmp_path / "two")
    assert ended.returncode == 0, ended.stderr
    (alone,), _ = run(scene, tmp_path / "one", devices=1, batch=4)
    assert sorted(one["chips"] + two["chips"]) == sorted(alone["chips"])
    assert [n for n, _ in one["chips"][:2] + two["chips"][:2]] == [0, 2, 1, 3]
    assert one["weights"] == two["weights"]
    assert one["metrics"] == two["metrics"]
    assert one["calibration"] == two["calibration"]
    # Holes and gaps differ between the halves: their means are not quite that of the whole.
    np.testing.assert_allclose(one["values"], alone["values"], atol=0.02)
    assert (one["log"], one["steps"]) == (2, 8)
    assert one["best"] >= 1
    assert (two["log"], two["steps"], two["best"]) == (0, 0, 0)


@pytest.mark.slow
def test_statistics_of_batches_are_brought_together_and_layers_lie_on_disk_once(scene, tmp_path):
    changes = {"memory": "disk", "accumulate": 2, "epochs": 1, "steps_per_epoch": 2}
    (one, two), ended = run(scene, tmp_path / "two", plain=False, **changes)
    assert ended.returncode == 0, ended.stderr
    assert one["weights"] == two["weights"]
    assert sorted(n for n, _ in one["chips"] + two["chips"]) == list(range(16))
    assert not list((tmp_path / "two").glob(".bundle.layers.*"))


@pytest.mark.slow
def test_both_stop_at_the_same_step(scene, tmp_path):
    (one, two), ended = run(scene, tmp_path / "two", stop=6)
    assert ended.returncode == 0, ended.stderr
    assert one["interrupted"] and two["interrupted"]
    assert one["weights"] == two["weights"]
    assert one["steps"] == 6


@pytest.mark.parametrize("rank", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_error_in_one_ends_both_soon(scene, tmp_path, rank):
    began = time.monotonic()
    notes, ended = run(scene, tmp_path / "two", fail=rank, epochs=50)
    assert ended.returncode != 0
    assert "told to fail" in ended.stderr
    assert not notes
    assert time.monotonic() - began < LIMIT / 2


def test_the_command_line_trains_with_two_and_writes_once(blobs, tmp_path):
    write_scene(blobs, tmp_path / "scene")
    (tmp_path / "run.toml").write_text("devices = 2\n" + CONFIG)
    (tmp_path / "main.py").write_text("from cryonet.cli import app\napp()\n")
    ended = start(tmp_path / "main.py", "train", tmp_path / "run.toml")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("wrote ") == 1
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.manifest.training.config["devices"] == 2
    assert bundle.manifest.training.throughput.chips_per_second > 0
    lines = (tmp_path / "bundle-logs" / "metrics.csv").read_text().splitlines()
    assert len(lines) == 2
    assert "chips_per_second" in lines[0]
    assert len(list((tmp_path / "bundle-logs").glob("events.out.tfevents.*"))) == 1
