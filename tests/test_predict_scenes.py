"""Many scenes: a prediction each and one mosaic; one that fails does not stop the others."""

from __future__ import annotations

import json
import threading

import pytest
import torch
from test_bundle import bundle  # noqa: F401 - a fixture
from test_missing_families import full_scene
from test_prediction_stream import alike
from typer.testing import CliRunner

from cryonet.bundle import save_bundle
from cryonet.cli import app
from cryonet.errors import CryonetError
from cryonet.mosaic_workflow import run_mosaic
from cryonet.predict_scenes import run_predictions
from cryonet.predict_workflow import run_prediction
from cryonet.prediction import open_prediction
from cryonet.progress import Cancelled
from cryonet.scene_passes import PassOptions
from cryonet.scene_shares import SceneShares
from cryonet.scene_writer import write_scene

OPTIONS = PassOptions(device="cpu")


@pytest.fixture
def place(bundle, tmp_path):  # noqa: F811
    """A bundle and three scenes that overlap."""
    torch.manual_seed(0)
    save_bundle(bundle, tmp_path / "bundle")
    whole = full_scene(130, 150)
    for name, rows in (
        ("north", slice(0, 80)),
        ("middle", slice(30, 110)),
        ("south", slice(60, 130)),
    ):
        part = whole.isel(y=rows).assign_attrs(id=name)
        write_scene(part, tmp_path / "scenes" / name)
    return tmp_path


class Heard:
    def __init__(self):
        self.steps, self.threads = [], set()

    def step(self, done, total, message=""):
        self.steps.append((done, total, message))
        self.threads.add(threading.get_ident())


def run(place, *options):
    given = ["predict", place / "bundle", place / "scenes", place / "out", "--device", "cpu"]
    return CliRunner().invoke(app, [str(value) for value in (*given, *options)])


def spoil(place):
    """Damage a scene so that only the pixels tell; return what mends it."""
    file = place / "scenes" / "middle" / "optical.tif"
    data = file.read_bytes()
    file.write_bytes(data[:-2000])
    return lambda: file.write_bytes(data)


def test_each_is_as_alone_and_the_mosaic_is_of_all(place):
    heard = Heard()
    report = run_predictions(
        place / "bundle", place / "scenes", place / "out", options=OPTIONS, mosaic="all",
        progress=heard,
    )  # fmt: skip
    assert report.written == ["middle", "north", "south"] and not report.failed
    for name in report.written:
        run_prediction(place / "bundle", place / "scenes" / name, place / name, device="cpu")
        alike(place / name, place / "out" / name)
    parts = [place / name for name in report.written]
    alike(run_mosaic(parts, place / "mosaic"), place / "out" / "all")
    assert open_prediction(place / "out" / "all")["classes"].shape == (130, 150)
    # One progress over all: it never goes back, and ends at its end.
    done = [d for d, total, text in heard.steps if total and "predicting" in text]
    assert done == sorted(done) and {t for _, t, text in heard.steps if "predicting" in text} == {
        max(done)
    }


def test_one_that_cannot_be_read_is_told_at_the_end_and_goes_on_when_mended(place):
    mend = spoil(place)
    told = run(place)
    assert told.exit_code == 2
    assert "wrote 2 predictions" in told.output and "middle failed: " in told.output
    assert "1 of 3 scenes failed: middle. There is no mosaic yet" in told.output
    assert sorted(p.name for p in (place / "out").iterdir() if p.name[0] != ".") == [
        "north", "south",
    ]  # fmt: skip
    mend()
    before = (place / "out" / "north" / "classes.tif").stat().st_mtime_ns
    told = run(place, "--overwrite")
    assert told.exit_code == 0, told.output
    assert "wrote 1 predictions" in told.output and "2 were there" in told.output
    assert (place / "out" / "north" / "classes.tif").stat().st_mtime_ns == before
    assert (place / "out" / "mosaic" / "classes.tif").is_file()


