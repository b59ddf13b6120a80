from __future__ import annotations

import io

import numpy as np
import pytest
from morecantile import tms
from PIL import Image

from cryonet.band import Band
from cryonet.classes import CLASSES
from cryonet.cog import write_cog
from cryonet.errors import SceneError
from cryonet.grid import geobox_of
from dashboards.project import base_titles, scene_pictures
from dashboards.tiles import (
    MAX_ZOOM,
    TileStore,
    class_map,
    composite,
    confidence_map,
    exists,
    hillshade,
)
from dashboards.viewmodels import bounds_of

GRID = tms.get("WebMercatorQuad")


@pytest.fixture(scope="module")
def pictures(scene_folder):
    from cryonet.scene import open_scene

    return scene_pictures(open_scene(scene_folder), scene_folder)


@pytest.fixture(scope="module")
def place(scene_folder):
    from cryonet.scene import open_scene

    south, west, north, east = bounds_of(geobox_of(open_scene(scene_folder)))
    return lambda share_x, share_y, z: GRID.tile(
        west + share_x * (east - west), north - share_y * (north - south), z
    )


def pixels(body):
    return np.asarray(Image.open(io.BytesIO(body)))


def test_names_and_titles(pictures):
    assert set(pictures) == {"true-colour", "false-colour", "hillshade", "labels"}
    assert base_titles(pictures) == {
        "True colour": "true-colour",
        "False colour": "false-colour",
        "Relief": "hillshade",
    }


def test_true_colour_is_bright_where_it_is_bright_and_clear_where_empty(pictures, place):
    at = place(0.5, 0.5, 14)
    image = pixels(pictures["true-colour"].tile(at.z, at.x, at.y))
    assert image.shape == (256, 256, 4)
    seen = image[image[..., 3] == 255][:, :3]
    assert {tuple(p) for p in np.unique(seen, axis=0)} >= {(0, 0, 0), (255, 255, 255)}
    assert (np.ptp(seen.astype(int), axis=1) == 0).all(), "one stretch keeps grey things grey"
    hole = place(0.04, 0.04, 17)
    assert (
        pixels(pictures["true-colour"].tile(hole.z, hole.x, hole.y))[100:140, :40, 3] == 0
    ).all()


def test_neighbouring_tiles_share_one_stretch(pictures, place):
    dark, light = place(0.3, 0.5, 17), place(0.9, 0.5, 17)
    assert pixels(pictures["true-colour"].tile(dark.z, dark.x, dark.y))[128, 128, 0] == 0
    assert pixels(pictures["true-colour"].tile(light.z, light.x, light.y))[128, 128, 0] == 255


def test_classes_have_their_colours_and_other_ground_is_clear(tmp_path, scene_folder, place):
    from cryonet.scene import open_scene

    geobox = geobox_of(open_scene(scene_folder))
    codes = np.repeat(np.array([[0, 1, 2, 3, 255, 255]], np.uint8), 16, axis=1)
    codes = np.repeat(codes, 96, axis=0)
    file = write_cog(tmp_path / "c.tif", codes[None], geobox, [Band("classes")], nodata=255)
    for code in range(6):
        at = place((code + 0.5) / 6, 0.5, 18)
        r, g, b, a = pixels(class_map(file).tile(at.z, at.x, at.y))[128, 128]
        if code in (1, 2, 3):
            assert (r, g, b, a) == (*CLASSES[code].rgb, 255)
        else:
            assert a == 0


def test_labels_are_outlines(pictures, place):
    at = place(45 / 96, 45 / 96, 18)
    assert (pixels(pictures["labels"].tile(at.z, at.x, at.y))[..., 3] == 0).all(), "inside is clear"
    whole = pixels(pictures["labels"].tile(14, *place(0.5, 0.5, 14)[:2]))
    drawn = {tuple(p) for p in whole[whole[..., 3] == 255][:, :3]}
    assert drawn == {CLASSES[2].rgb, (255, 255, 255)}


