"""The teaching scene as a whole: what it holds, what it promises, what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox
from scipy import ndimage
from shapely.geometry import box

from conftest import SHARED, grid
from cryonet.errors import SceneError
from cryonet.grid import geobox_of
from cryonet.layers import build_stack, fit_layers
from cryonet.scene import open_scene
from cryonet.scene_writer import write_scene
from cryonet.synthetic import STORAGE, make_scene
from cryonet.synthetic.region import REGIONS
from cryonet.synthetic.spectra import BANDS
from cryonet.workflows import make_synthetic

GetScene = Callable[..., xr.Dataset]


def test_the_same_arguments_give_the_same_bytes(scene: GetScene) -> None:
    first, again = scene(96, 4), make_scene(96, seed=4)
    assert set(first) == set(again)
    for name in first:
        assert first[name].values.tobytes() == again[name].values.tobytes(), name
    assert first.attrs == again.attrs


def test_another_seed_gives_another_valley(scene: GetScene) -> None:
    heights = [scene(96, seed)["elevation"].values for seed in (4, 5)]
    assert abs(np.corrcoef(heights[0].ravel(), heights[1].ravel())[0, 1]) < 0.9
    assert (scene(96, 4)["labels"] != scene(96, 5)["labels"]).mean() > 0.1


def test_it_carries_every_input_family_and_says_it_is_synthetic(scene: GetScene) -> None:
    made = scene(256, 0)
    assert {*BANDS, "elevation", "coherence", "phase", "labels"} == set(made)
    assert made.attrs["synthetic"] is True
    assert "ynthetic" in made.attrs["title"] and "synthetic" in made.attrs["id"]
    assert build_stack(made, fits=fit_layers([made])).attrs["absent"] == {}


def test_every_file_says_that_it_is_synthetic(scene: GetScene, tmp_path: Path) -> None:
    folder = write_scene(scene(96, 4), tmp_path / "s", storage=STORAGE)
    files = sorted(folder.glob("*.tif"))
    assert len(files) == 5
    for file in files:
        with rasterio.open(file) as data:
            assert data.tags()["CRYONET_INPUT"] == "synthetic"


def test_storing_loses_nothing(scene: GetScene, tmp_path: Path) -> None:
    made = scene(96, 4)
    found = open_scene(write_scene(made, tmp_path / "s", storage=STORAGE))
    for name in made:
        np.testing.assert_array_equal(found[name].values, made[name].values, err_msg=str(name))


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_classes_cover_about_what_the_region_asks(
    scene: GetScene, region: str, seed: int
) -> None:
    labels = scene(384, seed, region)["labels"].values
    asked = REGIONS[region]
    assert (np.isin(labels, (1, 2))).mean() == pytest.approx(asked.ice_share, abs=0.04)
    assert (labels == 2).mean() == pytest.approx(asked.debris_share, rel=0.15)
    assert (labels == 3).mean() == pytest.approx(asked.lake_share, rel=0.25)


def test_debris_lies_low_on_the_ice_and_ice_above_the_line(scene: GetScene) -> None:
    for region in REGIONS:
        made = scene(384, 1, region)
        tongue = (made["labels"] == 1) & (made["elevation"] < made.attrs["equilibrium_line"])
        gap = made["elevation"].where(tongue) - made["elevation"].where(made["labels"] == 2).mean()
        assert float(gap.mean()) > 40
        labels, height = made["labels"].values, made["elevation"].values
        line = made.attrs["equilibrium_line"]
        assert line == REGIONS[region].equilibrium_line
        assert (height[labels == 2] < line + 10).mean() > 0.99
        ice = np.isin(labels, (1, 2))
        assert 0.3 < (height[ice] > line).mean() < 0.9
        # Tongues: ice reaches well below the line, along the ground.
        assert np.quantile(height[ice], 0.02) < line - 100


def test_every_lake_is_level(scene: GetScene) -> None:
    made = scene(384, 1)
    parts, number = ndimage.label(made["labels"].values == 3)
    assert number > 3
    height = made["elevation"].values
    for part in range(1, number + 1):
        assert np.ptp(height[parts == part]) < 0.01


def test_nodata_holes_are_few_and_shared_by_all_bands(scene: GetScene) -> None:
    made = scene(384, 0)
    missing = np.isnan(np.stack([made[name].values for name in BANDS]))
    assert 0.002 < missing[0].mean() < 0.01
    assert (missing == missing[0]).all()
    assert 0 < np.isnan(made["coherence"].values).mean() < 0.05
    assert np.isfinite(made["elevation"].values).all()


def test_the_regions_differ_as_their_names_promise(scene: GetScene) -> None:
    himalaya, alps = scene(384, 0, "poiqu"), scene(384, 0, "montblanc")
    assert himalaya.attrs["equilibrium_line"] > alps.attrs["equilibrium_line"] + 1000
    assert himalaya.attrs["view:sun_azimuth"] != alps.attrs["view:sun_azimuth"]

    def plants(made: xr.Dataset) -> float:
        index = (made["nir"] - made["red"]) / (made["nir"] + made["red"])
        return float((index > 0.4).mean())

    assert plants(alps) > plants(himalaya) + 0.1

    def colour(made: xr.Dataset) -> float:
        rock = made["labels"] == 2
        return float((made["red"] / made["blue"]).where(rock).median())

    assert colour(himalaya) > colour(alps) + 0.1


@pytest.mark.parametrize("size", [64, 101])
def test_small_and_odd_sizes(scene: GetScene, size: int) -> None:
    made = scene(size, 2)
    assert made["red"].shape == (size, size)
    assert geobox_of(made).resolution.x == 10
    assert set(np.unique(made["labels"])) >= {0, 1, 2}


def test_a_view_says_where_the_snow_is_white_and_shade_dark(scene: GetScene) -> None:
    made = scene(384, 0)
    green = made["green"].values
    assert np.nanmax(green) > 0.85 and np.nanmin(green) < 0.05
    # Numbers of 1/10000, as the product keeps them.
    numbers = (green[np.isfinite(green)].astype(float) + 0.1) * 1e4
    assert np.abs(numbers - np.rint(numbers)).max() < 0.01


@pytest.fixture(scope="module")
def slope() -> tuple[np.ndarray, GeoBox]:
    rows, columns = np.indices((80, 96))
    heights = 4000 + 12.0 * (80 - rows) + 60 * np.sin(columns / 9.0)
    return heights.astype(np.float32), grid(80, 96)


def test_given_terrain_and_outlines_are_kept(slope: tuple[np.ndarray, GeoBox]) -> None:
    heights, geobox = slope
    left, bottom, right, top = geobox.boundingbox
    ice = box(left + 200, bottom + 300, right - 200, top - 50)
    outlines = gpd.GeoDataFrame(geometry=[ice], crs=str(geobox.crs)).to_crs("EPSG:4326")
    made = make_scene(elevation=heights, outlines=outlines, geobox=geobox, seed=1)
    labels = made["labels"].values
    inside = np.zeros(heights.shape, bool)
    inside[5:50, 20:76] = True
    # Warping the outlines there and back moves their edges by less than a pixel.
    edge = ndimage.binary_dilation(inside) & ~ndimage.binary_erosion(inside)
    lake = labels == 3
    np.testing.assert_array_equal((np.isin(labels, (1, 2)) | lake | edge)[inside], True)
    assert not (np.isin(labels, (1, 2)) & ~inside & ~edge).any()
    kept = made["elevation"].values
    np.testing.assert_array_equal(kept[~lake], heights[~lake])
    assert geobox_of(made) == geobox
    assert made.attrs["synthetic"] is True and "given terrain" in made.attrs["title"]


def test_a_mask_is_as_good_as_outlines(slope: tuple[np.ndarray, GeoBox]) -> None:
    heights, geobox = slope
    mask = np.zeros(heights.shape, bool)
    mask[5:50, 20:76] = True
    labels = make_scene(elevation=heights, outlines=mask, geobox=geobox)["labels"].values
    assert np.isin(labels[mask], (1, 2, 3)).all()
    assert not np.isin(labels[~mask], (1, 2)).any()


def test_real_mountains_carry_simulated_imagery(tmp_path: Path) -> None:
    folder = SHARED / "oetztal_srtm"
    if not folder.exists():
        pytest.skip("the Ötztal terrain is not here: see data/README.md")
    made = open_scene(
        make_synthetic(
            tmp_path / "s",
            size=768,
            region="montblanc",
            dem=folder / "srtm_oetztal.tif",
            outlines=folder / "rgi_oetztal.shp",
        )
    )
    assert made["elevation"].shape == (768, 768)
    height, labels = made["elevation"].values, made["labels"].values
    assert height.min() > 1500 and height.max() < 3800
    ice = np.isin(labels, (1, 2))
    assert 0.02 < ice.mean() < 0.5
    assert height[ice].mean() > height[labels == 0].mean()
    assert made.attrs["synthetic"] is True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"size": 63}, r"too small: 63\. Give 64 pixels or more"),
        ({"region": "andes"}, r"no such region: andes\. Known are: poiqu, montblanc"),
        ({"elevation": np.zeros((80, 80))}, "no grid"),
        ({"elevation": np.zeros((80, 80)), "geobox": grid(80, 81)}, "does not fit its grid"),
        ({"elevation": np.zeros((40, 80)), "geobox": grid(40, 80)}, "too small"),
        ({"elevation": np.full((80, 80), np.nan), "geobox": grid(80, 80)}, "gaps: 6400 pixels"),
        (
            {
                "elevation": np.zeros((80, 80)),
                "geobox": GeoBox.from_bbox((86, 28, 87, 29), crs="EPSG:4326", shape=(80, 80)),
            },
            "not in metres",
        ),
        (
            {
                "elevation": np.zeros((80, 80)),
                "geobox": grid(80, 80),
                "outlines": np.zeros((9, 9), bool),
            },
            "outlines do not fit",
        ),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(SceneError, match=said):
        make_scene(**arguments)
