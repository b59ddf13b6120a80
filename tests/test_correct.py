"""Corrections by hand: against burning by another tool, and what is kept of model and hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.features
import shapely
from stac_rules import broken_rules, check_core
from test_outlines import folders, ground, shares_of  # noqa: F401 - fixtures
from typer.testing import CliRunner

from conftest import grid
from cryonet.areas import estimate_areas
from cryonet.change import total_change
from cryonet.cli import app
from cryonet.correct_workflow import run_correct
from cryonet.corrections import Correction, burn_corrections, settled_probabilities
from cryonet.errors import CryonetError, GridError, SceneError
from cryonet.evaluate import score_prediction
from cryonet.file_hash import file_sha256
from cryonet.label_workflow import run_add_labels
from cryonet.outlines_workflow import run_outlines
from cryonet.prediction import open_prediction, read_passport
from cryonet.scene import open_scene, read_item
from cryonet.trainset import make_trainset

SHAPE = (90, 120)
GRID = grid(*SHAPE)
LEFT, BOTTOM, RIGHT, TOP = GRID.extent.boundingbox
PIXEL = 1e-4
MODEL_FILES = ("probabilities.tif", "confidence.tif")


def box(row: int, col: int, end: int, stop: int) -> shapely.Polygon:
    """The outline of a block of pixels."""
    return shapely.box(LEFT + 10 * col, TOP - 10 * end, LEFT + 10 * stop, TOP - 10 * row)


#: Between the centres of pixels.
SPECK = shapely.box(LEFT + 31, TOP - 33, LEFT + 33, TOP - 31)


def drawn(path: Path, shapes, crs=GRID.crs.proj, **columns) -> Path:
    """Polygons as a user saves them; all columns of the length of `shapes`."""
    told = {"class": ["other"] * len(shapes), "by": ["A. Nalyst"] * len(shapes), **columns}
    kept = {name: values for name, values in told.items() if values is not None}
    gpd.GeoDataFrame(kept, geometry=list(shapes), crs=crs).to_file(path, engine="pyogrio")
    return path


@pytest.fixture
def edits(tmp_path) -> Path:
    """A nunatak that is ice, a tongue that reaches on into the lake, and rock over part of it."""
    return drawn(
        tmp_path / "edits.gpkg",
        [box(20, 20, 24, 26), box(50, 15, 66, 35), box(60, 15, 63, 20)],
        **{
            "class": ["clean_ice", "debris-covered ice", "0"],
            "date": ["2024-09-15", None, "2024-09-16"],
            "comment": ["snow, not rock", None, "a moraine"],
            "by": ["A. Nalyst", None, "B. Other"],
        },
    )


def values(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read(1)


def test_later_polygons_lie_over_earlier_ones():
    codes = np.zeros(SHAPE, np.uint8)
    codes[:, 60:], codes[:5] = 2, 255
    shapes = [
        box(0, 50, 20, 70),
        box(10, 60, 30, 80),
        box(88, 118, 95, 125),
        SPECK,
    ]
    given = [Correction(s, k, "x", "", "", 0.0) for s, k in zip(shapes, (1, 3, 1, 1), strict=True)]
    made, owners, done = burn_corrections(codes, np.zeros(SHAPE, np.uint32), given, GRID, first=5)
    wanted = codes.copy()
    wanted[:20, 50:70], wanted[10:30, 60:80], wanted[88:, 118:] = 1, 3, 1
    np.testing.assert_array_equal(made, wanted)
    assert np.unique(owners, return_counts=True)[1].tolist() == [10800 - 704, 300, 400, 4]
    assert owners[15, 65] == 6 and owners[2, 52] == 5 and owners.max() == 7
    assert {code: pixels for code, (pixels, _) in done[0].before.items()} == {
        0: 150,
        2: 150,
        255: 100,
    }
    assert {code: pixels for code, (pixels, _) in done[1].before.items()} == {1: 100, 2: 300}
    assert done[0].km2 == pytest.approx(400 * PIXEL) and done[3].pixels == 0
    assert (codes[:5] == 255).all(), "what is given is not altered"


@pytest.mark.parametrize("seed", range(3))
def test_pixels_are_those_of_another_tool(seed):
    """Stars of any shape, burned one after another over the whole map by rasterio alone."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, SHAPE).astype(np.uint8)
    given = []
    for _ in range(12):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        radii = rng.uniform(20, 250, 9)
        x, y = rng.uniform(LEFT, RIGHT), rng.uniform(BOTTOM, TOP)
        star = shapely.Polygon(np.c_[x + radii * np.cos(angles), y + radii * np.sin(angles)])
        given.append(Correction(star, int(rng.integers(4)), "x", "", "", 0.0))
    made, owners, _ = burn_corrections(codes, np.zeros(SHAPE, np.uint32), given, GRID)
    pairs = [(one.shape, one.code + 1) for one in given]
    burned = rasterio.features.rasterize(pairs, SHAPE, transform=GRID.transform, dtype="uint8")
    np.testing.assert_array_equal(made, np.where(burned > 0, burned - 1, codes))
    np.testing.assert_array_equal(owners > 0, burned > 0)


