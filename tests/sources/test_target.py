"""The target grid: square metres, north up."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from cryonet.errors import GridError
from cryonet.sources.target import target_grid

UTM = "EPSG:32645"
PLACE = Affine(10, 0, 478003, 0, -10, 3108147)


def covers(outer: GeoBox, inner: GeoBox) -> bool:
    shape = inner.extent.to_crs(outer.crs)
    return outer.extent.geom.buffer(1e-6).contains(shape.geom)


def test_a_north_up_grid_in_metres_stays_as_it_is() -> None:
    source = GeoBox((40, 50), PLACE, UTM)
    assert target_grid(source) is source
    assert target_grid(source, resolution=10) is source


def test_a_south_up_grid_is_mirrored_onto_its_own_pixels() -> None:
    source = GeoBox((40, 50), Affine(10, 0, 478003, 0, 10, 3107747), UTM)
    made = target_grid(source)
    assert made == GeoBox((40, 50), PLACE, UTM)


def test_a_rotated_grid_gets_the_box_around_it() -> None:
    turn = Affine.translation(478000, 3108140) * Affine.rotation(30) * Affine.scale(10, -10)
    source = GeoBox((40, 50), turn, UTM)
    made = target_grid(source)
    assert made.affine.b == made.affine.d == 0
    assert made.affine.e == -made.affine.a == -10
    assert covers(made, source)
    # Snapping adds less than a pixel on each side.
    box = source.extent.boundingbox
    assert made.shape[1] <= (box.right - box.left) / 10 + 2


def test_oblong_pixels_become_square_of_the_same_area() -> None:
    source = GeoBox((40, 50), Affine(20, 0, 478000, 0, -5, 3108140), UTM)
    made = target_grid(source)
    assert made.affine.a == pytest.approx(10)
    assert made.affine.e == pytest.approx(-10)


@pytest.mark.parametrize(
    ("lon", "lat", "epsg"),
    [
        (86.9, 28.0, 32645),
        (6.8, 45.8, 32632),
        (-77.0, -9.0, 32718),
        (-147.0, 63.0, 32606),
        (179.9, 65.0, 32660),
        (-179.9, 65.0, 32601),
        (180.3, 65.0, 32601),
        (-40.0, 85.0, 3413),
        (20.0, -85.0, 3031),
    ],
)
def test_degrees_go_to_the_zone_of_the_middle(lon: float, lat: float, epsg: int) -> None:
    source = GeoBox((40, 50), Affine(0.001, 0, lon - 0.025, 0, -0.001, lat + 0.02), "EPSG:4326")
    made = target_grid(source)
    assert made.crs.epsg == epsg
    assert made.affine.a == -made.affine.e
    true = np.cos(np.radians(lat)) * (111_320 * 0.001) ** 2
    assert made.affine.a**2 == pytest.approx(true, rel=0.1)
    assert covers(made, source)


def test_edges_lie_on_multiples_of_the_pixel() -> None:
    source = GeoBox((40, 50), Affine(0.001, 0, 86.9, 0, -0.001, 28.0), "EPSG:4326")
    made = target_grid(source, resolution=30)
    assert made.affine.a == 30
    assert made.affine.c % 30 == 0
    assert made.affine.f % 30 == 0
    assert covers(made, source)


def test_mercator_metres_are_not_ground_metres() -> None:
    source = GeoBox((40, 50), Affine(10, 0, 9_670_000, 0, -10, 3_240_000), "EPSG:3857")
    made = target_grid(source)
    assert made.crs.epsg == 32645
    # At 28° north a Mercator metre is 0.88 m.
    assert made.affine.a == pytest.approx(10 * np.cos(np.radians(27.9)), rel=0.01)


def test_feet_are_refused() -> None:
    source = GeoBox((40, 50), Affine(30, 0, 1_000_000, 0, -30, 500_000), "EPSG:2225")
    with pytest.raises(GridError, match="not in metres"):
        target_grid(source)


@pytest.mark.parametrize("resolution", [0, -10, float("nan"), float("inf")])
def test_an_impossible_resolution_is_refused(resolution: float) -> None:
    with pytest.raises(GridError, match="not a length"):
        target_grid(GeoBox((40, 50), PLACE, UTM), resolution=resolution)


def test_a_grid_too_large_is_refused() -> None:
    with pytest.raises(GridError, match="too large"):
        target_grid(GeoBox((4000, 5000), PLACE, UTM), resolution=0.1)


def test_a_new_resolution_covers_the_same_ground() -> None:
    source = GeoBox((40, 50), PLACE, UTM)
    made = target_grid(source, resolution=30)
    assert made.affine.a == 30
    assert covers(made, source)
    assert made.shape[0] * 30 < 400 + 60
