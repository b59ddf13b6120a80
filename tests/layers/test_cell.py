from __future__ import annotations

import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from cryonet.errors import GridError
from cryonet.layers.cell import cell_size


def grid(crs: str, *affine: float) -> GeoBox:
    return GeoBox((50, 60), Affine(*affine), crs)


def test_metres_of_a_utm_grid():
    assert cell_size(grid("EPSG:32645", 30, 0, 450000, 0, -30, 3100000)) == 30.0


def test_feet_become_metres():
    found = cell_size(grid("EPSG:2263", 100, 0, 1e6, 0, -100, 2e5))
    assert found == pytest.approx(100 * 1200 / 3937)


def test_polar_stereographic_is_accepted_at_the_pole():
    assert cell_size(grid("EPSG:3031", 100, 0, 2e5, 0, -100, 2e5)) == 100.0


@pytest.mark.parametrize(
    ("geobox", "words"),
    [
        (grid("EPSG:4326", 0.001, 0, 85, 0, -0.001, 28), "not measured in metres.*UTM"),
        (grid("EPSG:3857", 30, 0, 9.5e6, 0, -30, 3.2e6), "stretches lengths here.*UTM"),
        (grid("EPSG:32645", 30, 0, 450000, 0, -20, 3100000), "not square"),
        (grid("EPSG:32645", 30, 0, 450000, 0, 30, 3100000), "not north up"),
        (grid("EPSG:32645", -30, 0, 450000, 0, -30, 3100000), "not north up"),
        (grid("EPSG:32645", 30, 2, 450000, 2, -30, 3100000), "turned"),
    ],
)
def test_grids_that_slopes_cannot_be_measured_on(geobox, words):
    with pytest.raises(GridError, match=words):
        cell_size(geobox)
