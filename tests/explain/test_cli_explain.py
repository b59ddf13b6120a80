"""The command that explains, on the synthetic demo: places, what it says, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from pyproj import Transformer
from typer.testing import CliRunner

from cryonet.bundle import load_bundle
from cryonet.cli import app
from cryonet.explain.checks import CHECKS
from cryonet.explain.view import View
from cryonet.explain_workflow import physical, pixel_of
from cryonet.grid import Window, geobox_of
from cryonet.layers import LayerWindows
from cryonet.scene import open_scene

DEMO = Path(__file__).resolve().parents[2] / "data/demo"

#: A quick method for the tests of places.
QUICK = ("--method", "family-occlusion")


def run(*args: object):
    return CliRunner().invoke(
        app, ["explain", str(DEMO / "bundle"), str(DEMO / "scene"), *map(str, args)]
    )


def degrees(row: float, col: float) -> tuple[float, float]:
    """Longitude and latitude of a place on the scene's grid, by pyproj alone."""
    with rasterio.open(DEMO / "scene/elevation.tif") as source:
        x, y = source.transform @ (col, row)
        back = Transformer.from_crs(source.crs, "EPSG:4326", always_xy=True)
    return back.transform(x, y)


def record(out: Path) -> dict:
    return json.loads((out / "explanation.json").read_text(encoding="utf-8"))


def test_a_place_in_degrees_is_its_pixel(tmp_path: Path) -> None:
    lon, lat = degrees(25.5, 39.5)
    result = run(tmp_path / "why", "--at", f"{lon},{lat}", *QUICK)
    assert result.exit_code == 0, result.output
    found = record(tmp_path / "why")
    assert found["question"]["label"] == "debris at row 25, column 39"
    assert found["question"]["pixels"] == 1
    assert found["synthetic"] is True
    assert "Why debris-covered ice at row 25, column 39?" in result.output
    for family, total in found["by_family"].items():
        title = "principal components" if family == "pca" else family.replace("_", " ")
        shown = f"{title} {total:+.2f}".replace("-", "\N{MINUS SIGN}")
        assert shown in result.output
    assert "synthetic" in result.output


@pytest.mark.parametrize(("row", "col"), [(0.01, 0.01), (383.99, 383.99), (25.01, 39.99)])
def test_pixels_begin_at_their_corners(row: float, col: float) -> None:
    scene = open_scene(DEMO / "scene", chunks=384)
    assert pixel_of(scene, *degrees(row, col)) == (int(row), int(col))


def test_maps_lie_where_the_window_does(tmp_path: Path) -> None:
    lon, lat = degrees(200.5, 180.5)
    result = run(tmp_path / "why", "--at", f"{lon},{lat}", "--steps", 2, "--class", "debris")
    assert result.exit_code == 0, result.output
    window = record(tmp_path / "why")["question"]["window"]
    with (
        rasterio.open(tmp_path / "why/attribution.tif") as made,
        rasterio.open(DEMO / "scene/elevation.tif") as scene,
    ):
        corner = scene.transform @ (window["col"], window["row"])
        assert made.transform @ (0, 0) == pytest.approx(corner)
        assert (made.height, made.width) == (window["height"], window["width"])
        assert made.count == len(load_bundle(DEMO / "bundle").manifest.layers)
    assert record(tmp_path / "why")["settings"]["steps"] == 2


def test_a_polygon_of_any_crs_is_its_pixels(tmp_path: Path) -> None:
    corners = [degrees(*at) for at in ((20, 30), (20, 42), (32, 42), (32, 30))]
    drawn = gpd.GeoDataFrame(geometry=[shapely.Polygon(corners)], crs="EPSG:4326")
    drawn.to_file(tmp_path / "moraine.gpkg", driver="GPKG")
    result = run(tmp_path / "why", "--polygon", tmp_path / "moraine.gpkg", *QUICK)
    assert result.exit_code == 0, result.output
    found = record(tmp_path / "why")["question"]
    assert found["pixels"] == 144
    assert "moraine.gpkg" in found["words"]


