"""The report of a prediction that was corrected by hand, against plain counts of its files."""

from __future__ import annotations

import json
from base64 import b64decode
from io import BytesIO

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from matplotlib.colors import to_rgb
from page_reader import Page, asked_for
from PIL import Image
from report_ground import NAMES, SHAPE, place
from sklearn.metrics import jaccard_score

from conftest import grid
from cryonet import prediction_files
from cryonet.correct_workflow import run_correct
from cryonet.errors import SceneError
from cryonet.evaluate import score_prediction
from cryonet.prediction import open_prediction
from cryonet.prediction_files import PredictionFiles
from cryonet.report import page as page_module
from cryonet.report.measures import measure
from cryonet.report.origins import find_scene
from cryonet.report.pictures import HAND
from cryonet.report.told import read_told
from cryonet.report_workflow import run_report

CELL = 1e-4  # km², a pixel of 10 m
EVIL = '</td><script>alert(1)</script><img src=x onerror="alert(2)">'
LEFT, _, _, TOP = grid(*SHAPE).extent.boundingbox


def box(row: int, col: int, end: int, stop: int) -> shapely.Polygon:
    return shapely.box(LEFT + 10 * col, TOP - 10 * end, LEFT + 10 * stop, TOP - 10 * row)


def correct(placed, name="better", base=None, file="edits.gpkg", *, boxes=None, **columns):
    """Ice over the corner that has no class and the ground beside it, a lake, a moraine."""
    shapes = boxes or [box(0, 0, 12, 20), box(50, 55, 60, 80), box(30, 20, 34, 30)]
    told = {
        "class": ["clean_ice", "lake", "other"],
        "by": ["A. Nalyst", "B. Other", "B. Other"],
        "date": ["2024-09-15", None, None],
        "comment": ["snow, not rock", None, "a moraine"],
        **columns,
    }
    frame = gpd.GeoDataFrame(told, geometry=shapes, crs=grid(*SHAPE).crs.proj)
    frame.to_file(placed.where / file, engine="pyogrio")
    run_correct(base or placed.map, placed.where / file, placed.where / name)
    return placed.where / name


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    return place(tmp_path_factory.mktemp("corrected"))


@pytest.fixture(scope="module")
def better(ground):
    return correct(ground)


@pytest.fixture(scope="module")
def page(ground, better):
    run_report(better, ground.where / "page.html", correlation=0)
    return Page((ground.where / "page.html").read_text(encoding="utf-8"))


def cells(path, name):
    with rasterio.open(path / f"{name}.tif") as file:
        return file.read().squeeze()


@pytest.fixture(params=[0, 7, 1])
def figures(request, better, monkeypatch):
    """All at once, and cut so that strips lie across the polygons."""
    if request.param:
        monkeypatch.setattr(prediction_files, "STRIP", request.param * SHAPE[1])
    with PredictionFiles(better) as files:
        scene, _ = find_scene(files, read_told(files.passport), None)
        return measure(files, scene, correlation=0, buffer=0.5)


def test_what_a_hand_set_is_mapped_and_certain(figures, better):
    codes, stored = cells(better, "classes"), cells(better, "probabilities")
    hand = cells(better, "corrections") > 0
    assert figures.mapped == (codes != 255).sum() == codes.size
    for code, row in enumerate(figures.areas):
        share = np.where(stored[code] == 255, 0, stored[code] / 250)
        share[hand] = codes[hand] == code
        spread = np.sqrt(share * (1 - share)) * CELL
        assert row.mapped == pytest.approx((codes == code).sum() * CELL)
        assert row.expected == pytest.approx(share.sum() * CELL, rel=1e-6)
        assert row.correlated == pytest.approx(np.sqrt((spread**2).sum()), rel=1e-6)
        assert row.together == pytest.approx(spread[~hand].sum(), rel=1e-6)
        edges = (np.diff(codes == code, axis=0) != 0).sum()
        edges += (np.diff(codes == code, axis=1) != 0).sum()
        assert row.buffer == pytest.approx(0.5 * edges * CELL), "outlines of corrections too"


