"""Rasters come to the target grid where they belong, and no sharper than they were."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from cryonet.errors import GridError
from cryonet.sources.warp import plan_route, record, resample, resample_phase

UTM = "EPSG:32645"
TARGET = GeoBox((40, 50), Affine(10, 0, 478000, 0, -10, 3108140), UTM)
INNER = (slice(2, -2), slice(2, -2))


def centres(grid: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    cols, rows = np.meshgrid(np.arange(grid.shape[1]) + 0.5, np.arange(grid.shape[0]) + 0.5)
    a, b, c, d, e, f, *_ = grid.affine
    return a * cols + b * rows + c, d * cols + e * rows + f


def field(grid: GeoBox, crs: str = UTM) -> np.ndarray:
    """A smooth field of place, the same in every CRS: a plane on the UTM map, metres."""
    x, y = centres(grid)
    if str(grid.crs) != crs:
        x, y = Transformer.from_crs(str(grid.crs), crs, always_xy=True).transform(x, y)
    return ((x - 478000) + 2 * (3108140 - y)).astype("float32")


def warp(source: GeoBox, *, variable: str = "elevation", target: GeoBox = TARGET) -> tuple:
    route = plan_route(source, target, variable=variable, what="a.tif:1")
    values = field(source)[route.window.slices]
    return route, resample(values, source, route, target)


def around(grid: GeoBox, crs: str, side: float, *, turn: float = 0.0, flip: int = -1) -> GeoBox:
    """A grid in `crs` that covers `grid` with room to spare, turned and mirrored."""
    box = grid.extent.to_crs(crs).boundingbox
    width, height = box.right - box.left, box.top - box.bottom
    span = 1.6 * max(width, height) if turn else 1.2 * max(width, height)
    count = int(np.ceil(span / side))
    half = Affine.translation(-count / 2, -count / 2)
    middle = Affine.translation((box.left + box.right) / 2, (box.top + box.bottom) / 2)
    return GeoBox(
        (count, count), middle * Affine.rotation(turn) * Affine.scale(side, flip * side) * half, crs
    )


def test_the_same_grid_is_passed_through() -> None:
    route, out = warp(TARGET)
    assert route.method == "none"
    np.testing.assert_array_equal(out, field(TARGET))


def test_aligned_pixels_are_copied() -> None:
    moved = GeoBox((60, 70), Affine(10, 0, 477950, 0, -10, 3108200), UTM)
    route, out = warp(moved)
    assert route.method == "nearest"
    np.testing.assert_array_equal(out, field(TARGET))


def test_a_part_outside_the_source_is_missing() -> None:
    part = GeoBox((20, 20), Affine(10, 0, 478100, 0, -10, 3108040), UTM)
    route, out = warp(part)
    assert route.method == "nearest"
    assert np.isfinite(out).sum() == 400
    np.testing.assert_array_equal(out[10:30, 10:30], field(TARGET)[10:30, 10:30])


def test_a_south_up_raster_is_turned_exactly() -> None:
    mirrored = GeoBox((40, 50), Affine(10, 0, 478000, 0, 10, 3107740), UTM)
    route, out = warp(mirrored)
    assert route.method == "nearest"
    np.testing.assert_array_equal(out, field(TARGET))


@pytest.mark.parametrize("flip", [-1, 1])
@pytest.mark.parametrize("turn", [0.0, 17.0, 45.0, 90.0, 200.0])
@pytest.mark.parametrize("side", [9.0, 33.0])
def test_rotated_and_mirrored_rasters_come_right(side: float, turn: float, flip: int) -> None:
    route, out = warp(around(TARGET, UTM, side, turn=turn, flip=flip))
    assert route.method == "bilinear"
    np.testing.assert_allclose(out, field(TARGET), atol=0.05)


@pytest.mark.parametrize(
    ("crs", "side"),
    [
        ("EPSG:4326", 0.0003),
        ("EPSG:32644", 30.0),
        ("EPSG:3857", 12.0),
        ("+proj=laea +lat_0=28 +lon_0=86", 30.0),
    ],
)
def test_other_crs_come_right(crs: str, side: float) -> None:
    """A plane stays a plane to within the change of scale over a pixel."""
    route, out = warp(around(TARGET, crs, side))
    assert route.method == "bilinear"
    np.testing.assert_allclose(out, field(TARGET), atol=0.3)


def test_finer_rasters_are_averaged() -> None:
    fine = GeoBox((200, 250), Affine(2, 0, 478000, 0, -2, 3108140), UTM)
    route, out = warp(fine)
    assert route.method == "average"
    blocks = field(fine).reshape(40, 5, 50, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(out, blocks, rtol=1e-5)


def test_coherence_is_never_averaged() -> None:
    fine = GeoBox((200, 250), Affine(2, 0, 478000, 0, -2, 3108140), UTM)
    noise = np.random.default_rng(0).random((200, 250)).astype("float32")
    route = plan_route(fine, TARGET, variable="coherence", what="cc.tif:1")
    out = resample(noise[route.window.slices], fine, route, TARGET)
    assert route.method == "nearest"
    assert np.isin(out, noise).all()


def test_coherence_is_not_sharpened() -> None:
    """A step of coarse pixels stays between its two values, and no steeper than linear."""
    coarse = GeoBox((11, 13), Affine(40, 0, 477990, 0, -40, 3108150), UTM)
    step = np.where(np.arange(13) < 6, 0.2, 0.9).astype("float32") * np.ones((11, 1), "float32")
    route = plan_route(coarse, TARGET, variable="coherence", what="cc.tif:1")
    out = resample(step[route.window.slices], coarse, route, TARGET)
    assert route.method == "bilinear"
    assert route.native_resolution == pytest.approx(40)
    assert out.min() >= np.float32(0.2)
    assert out.max() <= np.float32(0.9)
    assert np.abs(np.diff(out, axis=1)).max() <= 0.7 * 10 / 40 + 1e-5


@pytest.mark.parametrize("side", [25.0, 3.0])
def test_phase_crosses_the_wrap_unharmed(side: float) -> None:
    """Neighbours at π − 0.1 and −π + 0.1 must meet at π, not at 0."""
    source = around(TARGET, UTM, side)
    sign = np.where(np.arange(source.shape[1]) % 2, 1, -1) * np.ones((source.shape[0], 1))
    phase = (sign * (np.pi - 0.1)).astype("float32")
    route = plan_route(source, TARGET, variable="phase", what="p.tif:1")
    out = resample_phase(phase[route.window.slices], source, route, TARGET)
    assert route.method in ("bilinear", "average")
    assert np.abs(out).min() >= np.pi - 0.1001
    # Its own mean, which is what must not happen, reaches zero.
    wrong = resample(phase[route.window.slices], source, route, TARGET)
    assert np.abs(wrong).min() < 1.5


@settings(max_examples=20, deadline=None)
@given(st.floats(-3.1, 3.1))
def test_a_constant_phase_stays(angle: float) -> None:
    source = around(TARGET, UTM, 17.0, turn=12.0)
    phase = np.full(source.shape, angle, dtype="float32")
    route = plan_route(source, TARGET, variable="phase", what="p.tif:1")
    out = resample_phase(phase[route.window.slices], source, route, TARGET)
    np.testing.assert_allclose(out, angle, atol=1e-5)


def test_aligned_phase_is_copied_bit_by_bit() -> None:
    moved = GeoBox((60, 70), Affine(10, 0, 477950, 0, -10, 3108200), UTM)
    phase = np.random.default_rng(0).uniform(-np.pi, np.pi, (60, 70)).astype("float32")
    route = plan_route(moved, TARGET, variable="phase", what="p.tif:1")
    out = resample_phase(phase[route.window.slices], moved, route, TARGET)
    assert np.isin(out, phase).all()


def test_holes_do_not_spread_wrong_values() -> None:
    source = around(TARGET, UTM, 12.0)
    values = np.full(source.shape, 100, dtype="float32")
    values[np.random.default_rng(0).random(source.shape) < 0.3] = np.nan
    route = plan_route(source, TARGET, variable="elevation", what="d.tif:1")
    out = resample(values[route.window.slices], source, route, TARGET)
    np.testing.assert_allclose(out[np.isfinite(out)], 100)
    # The valid neighbours answer for a hole: 30 % of holes stay about 30 %, while any
    # hole among four would empty 76 %.
    assert 0.2 < np.isnan(out).mean() < 0.4


@pytest.mark.parametrize("middle", [-180.0, 180.0])
def test_over_the_antimeridian(middle: float) -> None:
    """Longitudes of a raster may run to 181 or begin at -181; the ground is the same."""
    target = GeoBox((40, 50), Affine(100, 0, 654000, 0, -100, 6904000), "EPSG:32660")
    x, _ = target.extent.to_crs("EPSG:4326", wrapdateline=True).geom.bounds[::2]
    assert x == -180  # the grid does cross
    source = GeoBox((200, 400), Affine(0.001, 0, middle - 0.2, 0, -0.001, 62.32), "EPSG:4326")
    lon, lat = centres(source)
    east, _ = Transformer.from_crs("EPSG:4326", "EPSG:32660", always_xy=True).transform(lon, lat)
    route = plan_route(source, target, variable="elevation", what="d.tif:1")
    values = east.astype("float32")[route.window.slices]
    out = resample(values, source, route, target)
    wanted = centres(target)[0]
    known = np.isfinite(out)
    assert known.mean() > 0.9
    np.testing.assert_allclose(out[known], wanted[known], atol=2)


@pytest.mark.parametrize(
    "other",
    [
        GeoBox((40, 50), Affine(10, 0, 500000, 0, -10, 3108140), UTM),
        GeoBox((40, 50), Affine(10, 0, 478000, 0, -10, 3000000), UTM),
        GeoBox((40, 50), Affine(0.001, 0, 10, 0, -0.001, 46), "EPSG:4326"),
        GeoBox((40, 50), Affine(10, 0, 478500, 0, -10, 3108140), UTM),  # shares an edge only
    ],
)
def test_no_overlap_is_refused(other: GeoBox) -> None:
    with pytest.raises(GridError, match="does not overlap"):
        plan_route(other, TARGET, variable="elevation", what="a.tif:1")


def test_only_what_is_needed_is_read() -> None:
    wide = GeoBox((4000, 5000), Affine(10, 0, 460000, 0, -10, 3120000), UTM)
    route = plan_route(wide, TARGET, variable="red", what="a.tif:1")
    assert route.window.height <= 40 + 10
    assert route.window.width <= 50 + 10
    assert route.window.row <= (3120000 - 3108140) / 10 <= route.window.row + 5


def test_the_native_resolution_is_in_metres_on_the_ground() -> None:
    degrees = around(TARGET, "EPSG:4326", 0.001)
    route = plan_route(degrees, TARGET, variable="coherence", what="cc.tif:1")
    # A thousandth of a degree: 110.8 m north, 98.4 m east at 28.09° (WGS 84).
    assert route.native_resolution == pytest.approx(np.sqrt(110.83 * 98.31), rel=2e-3)


def test_the_record_says_from_what_to_what() -> None:
    source = around(TARGET, "EPSG:4326", 0.0003)
    route = plan_route(source, TARGET, variable="elevation", what="dem.tif:1")
    kept = record(route, source, TARGET, variable="elevation", file="dem.tif", band=1).as_dict()
    assert kept["from_crs"] == "EPSG:4326"
    assert kept["to_crs"] == "EPSG:32645"
    assert kept["from_resolution"] == pytest.approx([0.0003, 0.0003])
    assert kept["to_resolution"] == [10, 10]
    assert kept["resampling"] == "bilinear"
    west, south, east, north = kept["extent"]
    box = TARGET.extent.to_crs("EPSG:4326").boundingbox
    assert west < box.left < box.right < east
    assert south < box.bottom < box.top < north
