"""Items to passes, and passes by rank."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pystac
import pytest

from conftest import SHARED
from cryonet.errors import SceneError
from cryonet.sources.acquisition import (
    WEIGHTS,
    Acquisition,
    group_items,
    rank,
    sun_elevation,
    tile_of,
)
from cryonet.sources.scene_classes import Cover, cover_of, usable

START = datetime(2023, 10, 5, 4, 47, tzinfo=UTC)
CLEAR = Cover(0.0, 0.0, 0.1)


def item(name: str, time: datetime | None = START, **properties: Any) -> pystac.Item:
    collection = properties.pop("collection", "a")
    given = {"platform": "sentinel-2a", "view:sun_azimuth": 150.0, "view:sun_elevation": 60.0}
    return pystac.Item(
        name, None, None, time, {**given, **properties}, collection=collection,
        start_datetime=START, end_datetime=START,
    )  # fmt: skip


def ids(found: list[Acquisition]) -> list[list[str]]:
    return [[each.id for each in acquisition.items] for acquisition in found]


def test_tiles_of_one_crossing_are_one_pass() -> None:
    near, later = START + timedelta(minutes=2), START + timedelta(minutes=100)
    found = group_items(
        [
            item("c", later, **{"s2:mgrs_tile": "45RVL"}),
            item("b", near, **{"s2:mgrs_tile": "45RWL"}),
            item("a", START, **{"s2:mgrs_tile": "45RVL"}),
            item("other", START, platform="sentinel-2b", **{"s2:mgrs_tile": "45RVL"}),
        ],
        collections=["a"],
    )
    assert sorted(ids(found)) == [["a", "b"], ["c"], ["other"]]


def test_of_a_tile_the_newest_processing_stays_and_both_halves_of_it() -> None:
    tile = {"grid:code": "MGRS-45RVL"}
    found = group_items(
        [
            item("old", **tile, **{"s2:processing_baseline": "02.12"}),
            item("half1", **tile, **{"s2:processing_baseline": "05.10"}),
            item("half2", **tile, **{"s2:processing_baseline": "05.10"}),
            item("again", **tile, collection="b", **{"s2:processing_baseline": "05.10"}),
        ],
        collections=["a", "b"],
    )
    assert ids(found) == [["half1", "half2"]]


@pytest.mark.parametrize(
    ("name", "properties", "tile"),
    [
        ("x", {"grid:code": "MGRS-07HFE"}, "7HFE"),
        ("x", {"s2:mgrs_tile": "06VVN"}, "6VVN"),
        ("S2A_28QCH_20200714_0_L2A", {}, "28QCH"),
        ("S2A_T07HFE_20190212T192646_L2A", {}, "7HFE"),
        ("what", {}, "what"),
    ],
)
def test_tiles_are_known_by_property_or_name(name: str, properties: Any, tile: str) -> None:
    assert tile_of(item(name, **properties)) == tile


def test_an_item_without_time_is_refused() -> None:
    with pytest.raises(SceneError, match="no time"):
        group_items([item("a", None)], collections=[])


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real items are not here")
@pytest.mark.parametrize(
    "name",
    ["sentinel2_c1_l2a", "sentinel2_l2a_baseline0509", "planetary_computer_s2_l2a"],
)
def test_the_sun_stands_where_real_items_say(name: str) -> None:
    real = pystac.Item.from_dict(json.loads((SHARED / "stac" / f"{name}_item.json").read_text()))
    (found,) = group_items([real], collections=[])
    assert found.sun is not None and real.datetime is not None and real.bbox is not None
    place = real.properties.get("proj:centroid")
    west, south, east, north = real.bbox
    middle = ((west + east) / 2, (south + north) / 2)
    lon, lat = (place["lon"], place["lat"]) if place else middle
    # Items state the mean of the tile, of which these hold a part.
    assert sun_elevation(real.datetime, lon=lon, lat=lat) == pytest.approx(found.sun[1], abs=0.8)


def test_the_sun_at_equinox_and_solstice() -> None:
    noon = datetime(2023, 3, 21, 12, 7, tzinfo=UTC)
    assert sun_elevation(noon, lon=0, lat=0) == pytest.approx(90, abs=0.8)
    assert sun_elevation(noon + timedelta(hours=6), lon=0, lat=0) == pytest.approx(0, abs=0.8)
    summer = datetime(2023, 6, 21, 12, 2, tzinfo=UTC)
    assert sun_elevation(summer, lon=0, lat=45) == pytest.approx(45 + 23.44, abs=0.5)
    winter = datetime(2023, 12, 21, 11, 58, tzinfo=UTC)
    assert sun_elevation(winter, lon=0, lat=45) == pytest.approx(45 - 23.44, abs=0.5)


class TestRank:
    def ranked(self, *found: tuple[str, datetime, Cover, float | None]) -> list[str]:
        passes = []
        for name, time, cover, sun in found:
            stands = None if sun is None else (150.0, sun)
            passes.append((Acquisition((item(name, time),), time, stands), cover))
        made = rank(passes, months=(10, 11), middle=(86.0, 28.0))
        assert all(set(candidate.marks) == set(WEIGHTS) for candidate in made)
        return [candidate.acquisition.items[0].id for candidate in made]

    def test_each_mark_counts(self) -> None:
        may = START.replace(month=5)
        found = self.ranked(
            ("half missing", START, Cover(0.5, 0, 0.1), 60),
            ("cloudy", START, Cover(0, 0.4, 0.1), 60),
            ("season", may, CLEAR, 60),
            ("snowy", START, Cover(0, 0, 0.5), 60),
            ("low sun", START, CLEAR, 45),
            ("good", START, CLEAR, 60),
        )
        assert found == ["good", "low sun", "snowy", "season", "cloudy", "half missing"]

    def test_seasons_wrap_over_the_year(self) -> None:
        january, july = START.replace(month=1), START.replace(month=7)
        assert (
            self.ranked(("july", july, CLEAR, 60), ("january", january, CLEAR, 60))[0] == "january"
        )

    def test_where_no_item_tells_the_sun_it_is_computed(self) -> None:
        night = START - timedelta(hours=12)
        assert self.ranked(("night", night, CLEAR, None), ("day", START, CLEAR, None)) == [
            "day",
            "night",
        ]


def test_cover_is_of_what_is_seen() -> None:
    codes = np.array([[0, 0, 9, 3], [11, 11, 4, 200]], np.uint8)
    cover = cover_of(codes)
    assert cover == Cover(missing=3 / 8, cloud=2 / 5, snow=2 / 5)
    assert cover.usable == pytest.approx(3 / 8)
    assert cover_of(np.zeros((2, 2), np.uint8)) == Cover(1.0, 1.0, 0.0)
    assert usable(codes).tolist() == [[False] * 4, [True, True, True, False]]
