"""`cryonet report`: what it takes, what it refuses, and that nothing is left half-written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from report_ground import make_codes, make_prediction, place
from typer.testing import CliRunner

from conftest import grid
from cryonet.cli import app
from cryonet.errors import BundleError, GridError, SceneError
from cryonet.prediction import write_prediction
from cryonet.progress import Cancelled
from cryonet.report_workflow import run_report


@pytest.fixture
def placed(tmp_path: Path):
    return place(tmp_path)


def run(*args: object):
    return CliRunner().invoke(app, ["report", *map(str, args)])


def test_the_command_writes_a_page_and_replaces_a_page_only(placed):
    out = placed.where / "page.html"
    made = run(placed.map, out)
    assert made.exit_code == 0, made.output
    assert f"wrote {out}" in made.output.replace("\n", "")
    first = out.read_bytes()
    again = run(placed.map, out)
    assert again.exit_code == 2 and "exists already" in again.output
    assert run(placed.map, out, "--overwrite", "--buffer", 2).exit_code == 0
    assert out.read_bytes() != first
    other = placed.where / "letter.html"
    other.write_text("<!doctype html><title>a letter</title>")
    refused = run(placed.map, other, "--overwrite")
    assert refused.exit_code == 2 and "something else" in refused.output
    assert "a letter" in other.read_text()


@pytest.mark.parametrize("name", ["page.pdf", "page"])
def test_a_page_is_named_so(placed, name):
    with pytest.raises(SceneError, match="a report is a page"):
        run_report(placed.map, placed.where / name)
    assert not (placed.where / name).exists()


def test_a_folder_that_is_no_prediction_is_refused(placed):
    result = run(placed.scene, placed.where / "page.html")
    assert result.exit_code == 2
    assert "there is no prediction" in result.output and "passport.json" in result.output
    (placed.map / "confidence.tif").unlink()
    with pytest.raises(SceneError, match=r"confidence\.tif"):
        run_report(placed.map, placed.where / "page.html")
    assert not (placed.where / "page.html").exists()


def test_another_scene_and_another_bundle_are_refused(placed, tmp_path_factory):
    item = json.loads((placed.scene / "scene.json").read_text())
    other = placed.where / "other"
    shutil.copytree(placed.scene, other)
    (other / "scene.json").write_text(json.dumps(item | {"id": "mountain"}))
    with pytest.raises(SceneError, match=r"mountain.*prediction is of ground"):
        run_report(placed.map, placed.where / "page.html", scene=other)
    manifest = json.loads((placed.bundle / "manifest.json").read_text())
    stranger = placed.where / "stranger"
    shutil.copytree(placed.bundle, stranger)
    (stranger / "manifest.json").write_text(json.dumps(manifest | {"weights_sha256": "ab" * 32}))
    with pytest.raises(BundleError, match=r"not the one of the prediction.*abababababab"):
        run_report(placed.map, placed.where / "page.html", bundles=[stranger])
    with pytest.raises(BundleError, match="there is no bundle"):
        run_report(placed.map, placed.where / "page.html", bundles=[placed.scene])
    assert not (placed.where / "page.html").exists()


def test_scene_and_bundle_may_be_given(placed):
    scene, bundle = placed.where / "moved", placed.where / "elsewhere"
    placed.scene.rename(scene)
    placed.bundle.rename(bundle)
    out = placed.where / "page.html"
    result = run(placed.map, out, "--scene", scene, "--bundle", bundle)
    assert result.exit_code == 0, result.output
    text = out.read_text(encoding="utf-8")
    assert "no longer where" not in text
    assert "Against labels" in text and "Without a family of layers" in text
    assert "cryonet predict elsewhere moved map" in text


def test_a_linked_scene_that_became_another_is_left_out(placed):
    item = json.loads((placed.scene / "scene.json").read_text())
    (placed.scene / "scene.json").write_text(json.dumps(item | {"id": "mountain"}))
    run_report(placed.map, placed.where / "page.html")
    text = (placed.where / "page.html").read_text(encoding="utf-8")
    assert "cannot be used: the scene is another" in text and "Against labels" not in text


def test_files_that_changed_since_are_named(placed):
    shutil.copy(placed.scene / "elevation.tif", placed.scene / "extra.tif")
    with (placed.scene / "labels.tif").open("ab") as file:
        file.write(b" ")
    run_report(placed.map, placed.where / "page.html")
    text = (placed.where / "page.html").read_text(encoding="utf-8")
    assert "have changed since the prediction: labels.tif." in text
    assert "newer than the prediction: extra.tif." in text


def test_a_prediction_of_a_part_lies_on_its_part_of_the_scene(placed):
    codes = make_codes()[20:50, 10:60]
    whole = grid(61, 83)
    part = make_prediction(codes)
    found = part.assign_coords(x=whole.coords["x"].values[10:60], y=whole.coords["y"].values[20:50])
    passport = json.loads((placed.map / "passport.json").read_text())
    links = {"scene": placed.scene / "scene.json"}
    folder = write_prediction(found, placed.where / "part", passport=passport, sources=links)
    run_report(folder, placed.where / "page.html", bundles=[placed.bundle])
    text = (placed.where / "page.html").read_text(encoding="utf-8")
    assert "Against labels" in text
    counted = int((codes != 255).sum())
    assert f"{counted:,} pixels count." in text
    moved = found.assign_coords(x=found.x + 4.0)
    folder = write_prediction(moved, placed.where / "moved", passport=passport)
    with pytest.raises(GridError, match="the scene and the prediction differ in position"):
        run_report(folder, placed.where / "other.html", scene=placed.scene)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"scene": "ground"}, "scene"),
        ({"versions": {"cryonet": {"a": 1}}}, "versions.cryonet"),
        ({"bundle": {"training": {"scenes": 5}}}, "bundle.training.scenes"),
        ({"prediction": {"filled_pixels": ["x"]}}, "prediction.filled_pixels"),
    ],
)
def test_a_damaged_passport_is_named(placed, change, named):
    passport = json.loads((placed.map / "passport.json").read_text()) | change
    (placed.map / "passport.json").write_text(json.dumps(passport))
    with pytest.raises(SceneError, match=f"not valid at {named}"):
        run_report(placed.map, placed.where / "page.html")


def test_a_damaged_item_is_refused(placed):
    for text in ("{", "[]", '{"links": [5]}'):
        (placed.map / "prediction.json").write_text(text)
        with pytest.raises(SceneError, match="item is damaged"):
            run_report(placed.map, placed.where / "page.html")


def test_cancelled_it_leaves_nothing(placed):
    class Stop:
        def step(self, done, total, message=""):
            if message == "drawing":
                raise Cancelled

    before = sorted(placed.where.iterdir())
    with pytest.raises(Cancelled):
        run_report(placed.map, placed.where / "page.html", progress=Stop())
    assert sorted(placed.where.iterdir()) == before


def test_where_nothing_can_be_written_it_is_said(placed, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr("cryonet.report_workflow.Path.write_text", refuse)
    with pytest.raises(SceneError, match=r"cannot be written.*no space left"):
        run_report(placed.map, placed.where / "page.html")
    assert not list(placed.where.glob("*page*"))


def test_of_an_ensemble_each_card_is_there(placed):
    passport = json.loads((placed.map / "passport.json").read_text())
    one = passport.pop("bundle")
    passport["members"] = [one, one | {"title": "second"}]
    (placed.map / "passport.json").write_text(json.dumps(passport))
    run_report(placed.map, placed.where / "page.html", bundles=[placed.bundle, placed.bundle])
    text = (placed.where / "page.html").read_text(encoding="utf-8")
    assert text.count('<details class="card">') == 2
    assert "--with bundle" in text and "Model 2" in text


def _torn(placed):
    (placed.map / "probabilities.tif").write_bytes(b"II*\0 torn")


def _odd_passport(placed):
    (placed.map / "passport.json").write_text('{"scene": "ground"}')


def _linked_card(placed):
    (placed.bundle / "CARD.md").unlink()
    (placed.bundle / "CARD.md").symlink_to(placed.map / "passport.json")


def _in_the_way(placed):
    (placed.where / "pages").write_text("in the way")


def _nothing(placed):
    pass


@pytest.mark.parametrize(
    ("breaks", "arguments", "parts"),
    [
        (_nothing, "map page.pdf", ("a report is a page: ", "page.pdf. ", "Name it with .html")),
        (_nothing, "none page.html", ("there is no prediction: ", "/none. ", "passport.json")),
        (_torn, "map page.html", ("raster is damaged: ", "/probabilities.tif. ", "GDAL says")),
        (_odd_passport, "map page.html", ("valid at scene: ", "'ground'. ", "Input should")),
        (_nothing, "map page.html --scene map", ("there is no scene: ", "/map. ", "scene.json")),
        (_nothing, "map page.html --bundle map", ("is no bundle: ", "/map. ", "manifest.json")),
        (_linked_card, "map page.html --bundle bundle", ("no card: ", "/bundle. ", "CARD.md")),
        (_in_the_way, "map pages/page.html", ("be written: ", "/page.html. ", "system says")),
    ],
)
def test_errors_have_three_parts_and_leave_nothing(placed, breaks, arguments, parts):
    breaks(placed)
    before = sorted(placed.where.rglob("*"))
    result = run(*(word if "-" in word else placed.where / word for word in arguments.split()))
    said = " ".join(result.output.split())
    assert result.exit_code == 2, said
    error = said.partition("Error: ")[2]
    places = [error.find(part) for part in parts]
    assert -1 not in places and places == sorted(places), said
    assert "Traceback" not in said and sorted(placed.where.rglob("*")) == before


@pytest.mark.parametrize("option", ["--buffer", "--correlation"])
def test_lengths_below_nothing_are_refused(placed, option):
    result = run(placed.map, placed.where / "page.html", option, "-1")
    assert result.exit_code == 2 and not (placed.where / "page.html").exists()
    assert run(placed.map, placed.where / "page.html", option, "nan").exit_code == 2
    assert not (placed.where / "page.html").exists()


def test_a_linked_card_that_is_a_link_is_not_shown(placed):
    secret = placed.where / "secret.txt"
    secret.write_text("nobody's business")
    (placed.bundle / "CARD.md").unlink()
    (placed.bundle / "CARD.md").symlink_to(secret)
    run_report(placed.map, placed.where / "page.html")
    text = (placed.where / "page.html").read_text(encoding="utf-8")
    assert "business" not in text and "cannot be used: the bundle has no card" in text


def test_it_says_when_it_is_written(placed):
    class Told(list):
        def step(self, done, total, message=""):
            self.append((done, total, message))

    told = Told()
    run_report(placed.map, placed.where / "page.html", progress=told)
    assert told[0][2] == "looking for scene and bundle" and told[-1] == (1, 1, "written")
