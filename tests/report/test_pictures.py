"""Maps of the page: colours, sizes, and what stands round them."""

from __future__ import annotations

import io
from base64 import b64decode

import numpy as np
import pytest
import rasterio
from matplotlib.colors import to_rgb
from odc.geo.geobox import GeoBox
from PIL import Image
from pyproj import Geod
from report_ground import make_prediction

from conftest import grid
from cryonet.classes import CLASSES
from cryonet.prediction import write_prediction
from cryonet.prediction_files import PredictionFiles
from cryonet.report import pictures
from cryonet.report.frame import frame_map, ground_size
from cryonet.report.origins import find_scene
from cryonet.report.pictures import MISSING, WRONG, draw_maps
from cryonet.report.told import read_told
from cryonet.scene import scene_from_arrays
from cryonet.scene_writer import write_scene


def drawn(path, *, with_scene=True):
    with PredictionFiles(path) as files:
        scene, _ = find_scene(files, read_told(files.passport), None)
        return draw_maps(files, scene if with_scene else None)


def image(address: str) -> np.ndarray:
    data = b64decode(address.partition("base64,")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def colour(text: str) -> np.ndarray:
    return np.rint(np.array(to_rgb(text)) * 255)


def test_each_pixel_has_the_colour_of_its_class(shared):
    maps = drawn(shared.map)
    assert maps.full and maps.shape == (61, 83) and maps.bands == ("red", "green", "blue")
    with rasterio.open(shared.map / "classes.tif") as file:
        codes = file.read(1)
    with rasterio.open(shared.scene / "labels.tif") as file:
        labels = file.read(1)
    shown = image(maps.pictures["classes"])
    for entry in CLASSES:
        inside = shown[codes == entry.code]
        # Other ground is clear, so that the relief below it shows.
        assert (inside[:, 3] == (0 if entry.code == 0 else 255)).all()
        if entry.code:
            assert (inside[:, :3] == colour(entry.colour)).all()
    assert (shown[codes == 255][:, :3] == colour(MISSING)).all()
    wrong = image(maps.pictures["wrong"])
    expected = (codes != labels) & (codes != 255) & (labels != 255)
    np.testing.assert_array_equal(wrong[..., 3] == 255, expected)
    assert (wrong[expected][:, :3] == colour(WRONG)).all()
    assert {image(maps.pictures[name]).shape for name in maps.pictures} == {(61, 83, 4)}


def test_without_a_scene_all_classes_are_opaque(shared):
    maps = drawn(shared.map, with_scene=False)
    assert set(maps.pictures) == {"classes", "confidence"}
    assert (image(maps.pictures["classes"])[..., 3] == 255).all()


def test_confidence_is_light_where_high(shared):
    with rasterio.open(shared.map / "confidence.tif") as file:
        stored = file.read(1)
    shown = image(drawn(shared.map).pictures["confidence"])[..., :3].astype(int).sum(axis=2)
    known = stored != 255
    order = np.argsort(stored[known], kind="stable")
    steps = stored[known][order].astype(int) * 50 // 250
    light = shown[known][order]
    means = [light[steps == step].mean() for step in np.unique(steps)]
    assert (np.diff(means) > 0).all()


def test_maps_that_are_too_large_become_smaller(shared, monkeypatch):
    monkeypatch.setattr(pictures, "SIDES", (40, 20))
    maps = drawn(shared.map)
    assert maps.shape == (29, 40) and not maps.full
    monkeypatch.setattr(pictures, "MOST", 4000)
    assert drawn(shared.map).shape == (15, 20)


def test_marks_stand_where_their_numbers_are():
    frame = frame_map(grid(300, 400))  # 4 × 3 km from 300 km east, 3100 km north
    assert frame.aspect == pytest.approx(4 / 3)
    assert (frame.bar.place, frame.bar.text) == (25, "1 km")
    assert [(m.place, m.text) for m in frame.east] == [
        (0, "300"), (25, "301"), (50, "302"), (75, "303"), (100, "304"),
    ]  # fmt: skip
    assert [m.text for m in frame.north] == ["3100", "3101", "3102", "3103"]
    assert [m.place for m in frame.north] == pytest.approx([100, 200 / 3, 100 / 3, 0], abs=1e-3)
    assert "UTM zone 45N (EPSG:32645), km" in frame.system
    assert "N, " in frame.corners[0] and frame.corners[0].endswith("E")


def test_ground_in_degrees_is_measured_on_the_ellipsoid():
    box = GeoBox.from_bbox((86, 60, 87, 61), crs="EPSG:4326", shape=(100, 100))
    width, height = ground_size(box)
    _, _, across = Geod(ellps="WGS84").inv(86, 60.5, 87, 60.5)
    assert width == pytest.approx(across, rel=1e-4) and height == pytest.approx(111_400, rel=1e-2)
    frame = frame_map(box)
    assert frame.aspect == pytest.approx(width / height)
    assert frame.system.endswith("(EPSG:4326), °")
    assert [m.text for m in frame.east] == ["86", "86.2", "86.4", "86.6", "86.8", "87"]


def test_a_part_of_a_scene_differs_only_where_it_differs(tmp_path, monkeypatch):
    """A map that is its labels shows no differences, however its pixels and overviews fall."""
    codes = np.random.default_rng(0).integers(0, 4, (700, 600)).astype(np.uint8)
    labels = {"labels": codes, "red": codes.astype(np.float32)}
    scene = write_scene(
        scene_from_arrays(labels, grid(700, 600), attrs={"id": "ground", "synthetic": False}),
        tmp_path / "scene",
        properties={"synthetic": False, "datetime": "2020-09-03T05:00:00Z"},
    )
    whole = grid(700, 600).coords
    part = make_prediction(codes[31:690, 7:588]).assign_coords(
        x=whole["x"].values[7:588], y=whole["y"].values[31:690]
    )
    links = {"scene": scene / "scene.json"}
    folder = write_prediction(part, tmp_path / "map", passport={}, sources=links)
    monkeypatch.setattr(pictures, "SIDES", (200,))
    monkeypatch.setattr(pictures, "STRIP", 581 * 40)
    maps = drawn(folder)
    assert maps.shape == (200, 176)
    np.testing.assert_array_equal(image(maps.pictures["classes"]), image(maps.pictures["labels"]))
    assert not (image(maps.pictures["wrong"])[..., :3] == colour(WRONG)).all(axis=2).any()
    # Each shown pixel is the one at the middle of what it stands for.
    rows = ((np.arange(200) + 0.5) * 659 // 200 + 31).astype(int)
    cols = ((np.arange(176) + 0.5) * 581 // 176 + 7).astype(int)
    colours = np.array([colour(entry.colour) for entry in CLASSES])
    shown = image(maps.pictures["classes"])[..., :3]
    np.testing.assert_array_equal(shown, colours[codes[np.ix_(rows, cols)]])
