"""The GLIMS package: polygons by hand counts, read back with tools that are not ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from pyproj import Geod
from test_outlines import shares_of
from test_predict import make_bundle
from typer.testing import CliRunner

from conftest import grid
from cryonet.cli import app
from cryonet.correct_workflow import run_correct
from cryonet.errors import CryonetError, GridError, SceneError
from cryonet.glaciers import glacier_numbers
from cryonet.glims_description import describe_processing
from cryonet.glims_fields import LONGEST, LONGEST_NAME, TABLES
from cryonet.glims_id import distinct_ids, glims_id, place_of
from cryonet.glims_images import local_uncertainty, source_images
from cryonet.glims_outlines import glims_outlines
from cryonet.glims_submission import state_submission
from cryonet.glims_workflow import run_glims
from cryonet.map_strips import as_prediction
from cryonet.outlines import make_outlines
from cryonet.prediction import write_prediction
from cryonet.scene import scene_from_arrays
from cryonet.scene_writer import write_scene

SHAPE = (90, 120)
GRID = grid(*SHAPE)
PIXEL = 1e-4

#: The identifiers that Raup gave with the decision on their form, GLIMS mailing list, 2002.
DECIDED = {
    (0, 0): "G000000E00000N", (360, 10): "G000000E10000N", (-180, 90): "G180000E90000N",
    (180, -90): "G180000E90000S", (-181, 89.9999): "G179000E90000N",
    (-179, -89.9999): "G181000E90000S", (-360, 89.999): "G000000E89999N",
    (-0.1, 0.1): "G359900E00100N", (12.71500, 46.95167): "G012715E46952N",
    (12.90667, 46.61167): "G012907E46612N", (89.86667, 28.21667): "G089867E28217N",
    (-125.22383, 49.20283): "G234776E49203N", (-125.22310, 45.20283): "G234777E45203N",
    (8.77200, 46.73967): "G008772E46740N", (8.81450, 46.73633): "G008815E46736N",
    (-78.42, -1.65333): "G281580E01653S",
}  # fmt: skip

PEOPLE = ("Müller, Jörg", "Doe, Jane Q.")

PASSPORT = {
    "bundle": {
        "title": "a model", "model": {"architecture": "cryonet", "encoder": "resnet18"},
        "layers": [{"name": "red"}, {"name": "nir"}], "weights_sha256": "0123456789abcdef",
    },
    "settings": {"calibrated": True},
}  # fmt: skip


def make_ground() -> np.ndarray:
    """One glacier with all that can be in it, and one that is divided from it by rock.

    In the first: a nunatak with a small glacier on it, a lake with ice all round, a pond too
    small to be a lake, a hole in the map, a debris-covered tongue, and at its foot a lake. Far
    away another lake.
    """
    codes = np.zeros(SHAPE, np.uint8)
    codes[5:60, 5:60] = 1
    codes[45:60, 5:60] = 2
    codes[8:28, 8:28] = 0
    codes[12:24, 12:24] = 1  # on the nunatak, above the least area
    codes[9:11, 9:11] = 2  # there, too, and below it
    codes[30:42, 10:22] = 3
    codes[30:34, 30:34] = 3
    codes[40:43, 40:45] = 255
    codes[60:72, 20:40] = 3
    codes[5:60, 70:90] = 1
    codes[75:88, 100:115] = 3
    return codes


@pytest.fixture
def ground() -> np.ndarray:
    return make_ground()


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    return make_folders(tmp_path)


def make_folders(where: Path) -> tuple[Path, Path]:
    """A prediction of the ground and its scene, of two images."""
    ground = make_ground()
    rows = np.arange(SHAPE[0], dtype=np.float32)[:, None]
    elevation = np.broadcast_to(5000 - 10 * rows, SHAPE).astype(np.float32)
    scene = scene_from_arrays({"elevation": elevation, "red": elevation * 0}, GRID)
    sources = [
        {"variable": "optical", "item": "S2A_one", "datetime": "2020-09-01T05:00:00Z",
         "share_of_pass": 0.9},
        {"variable": "optical", "item": "S2B_two", "datetime": "2020-09-11T05:00:00Z",
         "share_of_pass": 0.1},
        {"variable": "optical", "item": "S2B_unused", "datetime": "2019-09-11T05:00:00Z",
         "share_of_pass": 0.0},
        {"variable": "elevation", "item": "DEM", "datetime": "2015-01-01T00:00:00Z"},
    ]  # fmt: skip
    told = {
        "id": "s", "synthetic": False, "datetime": "2020-09-01T05:00:00Z",
        "constellation": "sentinel-2", "cryonet:sources": sources,
    }  # fmt: skip
    place = write_scene(scene, where / "scene", properties=told)
    found = as_prediction(shares_of(ground), GRID, make_bundle(classes=4).manifest.classes)
    found["classes"].values[ground == 255] = 255
    found.attrs = {
        "datetime": "2020-09-01T05:00:00Z", "model": "a model", "scene": "s", "synthetic": 0,
        "tile": 128, "overlap": 0.25, "blend": "cosine", "flips": 0, "temperature": 1.2,
    }  # fmt: skip
    made = write_prediction(
        found, where / "map", passport=PASSPORT, sources={"scene": place / "scene.json"}
    )
    told = json.loads((made / "prediction.json").read_text())
    told["properties"]["created"] = "2021-05-06T10:00:00Z"
    (made / "prediction.json").write_text(json.dumps(told))
    return made, place


def submission(**more):
    return state_submission(PEOPLE[:1], PEOPLE[1], "An Institute", **more)


def unpacked(package: Path, folder: Path) -> dict[str, gpd.GeoDataFrame]:
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    return {name: pyogrio.read_dataframe(folder / f"{name}.shp") for name in TABLES}


@pytest.mark.parametrize("place", DECIDED)
def test_identifiers_are_as_was_decided(place):
    assert glims_id(*place) == DECIDED[place]


def test_identifiers_stay_in_range_and_tell_their_place():
    assert glims_id(-0.0001, -0.0001) == "G000000E00000N"
    assert place_of("G234776E49203N") == pytest.approx((-125.224, 49.203))
    assert place_of("G281580E01653S") == pytest.approx((-78.42, -1.653))
    for wrong in ("G360000E00000N", "G000000E90001N", "G00000E00000N", "RGI60-15.1", ""):
        assert place_of(wrong) is None
    for lon, lat in ((float("nan"), 0), (0, 91)):
        with pytest.raises(CryonetError, match="no such place"):
            glims_id(lon, lat)


def test_neighbours_get_names_of_their_own():
    shape = shapely.box(10.0, 45.0, 10.003, 45.003)
    names = distinct_ids([(10.001, 45.001)] * 5, [shape] * 5)
    assert len(set(names)) == 5 and names[0] == "G010001E45001N"
    for name in names:
        lon, lat = place_of(name)
        assert shapely.box(lon - 5e-4, lat - 5e-4, lon + 5e-4, lat + 5e-4).intersects(shape)
    speck = shapely.box(10.00001, 45.00001, 10.00002, 45.00002)
    with pytest.raises(CryonetError, match="no identifier of its own"):
        distinct_ids([(10.0, 45.0)] * 2, [speck] * 2)


def pixels(frame: gpd.GeoDataFrame, kind: str) -> list[int]:
    """Areas in pixels by line type, of polygons on the grid."""
    found = frame.geometry[frame["line_type"] == kind].area / GRID.resolution.x**2
    return sorted(round(float(value)) for value in found)


@pytest.mark.parametrize("smooth", [False, True])
def test_each_polygon_has_its_line_type(ground, smooth):
    numbers = glacier_numbers(ground)
    drawn = make_outlines(ground, numbers, GRID, min_area=0, smooth=smooth)
    found = glims_outlines(drawn, ground, GRID, min_area=0.01)
    if smooth:
        kinds = ("glac_bound", "intrnl_rock", "debris_cov", "supra_lake", "pro_lake")
        assert [len(pixels(found.features, kind)) for kind in kinds] == [3, 1, 1, 1, 1]
        assert found.features.is_valid.all()
        return
    # The lake and the pond on the ice are of the glacier, the nunatak and the gap are not.
    whole = 55 * 55 - 20 * 20 - 15
    assert pixels(found.features, "glac_bound") == [144, 55 * 20, whole]
    # Neither the glacier on the nunatak nor the speck of ice there is rock, nor is the gap.
    assert pixels(found.features, "intrnl_rock") == [400 - 144 - 4]
    assert pixels(found.features, "debris_cov") == [15 * 55]
    assert pixels(found.features, "supra_lake") == [144]
    assert pixels(found.features, "pro_lake") == [240]
    assert found.lakes_left_out == 2, "the pond and the far lake"
    big = found.features.set_index("line_type")
    glacier = big.loc["glac_bound"].iloc[np.argmax(big.loc["glac_bound"].area)].geometry
    assert glacier.covers(big.loc["supra_lake"].geometry)
    assert not glacier.intersects(big.loc["intrnl_rock"].geometry.representative_point())
    assert big["number"].nunique() == 3
    assert big.loc["pro_lake", "number"] == big.loc["debris_cov", "number"]


def lake_kinds(codes: np.ndarray) -> list[str]:
    drawn = make_outlines(codes, glacier_numbers(codes), GRID, min_area=0)
    kinds = glims_outlines(drawn, codes, GRID, min_area=0).features["line_type"]
    return sorted(kind for kind in kinds if "lake" in kind)


def test_where_a_lake_lies_tells_what_it_is():
    codes = np.zeros(SHAPE, np.uint8)
    codes[10:50, 10:50] = 1
    codes[20:30, 20:30] = 0
    # In a basin of rock inside the outline: with little of its shore on ice, and with much.
    little, much = codes.copy(), codes.copy()
    little[22:28, 20:26] = 3
    much[20:30, 20:28] = 3
    assert lake_kinds(little) == ["pro_lake"] and lake_kinds(much) == ["supra_lake"]
    # In a bay with ice on three sides it is not inside; at a corner it does not touch.
    bay, corner = codes.copy(), codes.copy()
    bay[30:40, 40:50] = 3
    corner[50:60, 50:60] = 3
    assert lake_kinds(bay) == ["pro_lake"] and lake_kinds(corner) == []
    # Two glaciers that together close it in: it goes to the one with more of its shore.
    drawn_codes = np.zeros(SHAPE, np.uint8)
    drawn_codes[10:50, 10:50] = 1
    drawn_codes[20:30, 25:45] = 3
    divides = np.zeros(SHAPE, np.int32)
    divides[:, :30], divides[:, 30:] = 1, 2
    numbers = glacier_numbers(drawn_codes, divides)
    drawn = make_outlines(drawn_codes, numbers, GRID, min_area=0)
    found = glims_outlines(drawn, drawn_codes, GRID, min_area=0).features
    lake = found[found["line_type"] == "supra_lake"].iloc[0]
    owner = numbers[15, 45]
    assert lake["number"] == owner
    bound = found[found["line_type"] == "glac_bound"].set_index("number").geometry
    assert bound[owner].covers(lake.geometry)
    assert bound.iloc[0].intersection(bound.iloc[1]).area == 0


def test_a_package_as_other_tools_read_it(folders, tmp_path):
    made, _ = folders
    out = tmp_path / "glims.zip"
    counts, left = run_glims(made, out, submission(region="Poiqu", centre=12))
    assert counts == {
        "glac_bound": 3, "intrnl_rock": 1, "debris_cov": 1, "supra_lake": 1, "pro_lake": 1,
    }  # fmt: skip
    assert left == 2
    frames = unpacked(out, tmp_path / "files")
    polygons, session, images = (frames[name] for name in ("glaciers", "session", "images"))
    for name, frame in frames.items():
        assert frame.crs.to_epsg() == 4326 and frame.is_valid.all()
        assert set(frame.columns) - {"geometry"} == {f.name for f in TABLES[name].fields}
        assert all(len(column) <= LONGEST_NAME for column in frame.columns.drop("geometry"))
    assert frames["segments"].is_closed.all()
    bound = polygons[polygons["line_type"] == "glac_bound"].sort_values("area")
    # Not our projection: areas on the ellipsoid.
    geod = Geod(ellps="WGS84")
    for row in polygons.itertuples():
        shape = shapely.orient_polygons(row.geometry)
        area = abs(geod.geometry_area_perimeter(shape)[0]) / 1e6
        assert row.area == pytest.approx(area, rel=1e-3)
    assert bound["area"].iloc[-1] == pytest.approx((55 * 55 - 415) * PIXEL, rel=2e-3)
    assert bound["min_elev"].tolist() == [4770, 4410, 4410]
    assert set(polygons["glac_id"]) == set(bound["glac_id"])
    assert polygons["rgi_match"].isna().all()
    # Its foot and sides, the lake included, the gap in the map not.
    edges = 4 * 55 + 4 * 20
    assert bound["area_unc"].iloc[-1] >= 0.5 * edges * PIXEL
    assert polygons["area_unc"].notna().sum() == 3, "of a part it is not known"
    # Half a pixel of 10 m of UTM is 5 m but for the projection's scale; Sentinel-2's 12.5 m.
    assert polygons["loc_unc_x"].iloc[0] == pytest.approx(5, abs=0.01)
    assert set(polygons["glob_unc_x"]) == {12.5}
    assert images["orig_id"].tolist() == ["S2A_one", "S2B_two"]
    assert [str(day)[:10] for day in images["acq_time"]] == ["2020-09-01", "2020-09-11"]
    assert set(images["inst_name"]) == {"MSI"} and set(images["platform"]) == {"sentinel-2"}
    assert {str(day)[:10] for day in polygons["src_date"]} == {"2020-09-01"}
    assert set(polygons["img_ids"]) == {"1,2"} and set(polygons["synthetic"]) == {0}
    row = session.iloc[0]
    assert str(row["anlys_time"])[:10] == "2021-05-06"
    assert (tmp_path / "files" / "images.dbf").read_bytes()[1:4] == bytes([121, 5, 6])
    assert (row["anlst_surn"], row["submit_giv"], row["rc_id"]) == ("Müller", "Jane Q.", 12)
    assert row["geog_area"] == "Poiqu" and row["proc_desc"].endswith("All of it: processing.txt.")
    text = (tmp_path / "files" / "processing.txt").read_text(encoding="utf-8")
    assert "SYNTHETIC" not in text
    for told in ("a model (cryonet, resnet18), 2 layers", "red, nir", "1.200", "128 pixels"):
        assert told in text
    if ogrinfo := shutil.which("ogrinfo"):
        said = subprocess.run(
            [ogrinfo, "-al", "-so", f"/vsizip/{out}/glaciers.shp"], capture_output=True,
            text=True, check=True,
        ).stdout  # fmt: skip
        assert "Geometry: Polygon" in said and "glac_id: String (20.0)" in said
        assert "src_date: Date" in said and "Feature Count: 7" in said


def test_the_same_map_gives_the_same_bytes(folders, tmp_path):
    made, _ = folders
    for name in ("a.zip", "b.zip"):
        run_glims(made, tmp_path / name, submission())
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with pytest.raises(SceneError, match="exists already"):
        run_glims(made, tmp_path / "a.zip", submission())
    with pytest.raises(SceneError, match=r"\.zip"):
        run_glims(made, tmp_path / "a.shp", submission())


def test_an_inventory_names_but_lends_no_identifier(folders, tmp_path):
    made, _ = folders
    left, bottom, right, top = GRID.extent.boundingbox
    boxes = [
        shapely.box(left, bottom, left + 300, top),
        shapely.box(left + 300, bottom, right, top),
    ]
    rgi = gpd.GeoDataFrame({"rgi_id": ["R-1", "R-2"]}, geometry=boxes, crs=GRID.crs.proj)
    rgi.to_file(tmp_path / "rgi.gpkg")
    out = tmp_path / "glims.zip"
    run_glims(made, out, submission(), divides=tmp_path / "rgi.gpkg", smooth=True)
    polygons = unpacked(out, tmp_path / "files")["glaciers"]
    bound = polygons[polygons["line_type"] == "glac_bound"]
    assert set(bound["rgi_match"]) == {"R-1", "R-2"}
    assert bound["glac_id"].map(place_of).notna().all()
    # The second outline has two parts, each a polygon; both tell the area of the whole.
    parts = bound[bound["rgi_match"] == "R-2"]
    assert len(parts) == 2 and parts["glac_id"].nunique() == 1 and parts["area"].nunique() == 1
    assert polygons["loc_unc_x"].iloc[0] == pytest.approx(10, abs=0.02)


def test_what_people_must_say_is_asked_for(folders, tmp_path):
    made, place = folders
    for given, what in (
        (((), PEOPLE[1], "O"), "analyst"),
        ((PEOPLE[:1], None, "O"), "submitter"),
        ((PEOPLE[:1], PEOPLE[1], " "), "organisation"),
        ((["Doe"], PEOPLE[1], "O"), "another form"),
    ):
        with pytest.raises(CryonetError, match=what):
            state_submission(*given)
    with pytest.raises(CryonetError, match="geolocation"):
        submission(geolocation=0)
    with pytest.raises(SceneError, match=r"does not fit.*anlst_affl of session holds 254 bytes"):
        long = state_submission(PEOPLE[:1], PEOPLE[1], "ü" * 128)
        run_glims(made, tmp_path / "glims.zip", long)
    told = (made / "prediction.json").read_text()
    (made / "prediction.json").write_text(told.replace('"created"', '"made"'))
    with pytest.raises(SceneError, match="does not tell when it was made"):
        run_glims(made, tmp_path / "glims.zip", submission())
    shutil.rmtree(place)
    with pytest.raises(SceneError, match="scene of the prediction is not there"):
        (made / "prediction.json").write_text(told)
        run_glims(made, tmp_path / "glims.zip", submission())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map"]


def item(**properties) -> dict:
    return {"id": "s", "properties": {"datetime": "2000-10-30T04:40:00Z", **properties}}


def test_images_of_files_and_of_nothing():
    files = {
        "cryonet:sources": [
            {"variable": "red", "file": "LE7_RGB.tif"},
            {"variable": "green", "file": "LE7_RGB.tif"},
            {"variable": "elevation", "file": "dem.tif"},
        ]
    }
    with pytest.raises(SceneError, match="does not tell its platform"):
        source_images(item(**files), submission())
    (image,) = source_images(item(**files), submission(platform="landsat-7"))
    assert (image.name, image.instrument, str(image.day)) == ("LE7_RGB.tif", "ETM+", "2000-10-30")
    (image,) = source_images(item(**files), submission(platform="landsat-7", images=["LE7140"]))
    assert image.name == "LE7140"
    with pytest.raises(SceneError, match="instrument"):
        source_images(item(platform="kite"), submission())
    unknown = item(platform="sentinel-2a", **{"cryonet:datetime": "unknown"})
    with pytest.raises(SceneError, match="day of the image is not known"):
        source_images(unknown, submission())
    (image,) = source_images(item(synthetic=True), submission())
    assert (image.name, image.platform, image.instrument) == ("s", "synthetic", "synthetic")


def test_uncertainty_on_a_grid_of_degrees():
    from odc.geo.geobox import GeoBox

    box = GeoBox.from_bbox((10, 59.9, 10.2, 60.1), crs="EPSG:4326", shape=(200, 200))
    x, y = local_uncertainty(box, smooth=False)
    # A degree of latitude is 111.4 km at 60° N, one of longitude half as long.
    assert y == pytest.approx(0.5 * 111.41, rel=1e-3)
    assert x == pytest.approx(0.5 * 55.80, rel=1e-3)


def test_an_outline_over_the_antimeridian_is_refused(tmp_path):
    from odc.geo.geobox import GeoBox

    from cryonet.glims_tables import Facts, glims_tables

    box = GeoBox.from_bbox((640000, 7000000, 671000, 7002000), crs="EPSG:32660", shape=(20, 310))
    codes = np.ones((20, 310), np.uint8)
    drawn = make_outlines(codes, glacier_numbers(codes), box, min_area=0)
    found = glims_outlines(drawn, codes, box, min_area=0)
    import pandas as pd

    with pytest.raises(GridError, match="antimeridian"):
        glims_tables(
            found.features, pd.DataFrame(), (), submission(),
            Facts(None, None, {}, False), footprint={}, description="",
        )  # fmt: skip


def test_a_corrected_map_says_so(folders, tmp_path):
    made, _ = folders
    left, _, _, top = GRID.extent.boundingbox
    nunatak = shapely.box(left + 80, top - 280, left + 280, top - 80)
    edits = gpd.GeoDataFrame(
        {"class": ["clean_ice"], "by": ["R. Oe"]}, geometry=[nunatak], crs=GRID.crs.proj
    )
    edits.to_file(tmp_path / "edits.gpkg")
    run_correct(made, tmp_path / "edits.gpkg", tmp_path / "corrected")
    out = tmp_path / "glims.zip"
    counts, _ = run_glims(tmp_path / "corrected", out, submission())
    assert counts["intrnl_rock"] == 0 and counts["glac_bound"] == 2
    session = unpacked(out, tmp_path / "files")["session"]
    assert "Corrected by hand in 1 polygon (400 pixels) by R. Oe." in session["proc_desc"].iloc[0]


def test_a_long_description_is_shortened_by_sentences():
    passport = {
        **PASSPORT,
        "bundle": {**PASSPORT["bundle"], "title": "ä" * 200},
        "corrections": [{"by": ["A. B."], "polygons": 3}],
        "prediction": {"synthetic": 1, "scene": "s", "corrections": {"pixels": 17}},
    }
    whole, short = describe_processing(passport, software="cryonet 1", choices=["We chose."])
    assert len(short.encode()) <= LONGEST and short.startswith("SYNTHETIC")
    assert "ä" * 200 in whole and "ä" not in short and "We chose." in whole
    assert "Corrected by hand in 3 polygons (17 pixels) by A. B." in short


def test_the_commands(folders, tmp_path):
    made, _ = folders
    out = tmp_path / "glims.zip"
    runner = CliRunner()
    missing = runner.invoke(app, ["glims", str(made), str(out)])
    assert missing.exit_code == 2 and "no analyst" in missing.output and not out.exists()
    words = ["--analyst", PEOPLE[0], "--analyst", "Roe, R.", "--submitter", PEOPLE[1]]
    done = runner.invoke(app, ["glims", str(made), str(out), *words, "--organisation", "O"])
    assert done.exit_code == 0, done.output
    assert "3 glac_bound" in done.output and "left out 2 lakes" in done.output
    session = unpacked(out, tmp_path / "files")["session"]
    assert session["analysts"].tolist() == ["Müller, Jörg; Roe, R."]
    kept = runner.invoke(app, ["glims-check", str(out)])
    assert kept.exit_code == 0 and "keeps the rules" in kept.output
