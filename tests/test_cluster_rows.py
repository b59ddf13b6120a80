"""Rows made by workers: those of one process, whatever is lost; workers are threads here."""

from __future__ import annotations

import pickle
import shutil
import threading
import time
from collections import Counter
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_bundle import bundle  # noqa: F401 - a fixture
from test_missing_families import full_scene
from test_prediction_stream import StopAt, alike

from cryonet.bundle import save_bundle
from cryonet.cluster import Cluster
from cryonet.cluster_rows import RETRIES, ClusterRows, Workshop
from cryonet.cluster_worker import Block, Station, make_order
from cryonet.errors import CryonetError, SceneError
from cryonet.predict_workflow import Models
from cryonet.prediction import read_passport
from cryonet.progress import Cancelled
from cryonet.scene_passes import PassOptions, scene_passes
from cryonet.scene_writer import write_scene

OPTIONS = PassOptions(device="cpu", batch=2, overlap=0.5)


@pytest.fixture(scope="module")
def place(bundle, tmp_path_factory):  # noqa: F811
    """Two bundles, a scene with a hole, and what one process makes of them."""
    folder = tmp_path_factory.mktemp("cluster")
    torch.manual_seed(0)
    save_bundle(bundle, folder / "bundle")
    other = bundle.manifest.model_copy(update={"title": "other"})
    save_bundle(replace(bundle, manifest=other), folder / "other")
    scene = full_scene(300, 150)
    scene["nir"].values[130:140, 20:60] = np.nan
    write_scene(scene, folder / "scene")
    Models.load([folder / "bundle"], OPTIONS).predict(folder / "scene", folder / "one")
    return folder


class Workers:
    """Some stations, each with a thread; what they are given is counted."""

    def __init__(self, count, fail=None):
        self.blocks, self.under_way, self.most = [], 0, 0
        self._fail, self._lock = fail or (lambda block, time: None), threading.Lock()
        self._pool = ThreadPoolExecutor(count)
        self.stations = [Station("run") for _ in range(count)]
        self._free = list(self.stations)
        self.told = []
        for station in self.stations:
            station.begin(1, self.told.append)
        self.workshop = Workshop(self.submit, lambda: count)

    def submit(self, block):
        with self._lock:
            self.blocks.append(block)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        return self._pool.submit(self._work, block, Counter(self.blocks)[block])

    def _work(self, block, time):
        station = self._free.pop()
        try:
            if problem := self._fail(block, time):
                raise problem
            return station.rows(block)
        finally:
            self._free.append(station)
            with self._lock:
                self.under_way -= 1

    def models(self, *folders, options=OPTIONS):
        cluster = Cluster(self.workshop, "threads", None)
        return replace(Models.load(folders, options), cluster=cluster, device="cpu")


@contextmanager
def workers(count, fail=None):
    made = Workers(count, fail)
    try:
        yield made
    finally:
        for station in made.stations:
            station.teardown(None)
            station._thread.shutdown()
        made._pool.shutdown()


@pytest.mark.parametrize("count", [1, 3])
def test_the_files_are_those_of_one_process(count, place, tmp_path):
    with workers(count) as made:
        made.models(place / "bundle").predict(place / "scene", tmp_path / "map")
        assert len(made.blocks) >= 2 * count
        assert sorted(row for block in made.blocks for row in block.rows) == [*range(300)]
    alike(place / "one", tmp_path / "map")
    own, theirs = (read_passport(folder) for folder in (place / "one", tmp_path / "map"))
    for passport in (own, theirs):
        del passport["prediction"]["seconds"]
    assert own == theirs


def test_an_ensemble_too_and_other_options(place, tmp_path):
    options = replace(OPTIONS, overlap=0.0, blend="constant")
    folders = [place / "bundle", place / "other"]
    Models.load(folders, options).predict(place / "scene", tmp_path / "one")
    with workers(2) as made:
        made.models(*folders, options=options).predict(place / "scene", tmp_path / "map")
    alike(tmp_path / "one", tmp_path / "map", "disagreement.tif")


def test_a_block_whose_worker_is_lost_is_given_out_again(place, tmp_path):
    with workers(2, lambda block, time: OSError("killed") if time <= 3 else None) as made:
        made.models(place / "bundle").predict(place / "scene", tmp_path / "map")
        assert set(Counter(made.blocks).values()) == {4}
        assert made.workshop._under_way == 0
    alike(place / "one", tmp_path / "map")


def test_one_that_always_fails_ends_the_run_and_the_rest_is_kept(place, tmp_path):
    with workers(
        2, lambda block, _: MemoryError("no room") if block.rows.stop == 300 else None
    ) as made:
        models = made.models(place / "bundle")
        with pytest.raises(CryonetError, match=rf"failed {RETRIES + 1} times.*no room") as said:
            models.predict(place / "scene", tmp_path / "map")
        assert "scene s, rows" in said.value.what and "run it again" in said.value.rule
        assert max(Counter(made.blocks).values()) == RETRIES + 1
        assert made.workshop._under_way == 0
    assert not (tmp_path / "map").exists()
    with workers(1) as made:
        made.models(place / "bundle").predict(place / "scene", tmp_path / "map")
        assert 0 not in [block.rows.start for block in made.blocks]
    alike(place / "one", tmp_path / "map")


def test_what_is_wrong_with_the_input_is_told_at_once(place, tmp_path):
    wrong = CryonetError("the raster is damaged", "x.tif", "Mend it.")
    with workers(1, lambda block, _: wrong) as made:
        with pytest.raises(CryonetError, match=r"scene s, rows 0 to .*: the raster is damaged"):
            made.models(place / "bundle").predict(place / "scene", tmp_path / "map")
        assert max(Counter(made.blocks).values()) == 1