def test_a_class_is_all_its_pixels_of_the_map_in_the_window(tmp_path: Path) -> None:
    out = tmp_path / "why"
    window = ("--window", "0,0,128,128")
    result = run(out, "--class", "debris", *window, "--against", "clean_ice", *QUICK)
    assert result.exit_code == 0, result.output
    view = View.of(load_bundle(DEMO / "bundle"), open_scene(DEMO / "scene"), Window(0, 0, 128, 128))
    assert record(out)["question"]["pixels"] == (view.codes == 2).sum()
    assert "speaks for clean ice" in result.output
    again = run(out, "--class", "debris", *window, *QUICK, "--errors", "--overwrite")
    assert again.exit_code == 0, again.output
    assert view.labels is not None
    off = (view.codes == 2) & (view.labels != 2) & (view.labels != 255)
    assert record(out)["question"]["held_against_pixels"] == off.sum()


def test_checks_are_told_kept_and_drawn(tmp_path: Path) -> None:
    corner = ("--class", "debris", "--window", "0,0,128,128")
    result = run(tmp_path / "why", *corner, *QUICK, "--check")
    assert result.exit_code == 0, result.output
    found = record(tmp_path / "why")["checks"]
    assert [check["name"] for check in found["checks"]] == list(CHECKS)
    for check in found["checks"]:
        words = {True: "passed", False: "failed", None: "not possible"}[check["passed"]]
        assert f"{check['name']} {words}: {check['says']}" in result.output
    assert found["verdict"].partition(". ")[0] in result.output
    order = found["curves"]["order"]
    totals = record(tmp_path / "why")["by_family"]
    assert order == sorted(totals, key=lambda family: -totals[family])


def test_shares_that_miss_much_ask_for_more_steps(tmp_path: Path) -> None:
    lon, lat = degrees(25.5, 39.5)
    place = ("--at", f"{lon},{lat}")
    result = run(tmp_path / "one", *place, "--steps", 1)
    assert record(tmp_path / "one")["gap"] > 0.05
    assert "give more --steps" in result.output
    # Occlusion shares nothing out, and has no steps.
    again = run(tmp_path / "two", *place, *QUICK)
    assert "give more --steps" not in again.output
    assert "need not share out all" in again.output


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "nothing is asked about: no place. Give --at LON,LAT, --polygon FILE or --class"),
        (("--at", "86,28", "--polygon", "x.gpkg"), "two places are asked about"),
        (("--at", "86,28", "--window", "0,0,9,9"), "--window goes with a class of a window: --at"),
        (("--polygon", "x.gpkg", "--errors"), "--errors goes with a class of a window: --polygon"),
        (("--at", "86 28"), "the place is not two numbers: 86 28. Write --at 86.92,27.98"),
        (("--class", "debris", "--window", "1,2,3"), "the window is not four whole numbers: 1,2,3"),
        (("--at", "8,28"), "the place lies outside the scene: 8,28. Longitudes run from 85.9803"),
        (("--at", "-70.5,-95"), "the place is not on Earth: -70.5,-95."),
        (("--class", "debris", "--against", "debris"), "held against itself: debris"),
        (("--class", "debris", "--window", "380,0,9,9"), "the window is not inside the scene"),
        (("--class", "moraine", "--window", "0,0,64,64"), "moraine"),
        (("--polygon", "missing.gpkg"), "the file does not exist: missing.gpkg"),
        (("--at", "86.0,28.2", "--method", "guess"), "the method is unknown: guess. Known"),
        (("--at", "86.0,28.2", "--baseline", "zero"), "the baseline is unknown: zero. Known"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_and_nothing_is_written(
    tmp_path: Path, args: tuple[str, ...], said: str
) -> None:
    result = run(tmp_path / "why", *args)
    assert result.exit_code == 2
    assert said in result.output
    assert list(tmp_path.iterdir()) == []


def test_what_stands_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "why").mkdir()
    for more in ((), ("--overwrite",)):
        result = run(tmp_path / "why", "--at", "86.0,28.2", *more)
        assert result.exit_code == 2
        assert "the output" in result.output


def test_layers_are_shown_in_their_own_units() -> None:
    bundle, scene = load_bundle(DEMO / "bundle"), open_scene(DEMO / "scene")
    window = Window(100, 60, 40, 50)
    found = physical(View.of(bundle, scene, window))
    manifest = bundle.manifest
    raw = LayerWindows(scene, manifest.layer_names, fits=manifest.fits)[window]
    for number, layer in enumerate(manifest.layers):
        low, high = layer.statistics.low, layer.statistics.high
        assert found[number] == pytest.approx(
            np.clip(raw[number], low, high), rel=1e-3, abs=1e-4 * (high - low)
        )
    assert geobox_of(scene).shape == (384, 384)