def test_an_item_that_is_damaged_fails_alone(place):
    (place / "scenes" / "south" / "scene.json").write_text("{")
    told = run(place)
    assert told.exit_code == 2 and "south failed: the scene's item is not JSON" in told.output
    assert (place / "out" / "north").is_dir() and (place / "out" / "middle").is_dir()
    told = run(place, "--no-mosaic")
    assert told.exit_code == 2 and "2 were there" in told.output
    assert not (place / "out" / "mosaic").exists()


def test_made_otherwise_they_are_kept_until_that_is_allowed(place):
    assert run(place).exit_code == 0
    told = run(place, "--overlap", "0.5")
    assert told.exit_code == 2 and "3 of 3 scenes failed" in told.output
    assert "exists already" in told.output
    assert run(place, "--overlap", "0.5", "--overwrite").exit_code == 0


def test_cancelled_what_is_finished_is_kept(place):
    class Stop(Heard):
        def step(self, done, total, message=""):
            super().step(done, total, message)
            if "north, predicting" in message:
                raise Cancelled

    with pytest.raises(Cancelled):
        run_predictions(place / "bundle", place / "scenes", place / "out", options=OPTIONS,
                        progress=Stop())  # fmt: skip
    report = run_predictions(place / "bundle", place / "scenes", place / "out", options=OPTIONS)
    assert report.kept == ["middle"] and report.written == ["north", "south"]


def test_the_mosaic_may_have_another_crs(place):
    assert run(place, "--crs", "EPSG:32644").exit_code == 0
    assert open_prediction(place / "out" / "mosaic").odc.geobox.crs.epsg == 32644


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--workers", "2"), "Give --scheduler, too"),
        (("--threads", "2"), "Give --scheduler, too"),
        (("--crs", "nonsense"), "CRS is unknown"),
        (("--scheduler", "nonsense"), "no scheduler answers: nonsense"),
        (("--scheduler", "nonsense", "--workers", "2"), "workers cannot be chosen"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, said, place):
    told = run(place, *options)
    assert told.exit_code == 2 and said in told.output.replace("\n", " ")
    assert not (place / "out").exists()


def test_one_scene_has_no_mosaic(place):
    given = ["predict", place / "bundle", place / "scenes" / "north", place / "out"]
    told = CliRunner().invoke(app, [*map(str, given), "--crs", "EPSG:32644"])
    assert told.exit_code == 2 and "one scene has no mosaic" in told.output


def test_an_output_that_is_something_else_is_refused(place):
    run_prediction(place / "bundle", place / "scenes" / "north", place / "out", device="cpu")
    told = run(place)
    assert told.exit_code == 2 and "the output is something else" in told.output
    item = place / "scenes" / "north" / "scene.json"
    item.write_text(json.dumps(json.loads(item.read_text()) | {"id": "mosaic"}))
    with pytest.raises(CryonetError, match="cannot have this name"):
        run_predictions(place / "bundle", place / "scenes", place / "new", options=OPTIONS,
                        mosaic="mosaic")  # fmt: skip


def test_threads_share_one_progress():
    """Only the thread that began it is told; a scene's other steps do not count."""
    heard = Heard()
    shares = SceneShares(heard, {"a": 10, "b": 20})
    thread = threading.Thread(target=lambda: shares.of("b").step(5, 20, "predicting"))
    thread.start()
    thread.join()
    assert heard.steps == []
    shares.of("a").step(4, 10, "predicting")
    shares.of("a").step(1, 3, "writing")
    assert heard.steps == [(9, 30, "a, predicting"), (9, 30, "a, writing")]
    shares.finish("a")
    shares.show()
    assert heard.steps[-1][:2] == (15, 30) and heard.threads == {threading.get_ident()}
    shares.stop()
    with pytest.raises(Cancelled):
        shares.of("b").step(6, 20)