def test_what_is_by_hand_is_counted(figures, better):
    codes, model = cells(better, "classes"), cells(better, "model_classes")
    hand = cells(better, "corrections") > 0
    found = figures.hand
    assert found.pixels == hand.sum() == 530
    for code, name in enumerate(NAMES):
        assert found.by_class[code] == pytest.approx((hand & (codes == code)).sum() * CELL)
        for was in range(4):
            both = hand & (codes == code) & (model == was)
            assert found.km2[code, was] == pytest.approx(both.sum() * CELL)
        filled = (hand & (codes == code) & (model == 255)).sum()
        assert found.km2[code, 4] == pytest.approx(filled * CELL)
        assert filled == (63 if name == "clean_ice" else 0)
    assert found.changed == pytest.approx((codes != model).sum() * CELL)
    changes = {(was, now): area for was, now, area in found.changes()}
    assert changes["", "clean_ice"] == pytest.approx(63 * CELL)
    assert sum(changes.values()) == pytest.approx(found.changed)


def test_confidence_is_of_the_models_own_map(figures, better):
    model, stored = cells(better, "model_classes"), cells(better, "confidence")
    for code in range(4):
        inside = stored[model == code] / 250
        assert figures.confidence.mean[code] == pytest.approx(inside.mean())


def test_scores_are_of_the_corrected_map_and_the_models_stand_beside(figures, better, ground):
    labels, codes, model = (
        cells(where, name)
        for where, name in (
            (ground.scene, "labels"), (better, "classes"), (better, "model_classes")
        )
    )  # fmt: skip
    (kind,) = figures.scores
    counted = labels != 255
    iou = jaccard_score(labels[counted], codes[counted], average=None)
    scores, told = figures.scores[kind], figures.hand_scored[kind]
    assert [row.iou for row in scores.classes] == pytest.approx(list(iou))
    assert told.pixels == (counted & (cells(better, "corrections") > 0)).sum() == 530 - 100
    known = counted & (model != 255)
    iou = jaccard_score(labels[known], model[known], average=None)
    assert told.model.macro_iou == pytest.approx(iou.mean()) != scores.macro_iou
    # Reliability is that of the prediction before it was corrected.
    before = score_prediction(open_prediction(ground.map), labels).probabilities[-1]
    assert scores.probabilities[0].table.ece == pytest.approx(before.table.ece)


def test_without_corrections_nothing_is_by_hand(ground):
    with PredictionFiles(ground.map) as files:
        scene, _ = find_scene(files, read_told(files.passport), None)
        found = measure(files, scene, correlation=0, buffer=0.5)
        assert not files.corrected
        assert not any(strip.hand.any() for strip in files.strips())
    assert found.hand is None and found.hand_scored == {}
    run_report(ground.map, ground.where / "plain.html")
    text = (ground.where / "plain.html").read_text(encoding="utf-8")
    assert "by hand" not in text.split("</style>")[1]


def test_the_page_says_how_much_by_whom_and_when(page, figures, better):
    assert "Corrected by hand" in page.text
    assert "530 pixels (0.053 km²) were set by hand in 3 polygons" in page.text
    assert "0.053 km², 10.5% of the map) were set by hand; 0.046 km² of them" in page.text
    merged = json.loads((better / "passport.json").read_text())["corrections"][0]
    row = page.row("Who and when", "edits.gpkg")
    assert row[0] == "A. Nalyst, B. Other" and row[2] == "3"
    assert row[1].startswith(f"{int(merged['merged'][8:10])} ") and merged["sha256"] in page.text
    assert page.row("Each polygon", "1") == [
        "clean ice", "A. Nalyst", "2024-09-15", "snow, not rock", "240", "240",
    ]  # fmt: skip
    assert page.row("What changed", "no class") == ["clean ice", "0.006"]
    area = page.row("Areas", "clean ice")
    assert area[3] == "0.024" and area[0] == f"{figures.areas[1].mapped:.3f}"


def test_the_page_says_what_its_scores_and_confidence_are_of(page, figures):
    (told,) = figures.hand_scored.values()
    for text in (
        "Scores of the corrected map, not of the model",
        f"{told.pixels:,} of these pixels were set by hand",
        f"model's own map has a mean IoU of {told.model.macro_iou:.3f}",
        "The model's confidence is below",
        "Of the model's own map, by the classes that it gave",
        "It is the model's, also where the class was then set by hand.",
        "Pixels set by hand are certain in it, which is our choice",
        "are right on the model's own map",
    ):
        assert text in page.text


