"""A scene is written whole or not at all, as valid COGs beside a valid STAC Item."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import xarray as xr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rio_cogeo.cogeo import cog_validate
from shapely.geometry import shape

from cryonet import scene_writer
from cryonet.classes import CLASSES
from cryonet.errors import SceneError
from cryonet.scene import open_scene, scene_from_arrays
from cryonet.scene_writer import Storage, check_target, encode, write_scene

GRID = GeoBox((6, 9), Affine(10, 0, 478000, 0, -10, 3108140), "EPSG:32645")


def make(grid: GeoBox = GRID, **attrs: Any) -> xr.Dataset:
    rng = np.random.default_rng(0)
    size = tuple(grid.shape)
    values = {
        "green": rng.random(size).astype("float32"),
        "red": rng.random(size).astype("float32"),
        "phase": rng.uniform(-3, 3, size).astype("float32"),
        "labels": rng.integers(0, 4, size).astype("uint8"),
    }
    return scene_from_arrays(values, grid, attrs=attrs)


def item_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "scene.json").read_text())


def test_the_folder_holds_cogs_and_a_valid_item(tmp_path: Path) -> None:
    when = "2000-10-30T04:30:00Z"
    folder = write_scene(make(id="khumbu", datetime=when, synthetic=False), tmp_path / "a b é")
    assert sorted(p.name for p in folder.iterdir()) == [
        "labels.tif", "optical.tif", "phase.tif", "scene.json",
    ]  # fmt: skip
    item = pystac.Item.from_file(str(folder / "scene.json"))
    assert item.id == "khumbu"
    assert item.datetime.isoformat() == "2000-10-30T04:30:00+00:00"
    assert item.properties["proj:code"] == "EPSG:32645"
    assert item.properties["proj:shape"] == [6, 9]
    assert item.properties["proj:transform"] == [10, 0, 478000, 0, -10, 3108140]
    assert item.properties["gsd"] == 10
    assert [b["name"] for b in item.assets["optical"].extra_fields["bands"]] == ["green", "red"]
    for file in folder.glob("*.tif"):
        valid, errors, warnings = cog_validate(file, quiet=True)
        assert valid, (file.name, errors, warnings)


def test_the_footprint_is_where_the_pixels_are(tmp_path: Path) -> None:
    item = item_of(write_scene(make(), tmp_path / "s"))
    west, south, east, north = item["bbox"]
    assert shape(item["geometry"]).bounds == (west, south, east, north)
    # Read off the transformation of the corners: 86.7758° east, 28.0984° north.
    assert west == pytest.approx(86.77609, abs=2e-3)
    assert north == pytest.approx(28.0987, abs=2e-3)
    assert (east - west) * 98_300 == pytest.approx(90, rel=0.02)
    assert (north - south) * 110_830 == pytest.approx(60, rel=0.02)


def test_over_the_antimeridian_the_footprint_is_cut_in_two(tmp_path: Path) -> None:
    grid = GeoBox((50, 40), Affine(1000, 0, 635000, 0, -1000, 6930000), "EPSG:32660")
    item = item_of(write_scene(make(grid), tmp_path / "s"))
    assert item["geometry"]["type"] == "MultiPolygon"
    west, _, east, _ = item["bbox"]
    assert 179 < west <= 180
    assert -180 <= east < -179
    spans = [part.bounds[2] - part.bounds[0] for part in shape(item["geometry"]).geoms]
    assert all(span < 1 for span in spans)
    assert pystac.Item.from_file(str(tmp_path / "s" / "scene.json")).bbox == item["bbox"]


def test_a_crs_without_a_code_is_written_out(tmp_path: Path) -> None:
    grid = GeoBox((6, 9), Affine(10, 0, 0, 0, -10, 0), "+proj=laea +lat_0=28 +lon_0=86")
    folder = write_scene(make(grid), tmp_path / "s")
    stated = item_of(folder)["properties"]
    assert stated["proj:code"] is None
    assert "Lambert Azimuthal" in stated["proj:wkt2"]
    assert "red" in open_scene(folder)


def test_labels_carry_names_and_colours(tmp_path: Path) -> None:
    folder = write_scene(make(), tmp_path / "s")
    with rasterio.open(folder / "labels.tif") as source:
        assert source.colorinterp == (ColorInterp.palette,)
        assert {c.code: source.colormap(1)[c.code][:3] for c in CLASSES} == {
            c.code: c.rgb for c in CLASSES
        }
        assert source.nodata == 255
    rows = item_of(folder)["assets"]["labels"]["classification:classes"]
    assert [(r["value"], r["name"]) for r in rows] == [(c.code, c.name) for c in CLASSES]


def test_overviews_are_means_but_not_of_phase(tmp_path: Path) -> None:
    grid = GeoBox((600, 600), GRID.affine, GRID.crs)
    phase = np.where(np.indices((600, 600)).sum(axis=0) % 2, 3.0, -3.0).astype("float32")
    scene = scene_from_arrays({"phase": phase, "elevation": phase + 4}, grid)
    folder = write_scene(scene, tmp_path / "s")
    with rasterio.open(folder / "phase.tif", OVERVIEW_LEVEL=0) as source:
        assert np.isin(source.read(1), (3.0, -3.0)).all()
    with rasterio.open(folder / "elevation.tif", OVERVIEW_LEVEL=0) as source:
        np.testing.assert_allclose(source.read(1), 4.0)


def test_attributes_become_plain_data(tmp_path: Path) -> None:
    scene = make(seed=np.int64(3), sun=np.float32(0.5), gains=np.array([1, 2]), nothing=None)
    stated = item_of(
        write_scene(scene, tmp_path / "s", properties={"cryonet:bad": float("nan"), "t": (1, 2)})
    )["properties"]
    assert stated["seed"] == 3
    assert stated["sun"] == 0.5
    assert stated["gains"] == [1, 2]
    assert stated["cryonet:bad"] == "nan"
    assert stated["t"] == [1, 2]


def test_attributes_that_are_no_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="attribute maker cannot be kept"):
        write_scene(make(maker=object()), tmp_path / "s")
    assert not list(tmp_path.iterdir())


def test_a_time_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="not ISO 8601"):
        write_scene(make(datetime="last summer"), tmp_path / "s")
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_refused(tmp_path: Path) -> None:
    folder = write_scene(make(), tmp_path / "s")
    with pytest.raises(SceneError, match="exists already"):
        write_scene(make(), folder)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(SceneError, match="something else"):
        check_target(tmp_path / "photos", overwrite=True)
    (tmp_path / "file").touch()
    with pytest.raises(SceneError, match="something else"):
        check_target(tmp_path / "file", overwrite=True)


def test_replacing_leaves_nothing_of_the_old_scene(tmp_path: Path) -> None:
    folder = write_scene(make(), tmp_path / "s")
    write_scene(make()[["red"]], folder, overwrite=True)
    assert sorted(p.name for p in folder.iterdir()) == ["optical.tif", "scene.json"]
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_a_failure_half_way_keeps_the_old_scene(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_scene(make(), tmp_path / "s")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    real = scene_writer.write_cog

    def fail(path: Path, *args: Any, **options: Any) -> Path:
        if Path(path).name == "labels.tif":
            raise OSError("no space left on device")
        return real(path, *args, **options)

    monkeypatch.setattr(scene_writer, "write_cog", fail)
    with pytest.raises(SceneError, match="no space left"):
        write_scene(make(id="new"), folder, overwrite=True)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_others_may_read_the_folder(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    folder = write_scene(make(), tmp_path / "s")
    assert folder.stat().st_mode == (tmp_path / "plain").stat().st_mode


@given(
    st.lists(st.integers(1, 65534), min_size=1, max_size=40),
    st.sampled_from([(1e-4, -0.1), (1e-4, 0.0), (2.75e-5, -0.2), (1 / 255, 0.0)]),
)
def test_digital_numbers_come_back_exactly(numbers: list[int], scale: tuple[float, float]) -> None:
    storage = Storage("uint16", *scale, nodata=0)
    values = np.array(numbers) * np.float32(scale[0]) + np.float32(scale[1])
    np.testing.assert_array_equal(encode(values.astype("f4"), storage, name="red"), numbers)


def test_missing_and_infinite_become_nodata() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 0.5], dtype="float32")
    kept = encode(values, Storage("uint16", 1e-4, 0, 7), name="red")
    assert kept.tolist() == [7, 7, 7, 5000]
    floats = encode(values, Storage(), name="red")
    assert [math.isnan(v) for v in floats] == [True, True, True, False]


def test_a_float_offset_without_a_scale_is_kept() -> None:
    values = np.array([0.5, 1.0], dtype="float32")
    assert encode(values, Storage("float32", 1.0, 0.25), name="red").tolist() == [0.25, 0.75]


@pytest.mark.parametrize(
    ("value", "storage", "match"),
    [
        (7.0, Storage("uint16", 1e-4, 0, 0), "does not fit uint16"),
        (-0.1, Storage("uint16", 1e-4, 0, 0), "does not fit uint16"),
        (0.0, Storage("uint16", 1e-4, 0, 0), "holds the nodata number"),
        (0.300001, Storage("uint8", 0.1, 0, 3), "holds the nodata number"),
    ],
)
def test_values_that_would_change_are_refused(value: float, storage: Storage, match: str) -> None:
    with pytest.raises(SceneError, match=match):
        encode(np.array([value], dtype="float32"), storage, name="red")