def test_model_and_hand_are_kept_apart(folders, ground, edits, tmp_path):  # noqa: F811
    made, _ = folders
    before = {f.name: f.read_bytes() for f in made.iterdir()}
    out = tmp_path / "corrected map"
    done = run_correct(made, edits, out, by="C. Ommand", comment="seen in the field")
    assert {f.name: f.read_bytes() for f in made.iterdir()} == before
    for name in MODEL_FILES:
        assert (out / name).read_bytes() == before[name]
    assert (out / "model_classes.tif").read_bytes() == before["classes.tif"]
    wanted, owners = ground.copy(), np.zeros(SHAPE, int)
    for number, (code, place) in enumerate(
        [(1, np.s_[20:24, 20:26]), (2, np.s_[50:66, 15:35]), (0, np.s_[60:63, 15:20])], start=1
    ):
        wanted[place], owners[place] = code, number
    np.testing.assert_array_equal(values(out / "classes.tif"), wanted)
    np.testing.assert_array_equal(values(out / "corrections.tif"), owners)
    found = open_prediction(out)
    np.testing.assert_array_equal(found["model_classes"].values, ground)
    np.testing.assert_array_equal(found["corrections"].values, owners)
    np.testing.assert_allclose(
        found["probabilities"].values, open_prediction(made)["probabilities"]
    )
    # Each polygon tells who, when, why, from where, and what it changed.
    rows = gpd.read_file(out / "corrections.gpkg")
    assert rows["number"].tolist() == [1, 2, 3] and rows["class"].tolist() == [
        "clean_ice",
        "debris",
        "other",
    ]
    assert rows["by"].tolist() == ["A. Nalyst", "C. Ommand", "B. Other"]
    assert rows["comment"].tolist() == ["snow, not rock", "seen in the field", "a moraine"]
    assert rows["date"].fillna("").tolist() == ["2024-09-15", "", "2024-09-16"]
    assert set(rows["sha256"]) == {file_sha256(edits)} and set(rows["source"]) == {"edits.gpkg"}
    assert rows["pixels"].tolist() == [24, 320, 15] and rows["changed"].tolist() == [24, 120, 15]
    assert rows["left"].tolist() == [24, 305, 15]
    told = [json.loads(text) for text in rows["before"]]
    assert told[0] == {"other": {"pixels": 24, "km2": 0.0024}}
    assert {k: v["pixels"] for k, v in told[1].items()} == {"debris": 200, "lake": 120}
    assert told[2] == {"debris": {"pixels": 15, "km2": 0.0015}}
    assert rows["synthetic"].all()
    assert rows.geometry.iloc[1].equals(box(50, 15, 66, 35))
    passport = read_passport(out)
    (step,) = passport["corrections"]
    assert step == done.record and step["by"] == ["A. Nalyst", "B. Other", "C. Ommand"]
    assert step["table"]["lake"]["debris"] == {"pixels": 120, "km2": 0.012}
    assert step["base"] == {"folder": "map", "passport_sha256": file_sha256(made / "passport.json")}
    assert passport["prediction"]["corrections"] == {"polygons": 3, "pixels": 344, "km2": 0.0344}