def test_the_map_shows_where(page, better):
    (shown,) = [a["src"] for _, a in page.tags if "over hand" in a.get("class", "")]
    picture = np.asarray(Image.open(BytesIO(b64decode(shown.split(",")[1]))).convert("RGBA"))
    hand = cells(better, "corrections") > 0
    np.testing.assert_array_equal(picture[..., 3] > 0, hand)
    np.testing.assert_array_equal(picture[hand][0, :3], np.rint(np.array(to_rgb(HAND)) * 255))
    (shown,) = [a["src"] for _, a in page.tags if "over classes" in a.get("class", "")]
    picture = np.asarray(Image.open(BytesIO(b64decode(shown.split(",")[1]))).convert("RGBA"))
    np.testing.assert_array_equal(picture[..., 3] > 0, cells(better, "classes") > 0)


def test_text_of_polygons_stays_text(placed):
    told = {"by": [EVIL] * 3, "comment": [EVIL] * 3}
    folder = correct(placed, file="a & b.gpkg", **told)
    passport = json.loads((folder / "passport.json").read_text())
    passport["corrections"][0] |= {"source": EVIL, "sha256": EVIL}
    (folder / "passport.json").write_text(json.dumps(passport))
    run_report(folder, placed.where / "page.html")
    page = Page((placed.where / "page.html").read_text(encoding="utf-8"))
    assert asked_for(page) == [] and len(page.scripts) == 1
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert page.text.count(EVIL) >= 9


def test_rounds_are_told_in_their_order(placed, monkeypatch):
    monkeypatch.setattr(page_module, "MOST_POLYGONS", 2)
    first = correct(placed)
    more = {name: ["3"] for name in ("class", "by", "date", "comment")} | {"date": ["2025-01-02"]}
    second = correct(placed, "best", first, "more.gpkg", boxes=[box(0, 0, 5, 5)], **more)
    run_report(second, placed.where / "page.html", bundles=[placed.bundle])
    page = Page((placed.where / "page.html").read_text(encoding="utf-8"))
    assert [row[0] for row in page.tables["Who and when"][1:]] == ["edits.gpkg", "more.gpkg"]
    # Of the first polygon the second round took 25 pixels.
    assert page.row("Each polygon", "1")[-2:] == ["240", "215"]
    assert len(page.tables["Each polygon"]) == 3 and "2 more stand in" in page.text
    lines = [
        "cryonet predict bundle scene map --batch 2 --flips",
        "cryonet correct map edits.gpkg better",
        "cryonet correct better more.gpkg best",
    ]
    assert "\n".join(lines) in page.text
    run_correct(second, placed.where / "more.gpkg", second, overwrite=True)
    run_report(second, placed.where / "page.html", overwrite=True)
    text = (placed.where / "page.html").read_text(encoding="utf-8")
    assert "cryonet correct best more.gpkg best --overwrite" in text


def _without(name):
    return lambda folder: (folder / name).unlink()


def _narrow(folder):
    gpd.read_file(folder / "corrections.gpkg")[["number", "geometry"]].to_file(
        folder / "corrections.gpkg", layer="corrections", engine="pyogrio"
    )


def _told(change):
    def write(folder):
        passport = json.loads((folder / "passport.json").read_text())
        change(passport)
        (folder / "passport.json").write_text(json.dumps(passport))

    return write


@pytest.mark.parametrize(
    ("breaks", "named"),
    [
        (_without("model_classes.tif"), r"model_classes\.tif"),
        (_without("corrections.tif"), r"corrections\.tif"),
        (_without("corrections.gpkg"), r"corrections\.gpkg"),
        (_narrow, "lack columns: class, by"),
        (_told(lambda p: p["prediction"]["corrections"].pop("km2")), r"corrections\.km2"),
        (_told(lambda p: p["corrections"][0].pop("source")), r"corrections\.0\.source"),
    ],
)
def test_what_is_damaged_is_named_and_nothing_is_written(placed, breaks, named):
    folder = correct(placed)
    breaks(folder)
    with pytest.raises(SceneError, match=named):
        run_report(folder, placed.where / "page.html")
    assert not (placed.where / "page.html").exists()


def test_numbers_of_polygons_are_not_taken_for_classes(placed):
    folder = correct(placed)
    (folder / "corrections.tif").write_bytes((folder / "classes.tif").read_bytes())
    with pytest.raises(SceneError, match=r"corrections\.tif is not a prediction's"):
        run_report(folder, placed.where / "page.html")