def test_confidence_of_both_storages(tmp_path, scene_folder, place):
    from cryonet.scene import open_scene

    geobox = geobox_of(open_scene(scene_folder))
    trust = np.full((1, 96, 96), 0.5, np.float32)
    trust[:, :48] = np.nan
    stored = np.where(np.isnan(trust), 255, 125).astype(np.uint8)
    plain = write_cog(tmp_path / "f.tif", trust, geobox, [Band("c")], nodata=float("nan"))
    scaled = write_cog(tmp_path / "u.tif", stored, geobox, [Band("c", "1", 1 / 250)], nodata=255)
    at = place(0.5, 0.5, 14)
    first, second = (pixels(confidence_map(f).tile(at.z, at.x, at.y)) for f in (plain, scaled))
    assert (first == second).all()
    assert {0, 255} == set(np.unique(first[..., 3]))


def test_hillshade_is_that_of_a_plane(tmp_path):
    # Rising eastwards at 45 degrees and lit from the west: facing the sun, from the
    # east: in grazing light. At the equator a Mercator metre is a metre.
    from odc.geo.geobox import GeoBox

    geobox = GeoBox.from_bbox((0, 0, 6400, 6400), crs="EPSG:3857", shape=(640, 640))
    plane = np.broadcast_to(np.arange(640, dtype=np.float32) * 10, (1, 640, 640))
    file = write_cog(tmp_path / "e.tif", plane, geobox, [Band("elevation", "m")], nodata=-9999)
    at = GRID.tile(0.03, 0.03, 14)
    west = pixels(hillshade(file, azimuth=270, altitude=45).tile(at.z, at.x, at.y))
    east = pixels(hillshade(file, azimuth=90, altitude=45).tile(at.z, at.x, at.y))
    inside = (slice(60, 200), slice(60, 200), 0)
    # Resampling a ramp makes a step here and there, so the middle pixel counts.
    assert np.median(west[inside]) == pytest.approx(255, abs=2)
    assert np.median(east[inside]) == pytest.approx(40, abs=2)


def test_a_tile_outside_the_scene_is_clear(pictures):
    assert (pixels(pictures["true-colour"].tile(14, 3, 3))[..., 3] == 0).all()


def test_a_composite_names_the_missing_band(scene_folder):
    with pytest.raises(SceneError, match="lacks a band: rededge1"):
        composite(scene_folder / "optical.tif", ("red", "rededge1", "blue"))


def test_what_calls_itself_tif_is_not_opened_as_a_vrt(tmp_path):
    vrt = tmp_path / "optical.tif"
    vrt.write_text('<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>')
    with pytest.raises(SceneError, match="raster"):
        composite(vrt, ("red", "green", "blue"))


@pytest.mark.parametrize(
    "tile", [(-1, 0, 0), (MAX_ZOOM + 1, 0, 0), (3, 8, 0), (3, 0, 8), (3, -1, 0)]
)
def test_tiles_that_do_not_exist(tile, pictures):
    assert not exists(*tile)
    assert TileStore(pictures).tile("true-colour", *tile) is None


class TestStore:
    def test_names_are_opaque_and_are_forgotten(self, pictures):
        store = TileStore()
        names = {store.add(pictures["labels"]) for _ in range(20)}
        assert len(names) == 20
        assert all(len(name) == 16 for name in names)
        one = names.pop()
        assert store.tile(one, 14, 1, 1) is not None
        store.remove(one)
        store.remove(one)
        assert one not in store
        assert store.tile(one, 14, 1, 1) is None
        assert len(store) == 19

    def test_no_name_is_a_path(self, pictures, scene_folder):
        store = TileStore(pictures)
        for name in (str(scene_folder / "optical.tif"), "../labels", "labels.tif", "LABELS", ""):
            assert store.tile(name, 0, 0, 0) is None

    def test_tiles_are_drawn_once_and_only_so_many_kept(self, pictures, monkeypatch):
        monkeypatch.setattr("dashboards.tiles.KEPT_TILES", 2)
        drawn = []

        class Counted:
            def tile(self, *place):
                drawn.append(place)
                return b"png"

        store = TileStore({"a": Counted()})
        for x in (0, 0, 1, 0, 2, 0, 1):
            assert store.tile("a", 5, x, 0) == b"png"
        # 1 was the least lately used when 2 came.
        assert [place[1] for place in drawn] == [0, 1, 2, 1]
