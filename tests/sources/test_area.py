"""Areas by name, box and file; the grids that cover them."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from shapely.geometry import box as polygon

from cryonet.errors import CryonetError, GridError
from cryonet.sources.area import AREAS, area_grid, find_area


@pytest.mark.parametrize("name", AREAS)
def test_named_areas_are_places_with_a_season_and_a_reason(name: str) -> None:
    area = find_area(name)
    west, south, east, north = area.box
    assert area.name == name and area.reason and west < east and south < north
    assert (east - west) * (north - south) < 1  # not a region
    # What grows snow in the north is bare in the south.
    assert area.months and set(area.months) <= set(range(4, 12) if north > 0 else range(1, 13))
    assert area_grid(area).shape[0] > 1000


def test_the_papers_areas_are_where_they_are_stated() -> None:
    assert AREAS["poiqu"].box == (85.6, 27.9, 86.4, 28.6)
    assert AREAS["montblanc"].box == (6.75, 45.75, 7.15, 46.05)


@settings(max_examples=40, deadline=None)
@example(west=86.6, south=45.0, width=0.8, height=0.7, resolution=10.0)  # over a zone's middle
@given(
    west=st.floats(-179, 177),
    south=st.floats(-79, 82),
    width=st.floats(0.05, 1.5),
    height=st.floats(0.05, 1.0),
    resolution=st.sampled_from([10.0, 20.0, 90.0]),
)
def test_the_grid_covers_every_point_of_its_box(
    west: float, south: float, width: float, height: float, resolution: float
) -> None:
    area = find_area(box=(west, south, west + width, south + height))
    grid = area_grid(area, resolution=resolution)
    assert grid.affine.c % resolution == 0 and grid.affine.f % resolution == 0
    steps = np.linspace(0, 1, 21)
    lon, lat = (p.ravel() for p in np.meshgrid(west + steps * width, south + steps * height))
    x, y = Transformer.from_crs("EPSG:4326", str(grid.crs), always_xy=True).transform(lon, lat)
    columns, rows = ~grid.affine * (np.asarray(x), np.asarray(y))
    # Between the points the outline was bent at lie a few metres.
    slack = 3 / resolution + 0.01
    assert rows.min() >= -slack and rows.max() <= grid.shape[0] + slack
    assert columns.min() >= -slack and columns.max() <= grid.shape[1] + slack


def test_a_box_over_the_antimeridian_is_one_piece() -> None:
    grid = area_grid(find_area(box=(179.9, -16.9, -179.8, -16.7)))
    assert str(grid.crs) in ("EPSG:32701", "EPSG:32760")
    assert 30_000 < grid.shape[1] * 10 < 34_000


def test_a_file_gives_its_bounds(tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame(geometry=[polygon(86.7, 27.9, 86.8, 28.0)], crs="EPSG:4326")
    frame.to_crs("EPSG:32645").to_file(tmp_path / "mine.gpkg")
    area = find_area(tmp_path / "mine.gpkg")
    assert area.name == "mine"
    np.testing.assert_allclose(area.box, (86.7, 27.9, 86.8, 28.0), atol=1e-3)
    assert area.months == AREAS["khumbu"].months  # it lies there


@pytest.mark.parametrize(
    ("box", "months"),
    [((10, 60, 11, 61), (8, 9)), ((-70, -50, -69, -49), (2, 3)), ((37, 0, 38, 1), range(1, 13))],
)
def test_months_follow_the_hemisphere(box: tuple[float, ...], months: range) -> None:
    assert find_area(box=box).months == tuple(months)
    assert find_area(box=box, months=[7, 6, 7]).months == (6, 7)


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({}, "the area is not clear"),
        ({"name": "poiqu", "box": (1, 2, 3, 4)}, "the area is not clear"),
        ({"name": "atlantis"}, "there is no such area"),
        ({"box": (1, 2, 3)}, "not four numbers"),
        ({"box": (1, 2, 3, float("nan"))}, "not four numbers"),
        ({"box": (1, 5, 3, 4)}, "does not lie on the Earth"),
        ({"box": (1, 2, 1, 4)}, "no width"),
        ({"name": "poiqu", "months": [0]}, "not months"),
        ({"name": "poiqu", "months": []}, "not months"),
    ],
)
def test_what_is_no_area_is_refused(given_: dict, words: str) -> None:
    with pytest.raises(CryonetError, match=words):
        find_area(given_.pop("name", None), **given_)


def test_half_the_world_is_too_large() -> None:
    with pytest.raises(GridError, match="too large"):
        area_grid(find_area(box=(0, -60, 60, 60)))
