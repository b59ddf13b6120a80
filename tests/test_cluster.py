"""A real dask cluster on loopback: processes that are killed, and what is left of them."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from test_bundle import bundle  # noqa: F401 - a fixture
from test_missing_families import full_scene
from test_predict_scenes import Heard
from test_prediction_stream import alike

from cryonet.bundle import save_bundle
from cryonet.cluster import Machine, _env, make_up, open_cluster, visible_gpus
from cryonet.errors import ConfigError, CryonetError
from cryonet.predict_scenes import run_predictions
from cryonet.predict_workflow import Models
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
            victim = self._alive()
            os.kill(victim, signal.SIGKILL)
            self.killed.append(victim)

    def _alive(self):
        """A worker's process; the scheduler may not yet have heard of the last one's end."""
        for _ in range(100):
            told = self.cluster._client.run(os.getpid, on_error="return")
            alive = [pid for pid in told.values() if isinstance(pid, int)]
            if new := [pid for pid in alive if pid not in self.killed]:
                return new[0]
            time.sleep(0.2)
        raise AssertionError("no worker came back")


@pytest.fixture
def place(bundle, tmp_path):  # noqa: F811
    """A bundle, a tall scene, and three of which one's pixels are damaged."""
    torch.manual_seed(0)
    save_bundle(bundle, tmp_path / "bundle")
    whole = full_scene(300, 90)
    write_scene(whole, tmp_path / "tall")
    for name, rows in (("a", slice(0, 80)), ("b", slice(40, 120)), ("c", slice(70, 150))):
        part = whole.isel(y=rows).assign_attrs(id=name)
        write_scene(part, tmp_path / "scenes" / name)
    file = tmp_path / "scenes" / "b" / "optical.tif"
    file.write_bytes(file.read_bytes()[:-2000])
    return tmp_path


def ours():
    """Processes below this one, but for Python's own that cleans up at its end."""
    found = psutil.Process().children(recursive=True)
    return {child.pid for child in found if "resource_tracker" not in " ".join(child.cmdline())}


@pytest.mark.network
@pytest.mark.enable_socket
def test_a_killed_worker_changes_nothing_and_nothing_is_left(place, monkeypatch):
    """T17 over one scene and over many, with one cluster, as it takes seconds to start."""
    own, before = Models.load([place / "bundle"], OPTIONS), ours()
    own.predict(place / "tall", place / "one")
    with open_cluster("local", device="cpu", workers=2, threads=1) as cluster:
        models = own.on(cluster)
        killer = Killer(cluster, [0.05])
        models.predict(place / "tall", place / "two", progress=killer)
        assert len(killer.killed) == 1
        alike(place / "one", place / "two")
        monkeypatch.setattr("cryonet.predict_scenes.cluster_for", lambda *_: nullcontext(cluster))
        heard = Heard()
        report = run_predictions(place / "bundle", place / "scenes", place / "out",
                                 options=OPTIONS, mosaic="mosaic", progress=heard)  # fmt: skip
    assert ours() == before
    assert not list(Path(tempfile.gettempdir()).glob("cryonet-dask-*"))
    assert sorted(report.written) == ["a", "c"] and report.mosaic is None
    # From another process in its three parts, and the place besides.
    assert list(report.failed) == ["b"] and report.failed["b"].startswith("scene b, rows ")
    assert "damaged" in report.failed["b"]
    for name in report.written:
        own.predict(place / "scenes" / name, place / name)
        alike(place / name, place / "out" / name)
    done = [d for d, _, text in heard.steps if "predicting" in text]
    assert done == sorted(done)


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.enable_socket
def test_workers_killed_again_and_again_change_nothing(place):
    """T17: each time that a tenth more is done."""
    options = replace(OPTIONS, flips=True)
    own = Models.load([place / "bundle"], options)
    own.predict(place / "tall", place / "one")
    with open_cluster("local", device="cpu", workers=2, threads=1) as cluster:
        killer = Killer(cluster, [share / 10 for share in range(9)])
        own.on(cluster).predict(place / "tall", place / "two", progress=killer)
    assert len(killer.killed) == 9
    alike(place / "one", place / "two")


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
