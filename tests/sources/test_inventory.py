"""Inventories known by their columns, and the days their outlines are of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely import box
from typer.testing import CliRunner

from cryonet.cli import app
from cryonet.errors import SceneError
from cryonet.scene import read_item
from cryonet.sources.inventory import Origin, origin_of, parse_day, parse_span
from cryonet.sources.labels import burn_labels, remarks_on, stated_origins
from cryonet.sources.local import import_scene
from cryonet.sources.polygons import read_polygons

GRID = GeoBox((40, 50), Affine(10, 0, 478000, 0, -10, 3108140), "EPSG:32645")
NEAR, FAR = box(478100, 3107900, 478300, 3108000), box(578100, 3107900, 578300, 3108000)


@pytest.mark.parametrize(
    ("value", "first", "last"),
    [
        ("20001030", "2000-10-30", "2000-10-30"),
        ("20030799", "2003-07-01", "2003-07-31"),
        ("20000299", "2000-02-01", "2000-02-29"),
        ("20039999", "2003-01-01", "2003-12-31"),
        ("20039915", "2003-01-01", "2003-12-31"),
        ("20030000", "2003-01-01", "2003-12-31"),
        ("2000-10-29T00:00:00", "2000-10-29", "2000-10-29"),
        (pd.Timestamp("2001-02-03"), "2001-02-03", "2001-02-03"),
        ("1999", "1999-01-01", "1999-12-31"),
        (20001030, "2000-10-30", "2000-10-30"),
        (20001030.0, "2000-10-30", "2000-10-30"),
        (2018.0, "2018-01-01", "2018-12-31"),
        ("2018/9/5", "2018-09-05", "2018-09-05"),
        ("2018.09.15", "2018-09-15", "2018-09-15"),
        ("2016-02", "2016-02-01", "2016-02-29"),
    ],
)
def test_days_as_inventories_write_them(value: Any, first: str, last: str) -> None:
    assert parse_day(value) == (date.fromisoformat(first), date.fromisoformat(last))


@pytest.mark.parametrize(
    "value", ["-9999999", "", None, float("nan"), "20001340", "20000230", "?", "2018-13"]
)
def test_what_is_no_day_is_none(value: Any) -> None:
    assert parse_day(value) is None


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2018", "2018-01-01", "2018-12-31"),
        ("2018-09", "2018-09-01", "2018-09-30"),
        ("2018-09-15", "2018-09-15", "2018-09-15"),
        ("2013 / 2017-06", "2013-01-01", "2017-06-30"),
    ],
)
def test_days_as_users_state_them(text: str, first: str, last: str) -> None:
    assert parse_span(text) == (date.fromisoformat(first), date.fromisoformat(last))


@pytest.mark.parametrize(
    "text", ["", "20180915", "2018-13", "2018-02-30", "18", "2017/2013", "2013/2014/2015", "2018-"]
)
def test_what_states_no_day_is_refused(text: str) -> None:
    with pytest.raises(SceneError, match="date of the outlines"):
        parse_span(text)


def rgi6(number: int, first: str, last: str = "-9999999", version: str = "RGI60") -> dict[str, Any]:
    return {"RGIId": f"{version}-15.{number:05d}", "BgnDate": first, "EndDate": last}


RGI7 = {"rgi_id": "RGI2000-v7.0-G-15-00001", "src_date": "2002-01-05T00:00:00", "o1region": "15"}
# The columns of Scherler et al. keep those of the RGI: the debris is of its own days.
SCHERLER = {
    **rgi6(1, "20001030"), "DC_Area": 12.5, "DC_BgnDate": "20150101", "DC_EndDate": "20171231"
}  # fmt: skip
WANG = {"GLAKE_ID": "GL086932E27925N", "GL_Time": "2018-09-15", "GL_SubR": "Central Himalaya"}
HI_MAG = {"GL_ID": "GL086932E27925N", "GL_Type": "Proglacial", "GL_SubR": "Central Himalaya"}
GLIMS = {"glac_id": "G086932E27925N", "anlys_id": 1, "src_date": "2010-04-09T00:00:00"}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([RGI7], Origin("RGI 7.0", date(2002, 1, 5), date(2002, 1, 5), 0)),
        ([GLIMS], Origin("GLIMS", date(2010, 4, 9), date(2010, 4, 9), 0)),
        (
            [rgi6(1, "20001030"), rgi6(2, "20100409"), rgi6(3, "-9999999")],
            Origin("RGI 6.0", date(2000, 10, 30), date(2010, 4, 9), 1),
        ),
        (
            [rgi6(1, "20030799", "20030999", "RGI50")],
            Origin("RGI 5.0", date(2003, 7, 1), date(2003, 9, 30), 0),
        ),
        ([rgi6(1, "-9999999", version="")], Origin("RGI 6.0 or older", None, None, 1)),
        ([SCHERLER], Origin("Scherler et al. 2018", date(2015, 1, 1), date(2017, 12, 31), 0)),
        ([WANG], Origin("Wang et al. 2020", date(2018, 9, 15), date(2018, 9, 15), 0)),
        ([HI_MAG, HI_MAG], Origin("Hi-MAG", None, None, 2)),
        ([{"name": "Khumbu"}, {"name": "Rongbuk"}], Origin(None, None, None, 2)),
    ],
)
def test_inventories_are_known_by_their_columns(
    rows: list[dict[str, Any]], expected: Origin
) -> None:
    assert origin_of(pd.DataFrame(rows)) == expected


@pytest.fixture
def inventory(tmp_path: Path) -> Callable[..., Path]:
    def make(rows: list[dict[str, Any]], shapes: list[Any], name: str = "rgi.gpkg") -> Path:
        path = tmp_path / name
        gpd.GeoDataFrame(rows, geometry=shapes, crs="EPSG:32645").to_file(path)
        return path

    return make


@pytest.mark.parametrize("name", ["rgi.gpkg", "rgi.shp", "rgi.geojson"])
def test_only_outlines_on_the_grid_tell_its_dates(
    inventory: Callable[..., Path], name: str
) -> None:
    path = inventory([rgi6(1, "20001030"), rgi6(2, "19750101")], [NEAR, FAR], name)
    origin = read_polygons(path, GRID).origin
    assert origin == Origin("RGI 6.0", date(2000, 10, 30), date(2000, 10, 30), 0)


def test_the_distance_in_time_is_recorded_and_said(
    inventory: Callable[..., Path], tif: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [rgi6(1, "20001030"), rgi6(2, "20100409")]
    path = inventory(rows, [NEAR, box(478300, 3107900, 478400, 3108000)])
    red = tif("red.tif", np.full((40, 50), 0.3, np.float32))
    clean = {"clean_ice": path}
    when = "2020-10-30T05:00:00+00:00"
    scene = import_scene(tmp_path / "scene", {"red": red}, labels=clean, acquired=when)
    properties = read_item(scene)["properties"]
    row = properties["cryonet:labels"]["files"][0]
    assert row["inventory"] == "RGI 6.0" and row["undated"] == 0
    assert (row["outlines_from"], row["outlines_to"]) == ("2000-10-30", "2010-04-09")
    said = (
        "clean_ice: outlines of RGI 6.0, 2000-10-30 to 2010-04-09, up to 20.0 years from the image"
    )
    assert said in properties["cryonet:remarks"]


def test_outlines_without_dates_and_images_without_a_day(inventory: Callable[..., Path]) -> None:
    path = inventory([{"name": "Khumbu"}], [NEAR])
    row = burn_labels({"lake": path}, GRID).record["files"][0]
    assert remarks_on(row, date(2000, 1, 1)) == ["lake: the outlines of rgi.gpkg tell no date"]
    row = burn_labels({"lake": inventory([RGI7], [NEAR])}, GRID).record["files"][0]
    assert remarks_on(row, None) == ["lake: outlines of RGI 7.0, 2002-01-05"]
    many = {**row, "mended": 2, "pixels": 0}
    assert len(remarks_on(many, None)) == 3


def test_what_is_stated_takes_the_place_of_what_the_file_tells(
    inventory: Callable[..., Path], tif: Callable[..., Path], tmp_path: Path
) -> None:
    red = tif("red.tif", np.full((40, 50), 0.3, np.float32))
    files = {
        "lake": inventory([HI_MAG], [NEAR], "Hi_MAG_database_2017.gpkg"),
        "debris": inventory([SCHERLER], [NEAR], "debris.gpkg"),
        "clean_ice": inventory([{"name": "Khumbu"}], [NEAR], "mine.gpkg"),
    }
    scene = import_scene(
        tmp_path / "scene",
        {"red": red},
        labels=files,
        label_dates={"lake": "2017", "debris": "2016-07"},
        label_sources={"clean_ice": "field survey"},
        acquired="2020-12-31T05:00:00+00:00",
    )
    properties = read_item(scene)["properties"]
    rows = {row["role"]: row for row in properties["cryonet:labels"]["files"]}
    lake, debris, clean = (rows[role] for role in ("lake", "debris", "clean_ice"))
    assert (lake["inventory"], lake["dates_from"], lake["undated"]) == ("Hi-MAG", "stated", 0)
    assert (lake["outlines_from"], lake["outlines_to"]) == ("2017-01-01", "2017-12-31")
    assert debris["dates_in_file"] == ["2015-01-01", "2017-12-31"]
    assert (clean["inventory"], clean["dates_from"]) == ("field survey", None)
    remarks = properties["cryonet:remarks"]
    said = "2017-01-01 to 2017-12-31, up to 4.0 years from the image, as stated"
    assert f"lake: outlines of Hi-MAG, {said}" in remarks
    assert any(r.endswith("as stated; the file tells 2015-01-01 to 2017-12-31") for r in remarks)
    assert "clean_ice: the outlines of mine.gpkg tell no date" in remarks


def test_the_command_takes_days_and_sources(
    inventory: Callable[..., Path], tif: Callable[..., Path], tmp_path: Path
) -> None:
    red = tif("red.tif", np.full((40, 50), 0.3, np.float32))
    mine = inventory([{"name": "a"}], [NEAR], "mine.gpkg")
    more = inventory([{"name": "b"}], [NEAR], "more.gpkg")
    made = CliRunner().invoke(
        app,
        [
            *("scene", "import", str(tmp_path / "scene"), "--bands", f"red={red}"),
            *("--labels", f"lake={mine}", f"debris={more}"),
            *("--label-dates", "lake=2018-09", "debris=2013/2017"),
            *("--label-sources", "lake=field survey", "debris=a colleague"),
        ],
    )
    assert made.exit_code == 0, made.output
    rows = read_item(tmp_path / "scene")["properties"]["cryonet:labels"]["files"]
    told = {row["role"]: (row["inventory"], row["outlines_to"]) for row in rows}
    assert told == {
        "lake": ("field survey", "2018-09-30"),
        "debris": ("a colleague", "2017-12-31"),
    }


def test_every_role_tells_source_days_and_distance(
    inventory: Callable[..., Path], tif: Callable[..., Path], tmp_path: Path
) -> None:
    red = tif("red.tif", np.full((40, 50), 0.3, np.float32))
    rows = {"glacier": RGI7, "debris": SCHERLER, "lake": WANG}
    files = {role: inventory([row], [NEAR], f"{role}.gpkg") for role, row in rows.items()}
    image = date(2021, 6, 1)
    scene = import_scene(
        tmp_path / "scene", {"red": red}, labels=files, acquired=f"{image}T05:00:00+00:00"
    )
    properties = read_item(scene)["properties"]
    record = properties["cryonet:labels"]
    assert [row["role"] for row in record["files"]] == ["debris", "lake", "glacier"]
    for row in record["files"]:
        data = files[row["role"]].read_bytes()
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
        assert row["inventory"] and row["dates_from"] == "columns"
        ends = [date.fromisoformat(row[key]) for key in ("outlines_from", "outlines_to")]
        years = max(abs((image - end).days) for end in ends) / 365.25
        told = [r for r in properties["cryonet:remarks"] if r.startswith(f"{row['role']}: outl")]
        assert len(told) == 1 and f"up to {years:.1f} years from the image" in told[0]
    assert record["classes"] == {
        "clean_ice": ["glacier", "debris"], "debris": ["debris"], "lake": ["lake"]
    }  # fmt: skip


def test_what_is_stated_of_no_file_is_refused() -> None:
    with pytest.raises(SceneError, match="no label file"):
        stated_origins({"lake": "a.gpkg"}, {"debris": "2017"}, None)
    with pytest.raises(SceneError, match="no label file"):
        stated_origins({}, None, {"lake": "Hi-MAG"})


def test_outlines_without_a_day_among_dated_ones_are_counted(
    inventory: Callable[..., Path],
) -> None:
    rows = [rgi6(1, "20001030"), rgi6(2, "-9999999")]
    row = burn_labels({"lake": inventory(rows, [NEAR, NEAR])}, GRID).record["files"][0]
    said = "lake: outlines of RGI 6.0, 2000-10-30, up to 1.0 years from the image; 1 more tell no"
    assert remarks_on(row, date(2001, 10, 30)) == [f"{said} date"]


def test_real_inventories(shared: Path) -> None:
    grid = GeoBox((655, 800), Affine(30, 0, 478000, 0, -30, 3108140), "EPSG:32645")
    everest = shared / "everest_landsat7" / "15_rgi60_glacier_outlines.gpkg"
    expected = Origin("RGI 6.0", date(2000, 10, 30), date(2010, 4, 9), 0)
    assert read_polygons(everest, grid).origin == expected
    alps = GeoBox((400, 400), Affine(100, 0, 620000, 0, -100, 5210000), "EPSG:32632")
    oetztal = read_polygons(shared / "oetztal_srtm" / "rgi_oetztal.shp", alps).origin
    assert oetztal == Origin("RGI 5.0", date(2003, 7, 1), date(2003, 9, 30), 0)