def test_the_item_names_all_of_it(folders, edits, tmp_path):  # noqa: F811
    made, place = folders
    out = tmp_path / "deeper" / "map"
    run_correct(made, edits, out, by="x")
    item = json.loads((out / "prediction.json").read_text())
    check_core(item)
    assert not list(broken_rules(item))
    assert (
        item["assets"]["classes"]["classification:classes"]
        == item["assets"]["model_classes"]["classification:classes"]
    )
    for asset in item["assets"].values():
        assert (out / asset["href"]).is_file()
    assert item["assets"]["corrections"]["bands"][0]["data_type"] == "uint32"
    assert "by hand in 3 polygons" in item["properties"]["processing:lineage"]
    links = {link["title"]: link["href"] for link in item["links"]}
    assert (out / links["corrected prediction"]).resolve() == made / "prediction.json"
    assert (out / links["scene"].replace("%20", " ")).resolve() == place / "scene.json"


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32644", "EPSG:3857"])
def test_any_crs(folders, ground, tmp_path, crs):  # noqa: F811
    rng = np.random.default_rng(4)
    middle = ((LEFT + RIGHT) / 2, (BOTTOM + TOP) / 2)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 15))
    radii = rng.uniform(100, 400, 15)
    star = shapely.Polygon(
        np.c_[middle[0] + radii * np.cos(angles), middle[1] + radii * np.sin(angles)]
    )
    moved = gpd.GeoSeries([star], crs=GRID.crs.proj).segmentize(5).to_crs(crs)
    path = drawn(
        tmp_path / "star.geojson" if crs == "EPSG:4326" else tmp_path / "star.gpkg", moved, crs
    )
    run_correct(folders[0], path, tmp_path / "out")
    burned = rasterio.features.rasterize([star], SHAPE, transform=GRID.transform)
    owners = values(tmp_path / "out" / "corrections.tif")
    assert (owners != burned).sum() <= 2, "a vertex may move by millimetres"


def test_dates_may_be_dates(folders, tmp_path):  # noqa: F811
    days = pd.to_datetime(["2024-09-15", None])
    path = drawn(tmp_path / "dates.gpkg", [GOOD, GOOD], date=days)
    run_correct(folders[0], path, tmp_path / "out")
    found = gpd.read_file(tmp_path / "out" / "corrections.gpkg")["date"].fillna("")
    assert found.tolist() == ["2024-09-15", ""]


def test_a_second_round_keeps_the_first(folders, ground, edits, tmp_path):  # noqa: F811
    made, _ = folders
    one, two = tmp_path / "one", tmp_path / "two"
    run_correct(made, edits, one, by="x")
    # It covers all of the third polygon, the last of the first round.
    more = drawn(tmp_path / "more.geojson", [box(58, 10, 64, 22)], **{"class": [3]})
    run_correct(one, more, two, comment="water")
    rows = gpd.read_file(two / "corrections.gpkg")
    assert rows["number"].tolist() == [1, 2, 3, 4] and rows["left"].tolist()[2:] == [0, 72]
    first = gpd.read_file(one / "corrections.gpkg")
    same = first.columns.drop("left")
    pd.testing.assert_frame_equal(rows.iloc[:3][same], first[same])
    assert rows["source"].tolist() == ["edits.gpkg"] * 3 + ["more.geojson"]
    assert rows["class"].iloc[3] == "lake" and rows["comment"].iloc[3] == "water"
    np.testing.assert_array_equal(values(two / "model_classes.tif"), ground)
    owners = values(two / "corrections.tif")
    assert (owners[58:64, 10:22] == 4).all() and (owners == 3).sum() == 0
    # Before the second round stood what the first had made.
    before = json.loads(rows["before"].iloc[3])
    assert {k: v["pixels"] for k, v in before.items()} == {
        "other": 6 * 5 + 15,
        "debris": 6 * 7 - 15,
    }
    steps = read_passport(two)["corrections"]
    assert [step["polygons"] for step in steps] == [3, 1]
    assert steps[0] == read_passport(one)["corrections"][0]
    assert steps[1]["first"] == steps[1]["last"] == 4
    assert read_passport(two)["prediction"]["corrections"]["polygons"] == 4
    # A polygon that took no pixel keeps its number to itself.
    three, four = tmp_path / "three", tmp_path / "four"
    run_correct(two, drawn(tmp_path / "speck.gpkg", [SPECK]), three)
    run_correct(three, more, four)
    rows = gpd.read_file(four / "corrections.gpkg")
    assert rows["number"].tolist() == [1, 2, 3, 4, 5, 6]
    assert (values(four / "corrections.tif")[58:64, 10:22] == 6).all()
    # The prediction's own folder may be replaced, and what is no prediction may not.
    run_correct(two, more, two, overwrite=True)
    assert len(gpd.read_file(two / "corrections.gpkg")) == 5
    with pytest.raises(SceneError, match="exists already"):
        run_correct(two, more, one)
    (tmp_path / "else").mkdir()
    with pytest.raises(SceneError, match="something else"):
        run_correct(two, more, tmp_path / "else", overwrite=True)


