"""A prediction straight to files: as in memory, whole or not at all, gone on with when killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_bundle import bundle  # noqa: F401 - a fixture
from test_ensemble import member
from test_missing_families import INSAR, full_scene, mixing_bundle
from test_predict import make_bundle, make_scene
from typer.testing import CliRunner

from cryonet import prediction_stream
from cryonet.bundle import save_bundle
from cryonet.cli import app
from cryonet.ensemble import predict_ensemble
from cryonet.errors import CryonetError, SceneError
from cryonet.grid import Window
from cryonet.model_pass import ModelPass
from cryonet.predict import predict_scene
from cryonet.prediction import open_prediction, read_passport, write_prediction
from cryonet.prediction_rows import OwnRows
from cryonet.prediction_stream import stream_prediction
from cryonet.progress import Cancelled
from cryonet.scene_writer import write_scene
from cryonet.synthetic import STORAGE
from cryonet.synthetic import make_scene as make_synthetic

PASSPORT = {"format": "test", "scene": {"id": "s"}, "bundle": {"title": "m"},
            "settings": {"batch": 4, "calibrated": True}, "versions": {}}  # fmt: skip
MAPS = ("classes.tif", "probabilities.tif", "confidence.tif")


def stream(models, scene, out, *, passport=PASSPORT, **options):
    known = ("window", "overlap", "flips", "batch", "precision")
    given = {k: options.pop(k) for k in known if k in options}
    passes = [ModelPass(model, scene, device="cpu", **given) for model in models]
    if "ahead" in options:
        options["maker"] = OwnRows(passes, ahead=options.pop("ahead"))
    return stream_prediction(passes, out, passport=passport, **options)


def alike(first: Path, second: Path, *more: str) -> None:
    for name in (*MAPS, *more):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


class StopAt:
    """Progress that cancels once `share` of the windows are done."""

    def __init__(self, share: float) -> None:
        self.share, self.after = share, 0

    def step(self, done, total, message=""):
        if message == "predicting" and done >= self.share * total:
            self.after += 1
            raise Cancelled


@pytest.mark.parametrize("shape", [(1, 1), (7, 200), (64, 64), (190, 129)])
@pytest.mark.parametrize("options", [
    {}, {"overlap": 0.0, "batch": 1}, {"overlap": 0.5, "flips": True, "ahead": 0},
])  # fmt: skip
def test_the_files_are_those_of_a_prediction_in_memory(shape, options, tmp_path):
    scene = make_scene(*shape)
    scene["nir"].values[3:40, 5:9] = np.nan
    kept = {key: value for key, value in options.items() if key != "ahead"}
    found = predict_scene(member(1, temperature=2.0), scene, device="cpu", **kept)
    write_prediction(found, tmp_path / "whole", passport=PASSPORT)
    stream([member(1, temperature=2.0)], scene, tmp_path / "stream", **options)
    alike(tmp_path / "whole", tmp_path / "stream")
    items = [
        json.loads((tmp_path / n / "prediction.json").read_text()) for n in ("whole", "stream")
    ]
    for item in items:
        del item["id"], item["properties"]["created"], item["properties"]["datetime"]
    assert items[0] == items[1]
    attrs = read_passport(tmp_path / "stream")["prediction"]
    assert {**found.attrs, "seconds": 0} == {**attrs, "seconds": 0} and attrs["seconds"] >= 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["stream", "whole"]


def test_a_window_and_an_ensemble_too(tmp_path):
    scene, models = make_scene(150, 170), [member(1, temperature=2.0), member(2)]
    scene["red"].values[90:95] = np.nan
    options = {"window": Window(31, 17, 101, 90)}
    write_prediction(predict_ensemble(models, scene, device="cpu", **options), tmp_path / "whole",
                     passport=PASSPORT)  # fmt: skip
    stream(models, scene, tmp_path / "stream", **options)
    alike(tmp_path / "whole", tmp_path / "stream", "disagreement.tif")
    members = [read_passport(tmp_path / n)["prediction"]["members"] for n in ("whole", "stream")]
    assert members[0] == members[1]
    assert open_prediction(tmp_path / "stream").odc.geobox == scene.odc.geobox[31:132, 17:107]


def test_what_was_filled_is_counted_once_also_when_gone_on_with(tmp_path):
    scene, model = full_scene(200, 110), mixing_bundle()
    scene["coherence"].values[60:90] = np.nan
    whole = predict_scene(model, scene, device="cpu")
    with pytest.raises(Cancelled):
        stream([model], scene, tmp_path / "map", progress=StopAt(0.7))
    stream([model], scene, tmp_path / "map")
    attrs = read_passport(tmp_path / "map")["prediction"]
    assert attrs["filled_pixels"] == whole.attrs["filled_pixels"]
    assert attrs["filled_pixels"][", ".join(INSAR)] == 30 * 110


@pytest.mark.parametrize(("share", "windows"), [(0, 24), (0.01, 24), (0.5, 20), (0.99, 8), (1, 8)])
def test_cancelled_at_any_time_it_leaves_no_map_and_goes_on(share, windows, tmp_path):
    """T9, T10: cancelled within a batch; run again, it is as if nothing had happened."""
    scene, model = make_scene(300, 200), make_bundle()
    stop = StopAt(share)
    with pytest.raises(Cancelled):
        stream([model], scene, tmp_path / "map", progress=stop, batch=1)
    assert stop.after == 1 and not (tmp_path / "map").exists()
    before = model.module.seen
    stream([model], scene, tmp_path / "map", batch=1)
    # Of six rows of four windows those over finished rows are not run again, but for one.
    assert model.module.seen - before == windows
    write_prediction(predict_scene(model, scene, device="cpu"), tmp_path / "whole", passport={})
    alike(tmp_path / "whole", tmp_path / "map")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map", "whole"]


@pytest.mark.parametrize(("change", "named"), [
    ({"overlap": 0.5}, "overlap"),
    ({"flips": True}, "flips"),
    ({"precision": "bf16"}, "precision"),
    ({"window": Window(0, 0, 200, 100)}, "window"),
    ({"passport": {**PASSPORT, "bundle": {"title": "n"}}}, "bundle"),
    ({"passport": {**PASSPORT, "scene": {"id": "t"}}}, "scene"),
])  # fmt: skip
def test_an_unfinished_one_made_otherwise_is_refused_by_name(change, named, tmp_path):
    """T11: also what lies there is kept, until overwriting is allowed."""
    scene, model = make_scene(200, 150), make_bundle()
    with pytest.raises(Cancelled):
        stream([model], scene, tmp_path / "map", progress=StopAt(0.8))
    rows = tmp_path / ".map.predict" / "rows"
    kept = {file.name: file.read_bytes() for file in rows.iterdir()}
    with pytest.raises(CryonetError, match="made otherwise") as refused:
        stream([model], scene, tmp_path / "map", **change)
    assert named in str(refused.value)
    assert {file.name: file.read_bytes() for file in rows.iterdir()} == kept
    assert not (tmp_path / "map").exists()
    stream([model], scene, tmp_path / "map", overwrite=True, **change)
    again = stream([model], scene, tmp_path / "other", **change)
    alike(tmp_path / "map", again)


def test_a_smaller_batch_may_go_on(tmp_path):
    scene, model = make_scene(200, 150), make_bundle()
    with pytest.raises(Cancelled):
        stream([model], scene, tmp_path / "map", progress=StopAt(0.8))
    smaller = {**PASSPORT, "settings": {**PASSPORT["settings"], "batch": 1}}
    stream([model], scene, tmp_path / "map", passport=smaller, batch=1)


def test_what_stands_there_is_kept_until_the_new_one_is_whole(tmp_path):
    scene, model = make_scene(), make_bundle()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(SceneError, match=r"exists already|something else"):
            stream([model], scene, tmp_path / "notes", overwrite=overwrite)
    stream([model], scene, tmp_path / "map")
    before = (tmp_path / "map" / "classes.tif").read_bytes()
    with pytest.raises(SceneError, match="exists already"):
        stream([model], scene, tmp_path / "map")
    scene["red"].values += 1
    with pytest.raises(Cancelled):
        stream([model], scene, tmp_path / "map", overwrite=True, progress=StopAt(0.5))
    assert (tmp_path / "map" / "classes.tif").read_bytes() == before
    stream([model], scene, tmp_path / "map", overwrite=True)
    assert (tmp_path / "map" / "classes.tif").read_bytes() != before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map", "notes"]


def test_two_runs_to_one_place_do_not_mix(tmp_path):
    scene, model = make_scene(), make_bundle()

    class Second:
        def step(self, done, total, message=""):
            with pytest.raises(SceneError, match="another run predicts"):
                stream([make_bundle()], scene, tmp_path / "map")

    stream([model], scene, tmp_path / "map", progress=Second())
    assert (tmp_path / "map" / "classes.tif").is_file()


def test_no_room_is_said_before_anything_is_run(tmp_path, monkeypatch):
    """T12."""
    scene, model = make_scene(), make_bundle()
    usage = shutil.disk_usage(tmp_path)._replace(free=100 * 130 * 5)
    monkeypatch.setattr(prediction_stream.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(SceneError, match="too little room"):
        stream([model], scene, tmp_path / "map")
    assert model.module.seen == 0


@pytest.mark.parametrize("name", ["has a space", "Gletscher – Übersicht 氷河"])
def test_names_of_any_kind(tmp_path, name):
    """T12."""
    scene, model = make_scene(), make_bundle()
    (tmp_path / name).mkdir()
    stream([model], scene, tmp_path / name / name)
    assert open_prediction(tmp_path / name / name).sizes["y"] == 100


def test_a_full_disk_keeps_the_rows(tmp_path, monkeypatch):
    """T12: the system's word is told, and the next run goes on."""
    scene, model = make_scene(300, 150), make_bundle()
    plain, calls = prediction_stream.RowStore.put, []

    def put(self, *given, **options):
        calls.append(1)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        plain(self, *given, **options)

    monkeypatch.setattr(prediction_stream.RowStore, "put", put)
    with pytest.raises(SceneError, match=r"No space left on device.*run it again"):
        stream([model], scene, tmp_path / "map")
    monkeypatch.undo()
    before = model.module.seen
    stream([model], scene, tmp_path / "map")
    # Two strips are safe: five of six rows of three windows are run.
    assert model.module.seen - before == 15