def test_a_lost_cluster_keeps_what_is_finished(place, tmp_path):
    gone = Future()
    gone.cancel()
    gone.set_running_or_notify_cancel()
    with workers(1) as made:
        given = []

        def submit(block):
            given.append(block)
            return gone if len(given) > 2 else made.submit(block)

        made.workshop.submit = submit
        with pytest.raises(CryonetError, match=r"the cluster was lost.*run it again") as said:
            made.models(place / "bundle").predict(place / "scene", tmp_path / "map")
        assert isinstance(said.value.__cause__, CancelledError)
    assert (tmp_path / ".map.predict" / "rows").is_dir()


@contextmanager
def rows_by(made, place):
    """The rows of the scene, made by workers."""
    models = Models.load([place / "bundle"], OPTIONS)
    with scene_passes(models.bundles, place / "scene", OPTIONS) as passes:
        yield ClusterRows(made.workshop, _order(place), passes, "s")


def test_no_more_blocks_are_under_way_than_workers_can_take(place):
    """Whoever writes the rows is slow: finished blocks do not pile up."""
    with workers(2) as made, rows_by(made, place) as maker:
        rows = maker.rows([range(300)])
        next(rows)
        time.sleep(0.5)
        assert len(made.blocks) <= 1 + made.workshop.capacity
        rows.close()
        assert made.workshop._under_way == 0
        assert made.most <= made.workshop.capacity == 3


def test_rows_that_are_there_are_not_made_again(place):
    gaps = [range(32, 64), range(128, 192), range(236, 300)]
    with workers(1) as made, rows_by(made, place) as maker:
        tops = maker.passes[0].tops
        assert {gap.start for gap in gaps} < {*tops}
        found = [pending() for pending in maker.rows(gaps)]
        rows = [row + one.top for one in found for row in range(one.rasters["classes"].shape[1])]
    assert sorted(rows) == [row for gap in gaps for row in gap]


@pytest.mark.parametrize("first", ["workers", "one process"])
def test_stopped_it_is_gone_on_with_by_either(first, place, tmp_path):
    """T9: rows from the middle are kept, and only those that lack are made."""
    own = Models.load([place / "bundle"], OPTIONS)
    with workers(2) as made:
        theirs = made.models(place / "bundle")
        one, two = (theirs, own) if first == "workers" else (own, theirs)
        with pytest.raises(Cancelled):
            one.predict(place / "scene", tmp_path / "map", progress=StopAt(0.5))
        before = len(made.blocks)
        two.predict(place / "scene", tmp_path / "map")
        if first == "one process":
            assert sum(len(block.rows) for block in made.blocks[before:]) < 300
    alike(place / "one", tmp_path / "map")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "scene" / "optical.tif").unlink(), "finds another scene.*optical.tif"),
        (lambda f: shutil.rmtree(f / "scene"), "cannot read the scene"),
        (lambda f: shutil.rmtree(f / "bundle"), "cannot read the bundle"),
        (lambda f: shutil.copytree(f / "other", f / "bundle", dirs_exist_ok=True),
         "finds another bundle"),
    ],
)  # fmt: skip
def test_a_worker_that_finds_other_files_refuses(spoil, said, place, tmp_path):
    shutil.copytree(place, tmp_path / "here")
    here = tmp_path / "here"
    order = _order(here)
    spoil(here)
    with workers(1) as made, pytest.raises(CryonetError, match=said) as refused:
        made.submit(_block(order)).result()
    assert "shared file system" in refused.value.rule


def test_what_is_wrong_survives_the_way_to_another_process(place, tmp_path):
    """GDAL's own error, where it stands behind ours, does not."""
    shutil.copytree(place / "scene", tmp_path / "scene")
    file = tmp_path / "scene" / "optical.tif"
    file.write_bytes(file.read_bytes()[:-2000])
    manifest = Models.load([place / "bundle"], OPTIONS).bundles[0].manifest
    order = make_order([(place / "bundle", manifest)], tmp_path / "scene", OPTIONS)
    with workers(1) as made, pytest.raises(SceneError, match=r"damaged") as said:
        made.stations[0].rows(replace(_block(order), rows=range(0, 300)))
    assert said.value.__cause__ is None and said.value.__context__ is None
    assert str(pickle.loads(pickle.dumps(said.value))) == str(said.value)


def test_a_worker_with_other_versions_refuses(place):
    order = replace(_order(place), versions=(("torch", "1.0"),))
    with workers(1) as made, pytest.raises(CryonetError, match=r"torch .*, not 1\.0 \(on "):
        made.submit(_block(order)).result()


def test_a_worker_tells_how_far_it_is_and_stops_when_the_run_ends(place, monkeypatch):
    monkeypatch.setattr("cryonet.cluster_worker.REPORT", 0.0)
    with workers(1) as made:
        block = replace(_block(_order(place)), rows=range(0, 300))
        made.submit(block).result()
        done = [told["done"] for told in made.told]
        # Nine rows of windows, four side by side.
        assert done == sorted(done) and done[-1] == 9 * 4 and {t["block"] for t in made.told} == {7}
        made.workshop.hear(made.told[-1])
        assert made.workshop.heard(block) == 36
        made.stations[0]._ended.set()
        with pytest.raises(Cancelled):
            made.submit(block).result()


def _order(folder):
    manifest = Models.load([folder / "bundle"], OPTIONS).bundles[0].manifest
    return make_order([(folder / "bundle", manifest)], folder / "scene", OPTIONS)


def _block(order):
    return Block(7, order, range(0, 32))
