"""Labels are burned in the stated order, with nunataks as holes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio.features
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely import Point, box, contains_xy

from cryonet.errors import SceneError
from cryonet.sources.labels import burn_labels, check_roles, remarks_on
from cryonet.sources.polygons import read_polygons
from cryonet.sources.rule import CleanIceRule

MakeOutlines = Callable[..., Path]
GRID = GeoBox((40, 50), Affine(10, 0, 478000, 0, -10, 3108140), "EPSG:32645")
CLEAN = box(478000, 3107740, 478300, 3108140)
DEBRIS = box(478200, 3107840, 478400, 3108040)
LAKE = box(478250, 3107890, 478450, 3107990)


def held(shape: object) -> np.ndarray:
    """Pixels whose centre lies in `shape`, by point-in-polygon tests."""
    x = 478000 + 10 * (np.arange(50) + 0.5)
    y = 3108140 - 10 * (np.arange(40) + 0.5)
    return contains_xy(shape, *np.meshgrid(x, y))


def test_lake_covers_debris_covers_clean_ice(outlines: MakeOutlines) -> None:
    files = {
        "lake": outlines("lake.gpkg", [LAKE]),
        "clean_ice": outlines("clean.gpkg", [CLEAN]),
        "debris": outlines("debris.gpkg", [DEBRIS], to="EPSG:32644"),
    }
    labels = burn_labels(files, GRID)
    wanted = np.where(held(LAKE), 3, np.where(held(DEBRIS), 2, np.where(held(CLEAN), 1, 0)))
    np.testing.assert_array_equal(labels.codes, wanted)
    assert labels.codes.dtype == np.uint8
    assert labels.record["burn_order"] == ["clean_ice", "debris", "lake"]
    rows = {row["role"]: row for row in labels.record["files"]}
    assert rows["debris"]["from_crs"] == "EPSG:32644"
    assert rows["lake"]["pixels"] == held(LAKE).sum()
    assert rows["lake"]["file"] == "lake.gpkg"
    assert len(rows["lake"]["sha256"]) == 64


def test_a_nunatak_stays_open(outlines: MakeOutlines) -> None:
    nunatak = Point(478150, 3107940).buffer(60)
    labels = burn_labels({"clean_ice": outlines("a.gpkg", [CLEAN - nunatak])}, GRID)
    assert held(nunatak).sum() > 50
    assert not labels.codes[held(nunatak)].any()
    assert (labels.codes[held(CLEAN) & ~held(nunatak)] == 1).all()


def glims(path: Path, shapes: list[tuple[str | None, object]]) -> Path:
    """A file as GLIMS gives it: outlines of several kinds in one layer."""
    rows = [
        {"line_type": kind, "glac_id": "G1", "anlys_id": 7, "src_date": "2010-04-09T00:00:00"}
        for kind, _ in shapes
    ]
    frame = gpd.GeoDataFrame(rows, geometry=[shape for _, shape in shapes], crs="EPSG:32645")
    frame.to_file(path)
    return path


ROCK, POND = Point(478150, 3107940).buffer(60), Point(478280, 3107900).buffer(30)
GLIMS = [
    ("glac_bound", CLEAN),
    ("intrnl_rock", ROCK),
    ("debris_cov", DEBRIS),
    ("supra_lake", POND),
    ("pro_lake", LAKE),
    ("snowline", box(478000, 3107740, 478010, 3107750)),
]


@pytest.mark.parametrize("name", ["g.gpkg", "g.shp", "g.geojson"])
@pytest.mark.parametrize("apart", [True, False])
def test_nunataks_are_holes_or_polygons_of_their_own(
    tmp_path: Path, name: str, apart: bool
) -> None:
    shapes = [("glac_bound", CLEAN), ("intrnl_rock", ROCK)]
    path = glims(tmp_path / name, shapes if apart else [("glac_bound", CLEAN - ROCK)])
    debris = glims(tmp_path / "d.gpkg", [("debris_cov", DEBRIS)])
    labels = burn_labels({"glacier": path, "debris": debris}, GRID)
    wanted = np.where(held(DEBRIS), 2, np.where(held(CLEAN - ROCK), 1, 0))
    np.testing.assert_array_equal(labels.codes, wanted)
    assert held(ROCK).sum() > 50


@pytest.mark.parametrize(
    ("role", "shape", "used", "cut"),
    [
        ("glacier", CLEAN - ROCK, {"glac_bound": 1}, {"intrnl_rock": 1}),
        ("clean_ice", CLEAN - ROCK - DEBRIS, {"glac_bound": 1},
         {"debris_cov": 1, "intrnl_rock": 1}),
        ("debris", DEBRIS, {"debris_cov": 1}, {}),
        ("lake", POND | LAKE, {"pro_lake": 1, "supra_lake": 1}, {}),
    ],
)  # fmt: skip
def test_each_role_takes_its_line_types(
    tmp_path: Path, role: str, shape: object, used: dict[str, int], cut: dict[str, int]
) -> None:
    path = glims(tmp_path / "glims.gpkg", GLIMS)
    found = read_polygons(path, GRID, role=role)
    burned = rasterio.features.geometry_mask(found.shapes, (40, 50), GRID.affine, invert=True)
    np.testing.assert_array_equal(burned, held(shape))
    rest = {kind: 1 for kind, _ in GLIMS if kind not in used and kind not in cut}
    assert found.line_types == {"used": used, "cut_out": cut, "left_out": rest}
    assert found.origin.inventory == "GLIMS"
    assert found.origin.undated == 0


def test_line_types_are_recorded_and_said(tmp_path: Path) -> None:
    path = glims(tmp_path / "glims.gpkg", GLIMS)
    row = burn_labels({"clean_ice": path}, GRID).record["files"][0]
    assert row["line_types"]["cut_out"] == {"debris_cov": 1, "intrnl_rock": 1}
    said = (
        "clean_ice: of the GLIMS line types 1 glac_bound used; 1 debris_cov, 1 intrnl_rock cut "
        "out; 1 pro_lake, 1 snowline, 1 supra_lake left out"
    )
    assert said in remarks_on(row, None)


@pytest.mark.parametrize(
    ("role", "kinds"),
    [
        ("lake", ["glac_bound", "intrnl_rock"]),
        ("debris", ["pro_lake"]),
        ("glacier", ["debris_cov"]),
    ],
)
def test_a_file_without_the_role_s_line_types_is_refused(
    tmp_path: Path, role: str, kinds: list[str]
) -> None:
    path = glims(tmp_path / "glims.gpkg", [(kind, CLEAN) for kind in kinds])
    with pytest.raises(SceneError, match=f"no outlines of {role}") as caught:
        read_polygons(path, GRID, role=role)
    assert kinds[0] in str(caught.value.value)


def test_a_column_of_other_line_types_means_nothing(tmp_path: Path) -> None:
    path = glims(tmp_path / "other.gpkg", [("solid", CLEAN), (None, LAKE)])
    found = read_polygons(path, GRID, role="lake")
    assert len(found.shapes) == 2 and not found.line_types


def test_a_glacier_that_is_all_rock_leaves_nothing(tmp_path: Path) -> None:
    path = glims(tmp_path / "glims.gpkg", [("glac_bound", ROCK), ("intrnl_rock", CLEAN)])
    labels = burn_labels({"clean_ice": path}, GRID)
    assert not labels.codes.any()
    assert labels.record["files"][0]["pixels"] == 0


def test_debris_is_the_outline_minus_clean_ice(outlines: MakeOutlines) -> None:
    files = {"glacier": outlines("g.gpkg", [CLEAN]), "clean_ice": outlines("c.gpkg", [DEBRIS])}
    labels = burn_labels(files, GRID)
    wanted = np.where(held(DEBRIS), 1, np.where(held(CLEAN), 2, 0))
    np.testing.assert_array_equal(labels.codes, wanted)
    assert "debris" in labels.record["rule_in_words"]


def test_clean_ice_is_the_outline_minus_debris(outlines: MakeOutlines) -> None:
    files = {"glacier": outlines("g.gpkg", [CLEAN]), "debris": outlines("d.gpkg", [DEBRIS])}
    wanted = np.where(held(DEBRIS), 2, np.where(held(CLEAN), 1, 0))
    np.testing.assert_array_equal(burn_labels(files, GRID).codes, wanted)


def test_a_rule_parts_the_outline_by_brightness(outlines: MakeOutlines) -> None:
    red = np.random.default_rng(0).random((40, 50)).astype("float32")
    red[0, 0] = 0.5  # the threshold itself is clean ice
    red[1, :4] = np.nan
    files = {"glacier": outlines("g.gpkg", [CLEAN]), "lake": outlines("l.gpkg", [LAKE])}
    labels = burn_labels(files, GRID, rule=CleanIceRule("red", 0.5), reflectance=red)
    inside = held(CLEAN)
    wanted = np.where(inside, np.where(np.isnan(red), 255, np.where(red >= 0.5, 1, 2)), 0)
    np.testing.assert_array_equal(labels.codes, np.where(held(LAKE), 3, wanted))
    assert labels.codes[0, 0] == 1
    assert labels.record["rule"] == "red>=0.5"


def test_holes_in_the_imagery_do_not_touch_labels_without_a_rule(outlines: MakeOutlines) -> None:
    blind = np.full((40, 50), np.nan, dtype="float32")
    labels = burn_labels({"debris": outlines("d.gpkg", [DEBRIS])}, GRID, reflectance=blind)
    assert 255 not in labels.codes


@pytest.mark.parametrize(
    ("scale", "offset", "first"), [(1 / 255, 0.0, 130), (1e-4, 0.0, 1), (1e-4, -0.1, 1003)]
)
def test_a_threshold_in_digital_numbers_is_exact(
    outlines: MakeOutlines, scale: float, offset: float, first: int
) -> None:
    """What is 140 of 255 in a byte raster is at least 140/255 in float32 too."""
    codes = np.resize(np.arange(first - 1, first + 60), (40, 50))
    red = codes.astype("float32") * np.float32(scale) + np.float32(offset)
    files = {"glacier": outlines("g.gpkg", [box(477000, 3107000, 479000, 3109000)])}
    for number in range(first, first + 20):
        rule = CleanIceRule("red", number * scale + offset)
        burned = burn_labels(files, GRID, rule=rule, reflectance=red).codes
        np.testing.assert_array_equal(burned, np.where(codes >= number, 1, 2))


def test_against_an_independent_rasterisation(outlines: MakeOutlines) -> None:
    rng = np.random.default_rng(5)
    shapes = [
        Point(478000 + 500 * rng.random(), 3107740 + 400 * rng.random()).buffer(90 * rng.random())
        for _ in range(30)
    ]
    labels = burn_labels({"lake": outlines("a.gpkg", shapes)}, GRID)
    wanted = rasterio.features.geometry_mask(shapes, (40, 50), GRID.affine, invert=True)
    np.testing.assert_array_equal(labels.codes == 3, wanted)


@pytest.mark.parametrize(
    ("roles", "rule", "match"),
    [
        (["snow"], None, "unknown"),
        (["glacier"], None, "one way"),
        (["glacier", "clean_ice", "debris"], None, "one way"),
        (["glacier", "debris"], CleanIceRule("red", 0.5), "one way"),
        (["debris"], CleanIceRule("red", 0.5), "no outlines"),
    ],
)
def test_roles_that_leave_the_class_open_are_refused(
    roles: list[str], rule: CleanIceRule | None, match: str
) -> None:
    with pytest.raises(SceneError, match=match):
        check_roles(dict.fromkeys(roles, "a.gpkg"), rule)