BOW = shapely.Polygon(
    [(LEFT + 50, TOP - 50), (LEFT + 150, TOP - 150), (LEFT + 150, TOP - 50), (LEFT + 50, TOP - 150)]
)
GOOD = box(5, 5, 9, 9)
LINE = shapely.LineString(GOOD.exterior.coords)
BAD = {
    "polygon 2: Self-intersection": {"shapes": [GOOD, BOW]},
    "no polygon: polygon 1: LineString": {"shapes": [LINE]},
    "unknown: polygon 1: 'ice'": {"shapes": [GOOD], "class": ["ice"]},
    "unknown: polygon 1: '4'": {"shapes": [GOOD], "class": [4]},
    "unknown: polygon 1: ''": {"shapes": [GOOD], "class": [None]},
    "unknown: polygon 2: '-1'": {"shapes": [GOOD, GOOD], "class": [1, -1]},
    "have no class": {"shapes": [GOOD], "class": None},
    "no author: polygon 1": {"shapes": [GOOD], "by": None},
    "date of a correction is none: polygon 1: tomorrow": {"shapes": [GOOD], "date": ["tomorrow"]},
    "no CRS": {"shapes": [GOOD], "crs": None},
    "polygon 2. Give polygons of the ground": {"shapes": [GOOD, box(100, 5, 109, 9)]},
    "lie outside the map": {"shapes": [shapely.box(10, 45, 11, 46)], "crs": "EPSG:4326"},
    # Its bounds meet the map, it does not.
    "map: bad.gpkg: polygon 1": {
        "shapes": [
            shapely.Polygon(
                [(RIGHT - 50, TOP + 60), (RIGHT + 60, TOP - 50), (RIGHT + 60, TOP + 60)]
            )
        ]
    },
    "has no polygons": {"shapes": []},
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_what_cannot_be_used_is_named_and_nothing_is_written(folders, tmp_path, fault):  # noqa: F811
    path = drawn(tmp_path / "bad.gpkg", **BAD[fault])
    there = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(CryonetError, match=fault) as refused:
        run_correct(folders[0], path, tmp_path / "out")
    assert refused.value.what and refused.value.rule
    assert sorted(p.name for p in tmp_path.iterdir()) == there


def test_other_files_are_refused(folders, tmp_path):  # noqa: F811
    with pytest.raises(SceneError, match="does not exist"):
        run_correct(folders[0], tmp_path / "none.gpkg", tmp_path / "out")
    (tmp_path / "text.gpkg").write_text("no database")
    with pytest.raises(SceneError, match="known kind"):
        run_correct(folders[0], tmp_path / "text.gpkg", tmp_path / "out")
    good = drawn(tmp_path / "good.gpkg", [GOOD])
    with pytest.raises(SceneError, match="no prediction"):
        run_correct(tmp_path, good, tmp_path / "out")
    with pytest.raises(GridError, match="outside the map"):
        # It touches the map's edge, and no more.
        run_correct(
            folders[0], drawn(tmp_path / "edge.gpkg", [box(0, 120, 5, 125)]), tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()


def test_areas_take_what_a_hand_set_as_certain(folders, ground, tmp_path):  # noqa: F811
    made, _ = folders
    every = drawn(
        tmp_path / "all.gpkg", [box(0, 0, 90, 120), box(10, 10, 40, 40)], **{"class": [0, 1]}
    )
    run_correct(made, every, tmp_path / "all", by="x")
    found = open_prediction(tmp_path / "all")
    labels = np.zeros(SHAPE, np.uint8)
    areas = {row.name: row for row in score_prediction(found, labels).areas}
    assert areas["clean_ice"].mapped == pytest.approx(900 * PIXEL)
    assert areas["clean_ice"].expected == pytest.approx(900 * PIXEL, rel=1e-6)
    assert areas["clean_ice"].correlated == 0 and areas["clean_ice"].buffer > 0
    # Where nothing was set by hand the model's doubt stays as it was.
    half = drawn(tmp_path / "half.gpkg", [box(0, 0, 90, 60)], **{"class": ["lake"]})
    run_correct(made, half, tmp_path / "half")
    corrected, plain = open_prediction(tmp_path / "half"), open_prediction(made)
    shares = settled_probabilities(corrected)
    np.testing.assert_array_equal(shares[:, :, 60:], plain["probabilities"].values[:, :, 60:])
    assert (shares[3, :, :60] == 1).all() and (shares[:3, :, :60] == 0).all()
    assert settled_probabilities(plain) is not shares
    options = {"classes": plain["class"].values.tolist(), "correlation": 0.0}
    left = np.zeros(SHAPE, bool)
    left[:, :60] = True
    whole = estimate_areas(corrected["classes"].values, shares, GRID, **options)
    rest = estimate_areas(ground, plain["probabilities"].values, GRID, mask=~left, **options)
    for one, other in zip(whole, rest, strict=True):
        assert one.independent == pytest.approx(other.independent)
    # So it is in change: of two maps that are all by hand nothing is in doubt.
    other = drawn(
        tmp_path / "o.gpkg", [box(0, 0, 90, 120), box(10, 10, 30, 40)], **{"class": [0, 1]}
    )
    run_correct(made, other, tmp_path / "other")
    total = total_change(found, open_prediction(tmp_path / "other"))
    assert total.loss == pytest.approx(300 * PIXEL) and total.loss_pm == 0
    assert total.loss_expected == pytest.approx(300 * PIXEL, rel=1e-6)
    # The probabilities that are scored are the model's own.
    scored = score_prediction(corrected, ground).probabilities[-1]
    assert scored.to_dict() == score_prediction(plain, ground).probabilities[-1].to_dict()


def test_a_hand_fills_what_the_map_misses(tmp_path, folders, ground):  # noqa: F811
    from cryonet.map_strips import as_prediction
    from cryonet.prediction import write_prediction

    shares = shares_of(ground)
    shares[:, :10] = np.nan
    gap = as_prediction(shares, GRID, ("other", "clean_ice", "debris", "lake"))
    gap.attrs = {"synthetic": 1}
    made = write_prediction(gap, tmp_path / "gap", passport={})
    path = drawn(tmp_path / "fill.gpkg", [box(0, 0, 5, 10)], **{"class": ["debris"]})
    done = run_correct(made, path, tmp_path / "filled")
    assert done.record["table"] == {"none": {"debris": {"pixels": 50, "km2": 0.005}}}
    found = open_prediction(tmp_path / "filled")
    areas = score_prediction(found, np.zeros(SHAPE, np.uint8)).areas
    whole = score_prediction(gap, np.zeros(SHAPE, np.uint8)).areas
    assert areas[2].mapped - whole[2].mapped == pytest.approx(50 * PIXEL)
    assert np.isnan(found["probabilities"].values[:, :10]).all()


def test_outlines_and_change_tell_what_is_by_hand(folders, edits, tmp_path):  # noqa: F811
    made, _ = folders
    out = tmp_path / "out"
    run_correct(made, edits, out, by="x")
    run_outlines(out, tmp_path / "o.gpkg")
    glaciers = gpd.read_file(tmp_path / "o.gpkg", layer="glaciers").sort_values("cenlon")
    # The nunatak and the tongue that grew are of the first glacier; the second has none.
    assert glaciers["hand_km2"].tolist() == pytest.approx([(24 + 305) * PIXEL, 0])
    assert len(glaciers.geometry.iloc[0].interiors) == 0
    lakes = gpd.read_file(tmp_path / "o.gpkg", layer="lakes")
    assert lakes["hand_km2"].tolist() == [0], "what is left of the other is too small"
    run_outlines(made, tmp_path / "plain.gpkg")
    plain = gpd.read_file(tmp_path / "plain.gpkg", layer="glaciers").sort_values("cenlon")
    assert plain["hand_km2"].tolist() == [0, 0]
    # Certain ground has no ± of its own.
    spread = "area_pm_prob_km2"
    assert glaciers[spread].iloc[0] < plain[spread].iloc[0]
    assert glaciers[spread].iloc[1] == plain[spread].iloc[1]
    runner = CliRunner()
    said = runner.invoke(app, ["outlines", str(out), str(tmp_path / "again.gpkg")])
    assert "344 pixels (0.034 km²) were set by hand in 3 polygons" in said.output
    said = runner.invoke(app, ["change", str(made), str(out), str(tmp_path / "change")])
    assert said.exit_code == 0, said.output
    told = json.loads((tmp_path / "change" / "change.json").read_text())["predictions"]
    assert [row["corrections"] and row["corrections"]["pixels"] for row in told] == [None, 344]


def test_corrections_become_labels(folders, edits, tmp_path):  # noqa: F811
    made, place = folders
    out = tmp_path / "out"
    with pytest.raises(SceneError, match="nothing in the prediction was set by hand"):
        run_add_labels(place, made, extent="corrections")
    run_correct(made, edits, out, by="x")
    with pytest.raises(SceneError, match="extent is unknown"):
        run_add_labels(place, out, extent="all")
    before = {f.name: f.read_bytes() for f in place.iterdir() if f.suffix == ".tif"}
    assert run_add_labels(place, out, extent="corrections") == 344
    for name, data in before.items():
        assert (place / name).read_bytes() == data
    classes, owners = values(out / "classes.tif"), values(out / "corrections.tif")
    scene = open_scene(place)
    np.testing.assert_array_equal(scene["labels"], np.where(owners > 0, classes, 255))
    item = read_item(place)
    assert not list(broken_rules(item))
    record = item["properties"]["cryonet:labels"]
    assert record["extent"] == "corrections" and record["hand"]["pixels"] == 344
    assert record["corrections"] == read_passport(out)["corrections"]
    assert record["passport_sha256"] == file_sha256(out / "passport.json")
    with pytest.raises(SceneError, match="has it already"):
        run_add_labels(place, out, extent="map")
    assert run_add_labels(place, out, extent="map", overwrite=True) == 90 * 120
    np.testing.assert_array_equal(open_scene(place)["labels"], classes)
    record = read_item(place)["properties"]
    assert record["cryonet:labels"]["extent"] == "map"
    assert "not an independent truth" in record["cryonet:remarks"][-1]


def test_the_labels_train(folders, tmp_path):  # noqa: F811
    """Chips are drawn, and none of their labels was not set by hand."""
    from cryonet.config import TrainConfig

    made, place = folders
    stripes = [box(10 * k, 0, 10 * k + 5, 120) for k in range(9)]
    path = drawn(tmp_path / "s.gpkg", stripes, **{"class": [k % 3 for k in range(9)]})
    run_correct(made, path, tmp_path / "out")
    run_add_labels(place, tmp_path / "out", extent="corrections")
    config = TrainConfig.model_validate(
        {
            "scenes": [str(place)], "out": str(tmp_path / "bundle"), "chip": 32, "stride": 16,
            "features": {"stack": ["red", "elevation"]},
            "split": {"block": 40, "gap": 0, "test": "none", "validation_share": 0.3},
            "classes": ["other", "clean_ice", "debris"], "tile": 32,
        }
    )  # fmt: skip
    found = make_trainset([open_scene(place)], config)
    assert len(found.chips)
    owners = values(tmp_path / "out" / "corrections.tif")
    assert (found.scenes[0].labels[owners == 0] == 255).all()
    assert set(np.unique(found.scenes[0].labels)) == {0, 1, 2, 255}


def test_the_commands(folders, tmp_path):  # noqa: F811
    made, place = folders
    edits = drawn(
        tmp_path / "e.geojson", [box(20, 20, 24, 26), box(85, 100, 95, 110), SPECK],
        crs=GRID.crs.proj, kind=["1", "debris", "1"], **{"class": None, "by": None},
    )  # fmt: skip
    out, runner = tmp_path / "out", CliRunner()
    refused = runner.invoke(app, ["correct", str(made), str(edits), str(out)])
    assert refused.exit_code == 2 and "--field" in refused.output
    words = ["--field", "kind", "--by", "A. Nalyst"]
    done = runner.invoke(app, ["correct", str(made), str(edits), str(out), *words])
    assert done.exit_code == 0, done.output
    for told in (
        "other → clean_ice: 24 pixels",
        "74 pixels changed class",
        "other → debris: 50",
        "polygon 2: 50.0% of it lie outside",
        "polygon 3 holds the centre of no pixel",
    ):
        assert told in done.output, done.output
    done = runner.invoke(app, ["scene", "add-labels", str(place), str(out)])
    assert done.exit_code == 0 and "labelled 74 pixels: corrections" in done.output
    said = runner.invoke(app, ["evaluate", str(out), str(place), "--out", str(tmp_path / "s.json")])
    assert "74 pixels" in said.output and "by hand" in said.output
    assert json.loads((tmp_path / "s.json").read_text())["corrections"]["pixels"] == 74
    shutil.rmtree(out)
