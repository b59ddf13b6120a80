"""Outlines: numbers, polygons, areas and attributes, against plain counts and other tools."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio.features
import shapely
from pyproj import Geod
from scipy import ndimage
from test_predict import make_bundle
from typer.testing import CliRunner

from conftest import grid
from cryonet.areas import area_spread
from cryonet.cli import app
from cryonet.errors import CryonetError, SceneError
from cryonet.glaciers import glacier_numbers, lakes_of, touching
from cryonet.map_strips import as_prediction
from cryonet.outline_attributes import LAKE_TERMINATING, MARGIN, NOT_ASSIGNED
from cryonet.outlines import make_outlines
from cryonet.outlines_workflow import run_outlines
from cryonet.prediction import write_prediction
from cryonet.scene import scene_from_arrays
from cryonet.scene_writer import write_scene

SHAPE = (90, 120)
GRID = grid(*SHAPE)


def scattered(seed: int, smooth: float = 2.0) -> np.ndarray:
    """Classes in smooth patches, with holes in them, and missing pixels."""
    rng = np.random.default_rng(seed)
    heights = [ndimage.gaussian_filter(rng.normal(size=SHAPE), smooth) for _ in range(4)]
    codes = np.argmax(heights, axis=0).astype(np.uint8)
    codes[:7, :9] = 255
    return codes


@pytest.fixture
def ground() -> np.ndarray:
    """Two glaciers and two lakes.

    The first has a debris-covered tongue to the south, a nunatak, and a lake at its foot; the
    second ends on land and has a lake at its top; a speck of ice is too small.
    """
    codes = np.zeros(SHAPE, np.uint8)
    codes[10:40, 10:40] = 1
    codes[40:60, 15:35] = 2
    codes[20:24, 20:26] = 0
    codes[60:70, 15:35] = 3
    codes[20:60, 60:100] = 1
    codes[10:20, 70:85] = 3
    codes[80:82, 100:102] = 1
    return codes


def shares_of(codes: np.ndarray) -> np.ndarray:
    """Probabilities of 0.7 for the class that is mapped."""
    shares = np.full((4, *codes.shape), 0.1, np.float32)
    for code in range(4):
        shares[code][codes == code] = 0.7
    return shares


@pytest.fixture
def folders(ground, tmp_path) -> tuple[Path, Path]:
    """A prediction and its scene: a slope of 10 m a row, falling to the south."""
    rows = np.arange(SHAPE[0], dtype=np.float32)[:, None]
    elevation = np.broadcast_to(5000 - 10 * rows, SHAPE).astype(np.float32)
    scene = scene_from_arrays(
        {"elevation": elevation, "red": elevation * 0}, GRID, attrs={"id": "s"}
    )
    place = write_scene(scene, tmp_path / "scene with space", properties={"synthetic": True})
    found = as_prediction(shares_of(ground), GRID, make_bundle(classes=4).manifest.classes)
    found.attrs = {"datetime": "2020-09-01T05:00:00Z", "model": "m", "scene": "s", "synthetic": 1}
    made = write_prediction(
        found, tmp_path / "map", passport={}, sources={"scene": place / "scene.json"}
    )
    return made, place


@pytest.mark.parametrize("seed", range(3))
def test_glaciers_are_connected_ice(seed):
    codes = scattered(seed)
    numbers = glacier_numbers(codes)
    np.testing.assert_array_equal(numbers > 0, np.isin(codes, (1, 2)))
    for number in range(1, numbers.max() + 1):
        assert ndimage.label(numbers == number)[1] == 1
    # Two pixels along an edge are never of two glaciers.
    for one, other in ((numbers[1:], numbers[:-1]), (numbers[:, 1:], numbers[:, :-1])):
        both = (one > 0) & (other > 0)
        np.testing.assert_array_equal(one[both], other[both])


def test_an_inventory_divides_and_loose_ice_goes_where_it_is_reached_first():
    codes = np.zeros((20, 40), np.uint8)
    codes[5:15, 2:30] = 1
    codes[5:15, 34:38] = 2
    divides = np.zeros((20, 40), np.int32)
    divides[:, :12] = 7
    divides[:, 18:24] = 3
    numbers = glacier_numbers(codes, divides)
    assert set(np.unique(numbers)) == {0, 1, 2, 3}
    left, right, alone = numbers[10, 3], numbers[10, 20], numbers[10, 35]
    assert len({left, right, alone}) == 3
    # Six columns lie between: each goes to the nearer side.
    assert (numbers[5:15, 2:15] == left).all() and (numbers[5:15, 15:30] == right).all()
    # The way over ice counts, not the distance as the crow flies.
    bent = np.zeros((20, 20), np.uint8)
    bent[2, 2:18] = bent[2:18, 2] = bent[17, 2:18] = 1
    ends = np.zeros((20, 20), np.int32)
    ends[2, 17], ends[17, 17] = 1, 2
    found = glacier_numbers(bent, ends)
    assert found[9, 2] == found[2, 17] and found[10, 2] == found[17, 17]


@pytest.mark.parametrize("seed", range(3))
def test_polygons_are_the_pixels(seed):
    """Burned back, outlines give the map; their areas are those of the pixels."""
    codes = scattered(seed)
    numbers = glacier_numbers(codes)
    made = make_outlines(codes, numbers, GRID, min_area=0)
    for frame in (made.glaciers, made.parts, made.lakes):
        assert frame.is_valid.all() and frame.crs == GRID.crs.proj
    burned = rasterio.features.rasterize(
        zip(made.glaciers.geometry, made.glaciers["number"], strict=True), SHAPE,
        transform=GRID.transform, dtype="int32",
    )  # fmt: skip
    np.testing.assert_array_equal(burned, numbers)
    names = {"clean_ice": 1, "debris": 2}
    classes = rasterio.features.rasterize(
        [(s, names[n]) for s, n in zip(made.parts.geometry, made.parts["class"], strict=True)],
        SHAPE, transform=GRID.transform, dtype="uint8",
    )  # fmt: skip
    np.testing.assert_array_equal(classes, np.where(np.isin(codes, (1, 2)), codes, 0))
    lakes = rasterio.features.rasterize(
        zip(made.lakes.geometry, made.lakes["number"], strict=True), SHAPE,
        transform=GRID.transform, dtype="int32",
    )  # fmt: skip
    np.testing.assert_array_equal(lakes, lakes_of(codes))
    # Not our projection: area on the ellipsoid.
    geod = Geod(ellps="WGS84")
    degrees = made.glaciers.geometry.segmentize(100).to_crs("EPSG:4326")
    wanted = [abs(geod.geometry_area_perimeter(shapely.orient_polygons(s))[0]) for s in degrees]
    np.testing.assert_allclose(made.glaciers["area_km2"], np.array(wanted) / 1e6, rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_smoothed_parts_still_meet_without_gap_or_overlap(seed):
    codes = scattered(seed)
    numbers = glacier_numbers(codes)
    plain = make_outlines(codes, numbers, GRID, min_area=0)
    made = make_outlines(codes, numbers, GRID, min_area=0, smooth=True)
    assert made.parts.is_valid.all() and made.glaciers.is_valid.all()
    points = [
        shapely.get_num_coordinates(f.geometry.to_numpy()).sum() for f in (plain.parts, made.parts)
    ]
    assert points[1] < 0.8 * points[0]
    for one, other in itertools.combinations(made.parts.geometry, 2):
        assert one.intersection(other).area < 1e-6
    for number, shape in zip(made.glaciers["number"], made.glaciers.geometry, strict=True):
        own = made.parts[made.parts["number"] == number]
        assert shape.symmetric_difference(shapely.union_all(own.geometry)).area < 1e-6
    # Little changes hands.
    before, after = (shapely.union_all(frame.glaciers.geometry) for frame in (plain, made))
    assert before.symmetric_difference(after).area < 0.05 * before.area


def test_small_ones_are_left_out_by_their_unrounded_area(ground):
    numbers = glacier_numbers(ground)
    assert len(make_outlines(ground, numbers, GRID, min_area=0).glaciers) == 3
    kept = make_outlines(ground, numbers, GRID)
    assert len(kept.glaciers) == 2 and (kept.glaciers["area_km2"] > 0.01).all()
    area = float(kept.glaciers["area_km2"].min())
    for least, count in ((area, 2), (np.nextafter(area, 1), 1)):
        assert len(make_outlines(ground, numbers, GRID, min_area=least).glaciers) == count
    with pytest.raises(CryonetError, match="out of range"):
        make_outlines(ground, numbers, GRID, min_area=float("nan"))
    empty = make_outlines(np.zeros_like(ground), np.zeros(SHAPE, np.int32), GRID)
    assert [len(f) for f in (empty.glaciers, empty.parts, empty.lakes)] == [0, 0, 0]


def test_lakes_touch_along_edges(ground):
    found = touching(glacier_numbers(ground), lakes_of(ground))
    assert sorted(found) == [1, 2]
    assert set(found[1][:, 0]) == {59} and set(found[2][:, 0]) == {20}


def test_the_files_tell_what_there_is(folders, ground, tmp_path):
    made, _ = folders
    out = tmp_path / "outlines.gpkg"
    assert run_outlines(made, out) == {"glaciers": 2, "parts": 3, "lakes": 2}
    layers = [str(name) for name, _ in pyogrio.list_layers(out)]
    assert layers == ["glaciers", "parts", "lakes"]
    glaciers, parts, lakes = (gpd.read_file(out, layer=name) for name in layers)
    assert glaciers.is_valid.all() and glaciers.crs == GRID.crs.proj
    first = glaciers.sort_values("cenlon").iloc[0]
    pixel = 1e-4
    assert first["area_km2"] == pytest.approx((900 - 24 + 400) * pixel, rel=2e-3)
    assert first["clean_km2"] == pytest.approx((900 - 24) * pixel, rel=2e-3)
    assert first["debris_km2"] == pytest.approx(400 * pixel, rel=2e-3)
    assert len(first.geometry.interiors) == 1, "the nunatak is a hole"
    assert first["zmax_m"] == 4900 and first["zmin_m"] == 5000 - 590
    assert first["slope_deg"] == pytest.approx(45, abs=1)
    assert first["aspect_deg"] == pytest.approx(180) and first["aspect_sec"] == 5
    assert str(first["src_date"])[:10] == "2020-09-01"
    # The lake at the tongue, not that at the top.
    assert glaciers.sort_values("cenlon")["term_type"].tolist() == [LAKE_TERMINATING, NOT_ASSIGNED]
    assert first["rgi_id"] is None and first["surge_type"] == NOT_ASSIGNED
    numbers = glacier_numbers(ground)
    zone = ndimage.distance_transform_edt(numbers != 1) <= MARGIN
    zone &= numbers != 2
    ice = shares_of(ground)[1:3].sum(axis=0)
    stored = np.rint(ice / 2 * 250) / 250 * 2
    expected, deviation = area_spread(np.where(zone, stored, np.nan), GRID, correlation=0)
    assert first["area_prob_km2"] == pytest.approx(expected, rel=1e-3)
    assert first["area_pm_prob_km2"] > deviation
    edges = 2 * (30 + 30) + 2 * 20 + 2 * (4 + 6)
    assert first["area_pm_buffer_km2"] == pytest.approx(0.5 * edges * pixel, rel=1e-3)
    assert all(frame["synthetic"].all() for frame in (glaciers, parts, lakes))
    assert sorted(parts["class"]) == ["clean_ice", "clean_ice", "debris"]
    assert parts.groupby("cryonet_id")["area_km2"].sum().to_dict() == pytest.approx(
        glaciers.set_index("cryonet_id")["area_km2"].to_dict(), rel=1e-5
    )
    assert lakes["area_km2"].sum() == pytest.approx(350 * pixel, rel=2e-3)
    with pytest.raises(SceneError, match="exists already"):
        run_outlines(made, out)
    with pytest.raises(SceneError, match=r"\.gpkg or \.parquet"):
        run_outlines(made, tmp_path / "outlines.shp")


def test_an_inventory_divides_and_is_matched(folders, tmp_path):
    made, _ = folders
    left, bottom, _, top = GRID.extent.boundingbox
    middle = left + 550
    boxes = [
        shapely.box(left, bottom, left + 250, top),
        shapely.box(left + 250, bottom, middle, top),
    ]
    inventory = gpd.GeoDataFrame(
        {"rgi_id": ["RGI2000-v7.0-G-15-1", "RGI2000-v7.0-G-15-2"]},
        geometry=boxes,
        crs=GRID.crs.proj,
    ).to_crs("EPSG:4326")
    inventory.to_file(tmp_path / "rgi.gpkg")
    out = tmp_path / "outlines.gpkg"
    assert run_outlines(made, out, divides=tmp_path / "rgi.gpkg")["glaciers"] == 3
    glaciers = gpd.read_file(out, layer="glaciers").sort_values("cenlon")
    assert glaciers["rgi_id_match"].fillna("none").tolist() == [
        "RGI2000-v7.0-G-15-1", "RGI2000-v7.0-G-15-2", "none",
    ]  # fmt: skip
    assert glaciers["rgi_id"].isna().all()
    first = glaciers.iloc[0]
    box = gpd.GeoSeries([boxes[0]], crs=GRID.crs.proj).to_crs("ESRI:54034").iloc[0]
    own = gpd.GeoSeries([first.geometry], crs=GRID.crs.proj).to_crs("ESRI:54034").iloc[0]
    wanted = own.intersection(box).area / own.union(box).area
    assert first["rgi_overlap"] == pytest.approx(wanted, rel=1e-6)
    # The divide is no margin: the halves' buffers add up to that of the whole.
    run_outlines(made, tmp_path / "whole.gpkg")
    whole = gpd.read_file(tmp_path / "whole.gpkg", layer="glaciers")
    assert glaciers["area_pm_buffer_km2"].sum() == pytest.approx(whole["area_pm_buffer_km2"].sum())
    numberless = inventory.rename(columns={"rgi_id": "name"})
    numberless.to_file(tmp_path / "names.gpkg")
    with pytest.raises(SceneError, match="no identifiers"):
        run_outlines(made, out, divides=tmp_path / "names.gpkg", overwrite=True)


def test_without_elevation_nothing_is_made_up(folders, tmp_path):
    made, place = folders
    shutil.rmtree(place)
    run_outlines(made, tmp_path / "outlines.gpkg")
    glaciers = gpd.read_file(tmp_path / "outlines.gpkg", layer="glaciers")
    assert glaciers[["zmin_m", "slope_deg", "aspect_deg", "termlon"]].isna().all(axis=None)
    assert (glaciers["aspect_sec"] == NOT_ASSIGNED).all()
    assert (glaciers["term_type"] == NOT_ASSIGNED).all()


def test_geoparquet_and_a_tool_not_ours(folders, tmp_path):
    made, _ = folders
    found = CliRunner().invoke(app, ["outlines", str(made), str(tmp_path / "o.parquet")])
    assert found.exit_code == 0, found.output
    assert "2 glaciers, 3 parts, 2 lakes" in found.output and "--divides" in found.output
    counts = [
        len(gpd.read_parquet(tmp_path / n))
        for n in ("o.parquet", "o_parts.parquet", "o_lakes.parquet")
    ]
    assert counts == [2, 3, 2]
    run_outlines(made, tmp_path / "o.gpkg", smooth=True)
    if ogrinfo := shutil.which("ogrinfo"):
        told = subprocess.run([ogrinfo, "-al", "-so", tmp_path / "o.gpkg"], capture_output=True,
                              text=True, check=True).stdout  # fmt: skip
        assert "Layer name: glaciers" in told and "area_km2: Real" in told
