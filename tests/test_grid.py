"""Windows cover everything once asked; grids that differ are told apart."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from pyproj import Geod

from cryonet.errors import GridError
from cryonet.grid import (
    Window,
    check_same_grid,
    geobox_of,
    pixel_areas,
    starts,
    tile_windows,
    window_of,
)

UTM = "EPSG:32645"


def grid(rows: int = 4, cols: int = 6, side: float = 10.0, crs: str = UTM) -> GeoBox:
    return GeoBox((rows, cols), Affine(side, 0, 478000, 0, -side, 3108140), crs)


@st.composite
def tilings(draw: st.DrawFn) -> tuple[tuple[int, int], int, int]:
    shape = (draw(st.integers(1, 90)), draw(st.integers(1, 90)))
    tile = draw(st.integers(1, 40))
    return shape, tile, draw(st.integers(0, tile - 1))


@given(tilings())
def test_windows_cover_everything_and_stay_inside(case: tuple[tuple[int, int], int, int]) -> None:
    shape, tile, overlap = case
    hits = np.zeros(shape, dtype=int)
    for window in tile_windows(shape, tile, overlap=overlap):
        assert window.row >= 0
        assert window.col >= 0
        assert window.row + window.height <= shape[0]
        assert window.col + window.width <= shape[1]
        assert window.height == min(tile, shape[0])
        assert window.width == min(tile, shape[1])
        hits[window.slices] += 1
    assert hits.min() >= 1


@given(tilings())
def test_neighbours_share_the_overlap(case: tuple[tuple[int, int], int, int]) -> None:
    (length, _), tile, overlap = case
    first = starts(length, tile, overlap)
    assert first[0] == 0
    assert first[-1] + min(tile, length) == length
    steps = np.diff(first)
    assert (steps >= 1).all()
    assert (tile - steps >= overlap).all()


@given(tilings())
def test_no_more_windows_than_needed(case: tuple[tuple[int, int], int, int]) -> None:
    (length, _), tile, overlap = case
    first = starts(length, tile, overlap)
    # One tile fewer, each sharing exactly the overlap, would not reach the end.
    assert len(first) == 1 or tile + (len(first) - 2) * (tile - overlap) < length


@given(tilings(), st.integers(0, 50))
def test_expand_grows_to_the_edge_only(case: tuple[tuple[int, int], int, int], halo: int) -> None:
    shape, tile, overlap = case
    whole = np.arange(shape[0] * shape[1]).reshape(shape)
    windows = list(tile_windows(shape, tile, overlap=overlap))
    for window in windows[:: max(len(windows) // 5, 1)]:
        outer = window.expand(halo, shape)
        assert outer.row == max(window.row - halo, 0)
        assert outer.col == max(window.col - halo, 0)
        assert outer.row + outer.height == min(window.row + window.height + halo, shape[0])
        assert outer.col + outer.width == min(window.col + window.width + halo, shape[1])
        inner = whole[outer.slices][window.within(outer).slices]
        np.testing.assert_array_equal(inner, whole[window.slices])


def test_centre_is_inside_a_single_pixel() -> None:
    assert Window(3, 4, 1, 1).centre == (3, 4)
    assert Window(0, 0, 4, 6).centre == (2, 3)


def test_nothing_to_cover_gives_no_window() -> None:
    assert list(tile_windows((0, 5), 4)) == []


@pytest.mark.parametrize(("tile", "overlap"), [(0, 0), (-1, 0), (4, 4), (4, -1)])
def test_impossible_tiles_are_refused(tile: int, overlap: int) -> None:
    with pytest.raises(GridError):
        list(tile_windows((10, 10), tile, overlap=overlap))


def test_geobox_survives_a_dataset() -> None:
    data = wrap_xr(np.zeros((4, 6), dtype="float32"), grid())
    assert geobox_of(data) == grid()


def test_data_without_crs_is_refused() -> None:
    bare = xr.DataArray(np.zeros((3, 3)), dims=("y", "x"), coords={"y": [2, 1, 0], "x": [0, 1, 2]})
    with pytest.raises(GridError, match="no georeference"):
        geobox_of(bare)


def test_rotated_data_is_refused() -> None:
    affine = Affine.translation(478000, 3108140) * Affine.rotation(20) * Affine.scale(10, -10)
    turned = GeoBox((4, 6), affine, UTM)
    with pytest.raises(GridError, match="no georeference"):
        geobox_of(wrap_xr(np.zeros((4, 6), dtype="float32"), turned))


def test_equal_grids_pass() -> None:
    check_same_grid(grid(), grid())
    nudged = GeoBox((4, 6), Affine(10, 0, 478000.001, 0, -10, 3108140), UTM)
    check_same_grid(grid(), nudged)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (grid(crs="EPSG:32644"), "differ in CRS"),
        (grid(rows=5), "differ in size"),
        (GeoBox((4, 6), Affine(10, 0, 478005, 0, -10, 3108140), UTM), "differ in position"),
        (GeoBox((4, 6), Affine(10, 0, 478000, 0, -10, 3108141), UTM), "differ in position"),
        (GeoBox((4, 6), Affine(10, 0, 478000, 0, 10, 3108100), UTM), "differ in position"),
    ],
)
def test_different_grids_are_named(other: GeoBox, message: str) -> None:
    with pytest.raises(GridError, match=message):
        check_same_grid(grid(), other)


def test_a_slightly_different_pixel_adds_up_over_a_wide_grid() -> None:
    first = grid(cols=10_000)
    second = GeoBox((4, 10_000), Affine(10.001, 0, 478000, 0, -10, 3108140), UTM)
    with pytest.raises(GridError, match="differ in position"):
        check_same_grid(first, second)


def test_pixel_areas_on_a_map_are_the_cells() -> None:
    np.testing.assert_allclose(pixel_areas(grid(side=30.0)), np.full((4, 1), 9e-4))


def test_pixel_areas_in_degrees_add_up_to_the_earth() -> None:
    world = GeoBox((180, 360), Affine(1, 0, -180, 0, -1, 90), "EPSG:4326")
    total = float(pixel_areas(world).sum() * 360)
    ellipsoid = 510_065_621.724  # km², WGS 84 (Moritz 2000)
    # Edges of cells are geodesics, not parallels: a small and known excess.
    assert total == pytest.approx(ellipsoid, rel=2e-4)


def test_pixel_areas_do_not_depend_on_the_direction_of_rows() -> None:
    north_up = GeoBox((3, 2), Affine(0.1, 0, 10, 0, -0.1, 47), "EPSG:4326")
    south_up = GeoBox((3, 2), Affine(0.1, 0, 10, 0, 0.1, 46.7), "EPSG:4326")
    np.testing.assert_allclose(pixel_areas(north_up), pixel_areas(south_up)[::-1])
    ring, _ = Geod(ellps="WGS84").polygon_area_perimeter([0, 0.1, 0.1, 0], [46.9, 46.9, 47, 47])
    assert pixel_areas(north_up)[0, 0] == pytest.approx(abs(ring) / 1e6)


def test_a_part_lies_where_it_was_cut():
    whole = grid(40, 60)
    for window in (Window(0, 0, 40, 60), Window(3, 7, 11, 20), Window(39, 59, 1, 1)):
        assert window_of(whole[window.slices], whole) == window


@pytest.mark.parametrize(
    ("right", "down"), [(0.5, 0), (0, 0.3), (-31, 0), (0, -11), (6, 0), (40, 0), (0, 21)]
)
def test_a_part_that_lies_beside_is_refused(right, down):
    whole = grid(40, 60)
    part = whole[10:20, 30:55]
    moved = GeoBox(part.shape, part.affine * Affine.translation(right, down), UTM)
    with pytest.raises(GridError, match="the map and its scene differ"):
        window_of(moved, whole, what="the map and its scene")
    for shape in ((41, 60), (40, 61), (80, 90)):
        with pytest.raises(GridError, match="differ in"):
            window_of(GeoBox(shape, whole.affine, UTM), whole)
