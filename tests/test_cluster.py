"""A real dask cluster on loopback: processes that are killed, and what is left of them."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import torch
from test_bundle import bundle  # noqa: F401 - a fixture
from test_missing_families import full_scene
from test_prediction_stream import alike

from cryonet.bundle import save_bundle
from cryonet.cluster import Machine, make_up, open_cluster, visible_gpus
from cryonet.errors import ConfigError, CryonetError
from cryonet.predict_scenes import run_predictions
from cryonet.predict_workflow import Models
from cryonet.progress import Cancelled
from cryonet.scene_passes import PassOptions
from cryonet.scene_writer import write_scene

OPTIONS = PassOptions(device="cpu", batch=1, overlap=0.5)


class Killer:
    """Progress that kills a worker each time that so many more windows are done."""

    def __init__(self, cluster, shares):
        self.cluster, self.shares, self.killed = cluster, list(shares), []

    def step(self, done, total, message=""):
        if message == "predicting" and self.shares and done >= self.shares[0] * total:
            self.shares.pop(0)
            pids = self.cluster._client.run(os.getpid)
            victim = next(pid for pid in pids.values() if pid not in self.killed)
            os.kill(victim, signal.SIGKILL)
            self.killed.append(victim)


class StopAtHalf:
    def step(self, done, total, message=""):
        if message == "predicting" and 2 * done >= total:
            raise Cancelled


@pytest.mark.network
@pytest.mark.enable_socket
def test_killed_workers_change_nothing_and_nothing_is_left(bundle, tmp_path):  # noqa: F811
    """T17, T9, T11 on one cluster, as starting one takes seconds."""
    torch.manual_seed(0)
    save_bundle(bundle, tmp_path / "bundle")
    write_scene(full_scene(700, 150), tmp_path / "scenes" / "tall")
    scene = tmp_path / "scenes" / "tall"
    own = Models.load([tmp_path / "bundle"], OPTIONS)
    own.predict(scene, tmp_path / "one")
    before = set(psutil.Process().children(recursive=True))
    with open_cluster("local", device="cpu", workers=2, threads=1) as cluster:
        models = own.on(cluster)
        assert models.device == "cpu"
        killer = Killer(cluster, [0.05, 0.4])
        models.predict(scene, tmp_path / "two", progress=killer)
        assert len(set(killer.killed)) == 2
        alike(tmp_path / "one", tmp_path / "two")
        with pytest.raises(Cancelled):
            models.predict(scene, tmp_path / "three", progress=StopAtHalf())
        assert (tmp_path / ".three.predict" / "rows").is_dir()
        own.predict(scene, tmp_path / "three")
        alike(tmp_path / "one", tmp_path / "three")
    assert set(psutil.Process().children(recursive=True)) - before == set()
    assert not list(Path(tempfile.gettempdir()).glob("cryonet-dask-*"))


@pytest.mark.network
@pytest.mark.enable_socket
def test_many_scenes_at_once_over_a_cluster(bundle, tmp_path):  # noqa: F811
    torch.manual_seed(0)
    save_bundle(bundle, tmp_path / "bundle")
    whole = full_scene(150, 90)
    for name, rows in (("a", slice(0, 80)), ("b", slice(40, 120)), ("c", slice(70, 150))):
        part = whole.isel(y=rows).assign_attrs(id=name)
        write_scene(part, tmp_path / "scenes" / name)
    file = tmp_path / "scenes" / "b" / "optical.tif"
    file.write_bytes(file.read_bytes()[:-2000])
    steps = []

    class Heard:
        def step(self, done, total, message=""):
            steps.append((done, total, message))

    report = run_predictions(
        tmp_path / "bundle", tmp_path / "scenes", tmp_path / "out", options=OPTIONS,
        scheduler="local", workers=1, threads=1, mosaic="mosaic", progress=Heard(),
    )  # fmt: skip
    assert sorted(report.written) == ["a", "c"] and list(report.failed) == ["b"]
    assert "scene b, rows 0 to" in report.failed["b"] and "damaged" in report.failed["b"]
    assert report.mosaic is None
    for name in report.written:
        Models.load([tmp_path / "bundle"], OPTIONS).predict(
            tmp_path / "scenes" / name, tmp_path / name
        )
        alike(tmp_path / name, tmp_path / "out" / name)
    done = [d for d, total, text in steps if "predicting" in text]
    assert done == sorted(done)


@pytest.mark.parametrize(
    ("asked", "cores", "expected"),
    [
        ({}, 8, (2, 4)),
        ({}, 2, (1, 2)),
        ({}, 1, (1, 1)),
        ({"workers": 3}, 8, (3, 2)),
        ({"workers": 4}, 2, (4, 1)),
        ({"threads": 2}, 8, (4, 2)),
        ({"workers": 2, "threads": 9}, 8, (2, 9)),
    ],
)
def test_cores_are_shared_out(asked, cores, expected):
    made = make_up("cpu", cores=cores, **asked)
    assert (made.workers, made.threads, made.gpus) == (*expected, ())


@pytest.mark.parametrize(
    ("asked", "gpus", "expected"),
    [({}, ("0", "1"), (2, 4)), ({}, ("3",), (1, 4)), ({"workers": 4}, ("0", "1"), (4, 2))],
)
def test_each_gpu_has_a_process(asked, gpus, expected, monkeypatch):
    monkeypatch.setattr("cryonet.cluster.pick_device", lambda _: torch.device("cuda"))
    made = make_up("auto", cores=8, gpus=gpus, **asked)
    assert made == Machine(*expected, gpus)
    from cryonet.cluster import _env

    seen = [_env(made, number)["CUDA_VISIBLE_DEVICES"] for number in range(made.workers)]
    assert seen == [gpus[n % len(gpus)] for n in range(made.workers)]


def test_gpus_are_those_that_a_user_names():
    assert visible_gpus("2, GPU-abc") == ("2", "GPU-abc")
    assert visible_gpus("") == visible_gpus(None)


@pytest.mark.network
@pytest.mark.enable_socket
@pytest.mark.parametrize("place", ["tcp://127.0.0.1:1", "nonsense"])
def test_a_scheduler_that_does_not_answer_is_refused(place, monkeypatch):
    monkeypatch.setattr("cryonet.cluster.PATIENCE", 0.5)
    started = time.monotonic()
    with pytest.raises(ConfigError, match=f"no scheduler answers: {place}"), open_cluster(place):
        pass
    assert time.monotonic() - started < 10


def test_workers_of_a_standing_cluster_are_not_ours_to_choose():
    with pytest.raises(CryonetError, match="cannot be chosen: 2"), open_cluster("x", workers=2):
        pass