def test_a_folder_that_may_not_be_written_is_refused(tmp_path, monkeypatch):
    """T12."""

    def refuse(self, *given, **options):
        raise PermissionError(13, "Permission denied")

    scene, model = make_scene(), make_bundle()
    monkeypatch.setattr(prediction_stream.Path, "mkdir", refuse)
    with pytest.raises(SceneError, match=r"cannot be written.*Permission denied"):
        stream([model], scene, tmp_path / "map")


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SceneError, match="cannot be written"):
        stream([make_bundle()], make_scene(), tmp_path / "file" / "map")


def killed(bundle: Path, scene: Path, out: Path, *times: str) -> list[list]:  # noqa: F811
    """What `killed_worker` tells of its runs."""
    out.mkdir()
    worker = Path(__file__).with_name("killed_worker.py")
    run = subprocess.run(
        [sys.executable, worker, bundle, scene, out, *times],
        check=False, capture_output=True, text=True, timeout=3000,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


@pytest.mark.slow
def test_killed_at_random_moments_of_a_real_run_it_comes_out_the_same(tmp_path):
    """T10: 20 times, with the demo bundle on a synthetic scene."""
    demo = Path(__file__).parents[1] / "data" / "demo" / "bundle"
    write_scene(make_synthetic(640, seed=3), tmp_path / "scene", storage=STORAGE)
    runs = killed(demo, tmp_path / "scene", tmp_path / "out", "20")
    assert len(runs) == 20 and all(first == signal.SIGKILL for _, first, _, _ in runs)
    for name, _, there, second in runs:
        assert second == 0 or there, name
        alike(tmp_path / "out" / "undisturbed", tmp_path / "out" / name)


def test_killed_anywhere_it_comes_out_the_same(bundle, tmp_path):  # noqa: F811
    """T10: kill -9 during a tile, the rows, the overviews, the renames and the tidying."""
    torch.manual_seed(0)
    save_bundle(bundle, tmp_path / "bundle")
    scene = full_scene(200, 130)
    write_scene(scene, tmp_path / "scene")
    out = tmp_path / "out"
    points = killed(tmp_path / "bundle", tmp_path / "scene", out)
    assert len(points) == 7
    for name, first, there, second in points:
        assert first == signal.SIGKILL, name
        assert there == (name == "tidying"), name
        assert second == 0, name
        alike(out / "undisturbed", out / name)
    assert sorted(p.name for p in out.iterdir()) == sorted(["undisturbed", *(p[0] for p in points)])


def test_the_command_goes_on_and_says_so(bundle, tmp_path):  # noqa: F811
    save_bundle(bundle, tmp_path / "bundle")
    write_scene(full_scene(100, 90), tmp_path / "scene")
    given = ["predict", *(str(tmp_path / n) for n in ("bundle", "scene", "map")), "--device", "cpu"]
    found = CliRunner().invoke(app, given)
    assert found.exit_code == 0, found.output
    again = CliRunner().invoke(app, given)
    assert again.exit_code == 2 and "exists already" in again.output
