"""Passes of the satellite over an area: items that belong together, and which are best."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pystac

from cryonet.errors import SceneError
from cryonet.sources.scaling import baseline_of
from cryonet.sources.scene_classes import Cover

#: Items of one satellite within this time are of one pass: it crosses a zone in minutes.
PASS = timedelta(minutes=20)

#: What a pass is marked down for, and how much: a share of cloud or of missing ground counts
#: once, snow beyond that of the least snowy pass half, each month away from the season a
#: twentieth, and a sun on the horizon (its sine, beside that of a sun at 60 degrees) a half.
#: Our choice.
WEIGHTS = {"cloud": 1.0, "missing": 1.0, "snow": 0.5, "season": 0.05, "sun": 0.5}

_HIGH_SUN = float(np.sin(np.radians(60)))

_TILE = re.compile(r"_T?(\d{1,2}[C-HJ-NP-X][A-Z]{2})_")


@dataclass(frozen=True, slots=True)
class Acquisition:
    """One pass: its items, each tile once, and where the sun stood.

    Attributes
    ----------
    items
        In the order in which they are laid over one another, the first on top.
    time
        Of the first item.
    sun
        Azimuth, clockwise from north, and elevation, degrees; None if no item tells.
    """

    items: tuple[pystac.Item, ...]
    time: datetime
    sun: tuple[float, float] | None

    @property
    def name(self) -> str:
        """Its day and satellite."""
        return f"{self.time:%Y-%m-%d} {self.items[0].properties.get('platform', '')}".strip()

    @property
    def thumbnail(self) -> str:
        """Address of a small picture, "" if there is none."""
        for item in self.items:
            for key in ("thumbnail", "rendered_preview", "preview"):
                if key in item.assets:
                    return str(item.assets[key].href)
        return ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pass, what it covers of the area, and its marks: less is better.

    `height` is that of the sun, degrees, computed where no item tells.
    """

    acquisition: Acquisition
    cover: Cover
    height: float
    marks: dict[str, float]

    @property
    def total(self) -> float:
        """Sum of the marks."""
        return sum(self.marks.values())


def group_items(items: Iterable[pystac.Item], *, collections: Sequence[str]) -> list[Acquisition]:
    """Return items as passes, the earliest first; of a tile only its newest processing.

    Parameters
    ----------
    collections
        Names, the preferred first, for images that are in several.

    Raises
    ------
    SceneError
        If an item has no time.
    """
    ranked = sorted(items, key=lambda item: (_platform(item), _time(item)))
    passes: list[list[pystac.Item]] = []
    for item in ranked:
        last = passes[-1] if passes else None
        same = last is not None and _platform(last[0]) == _platform(item)
        if last is not None and same and _time(item) - _time(last[0]) <= PASS:
            last.append(item)
        else:
            passes.append([item])
    found = [_acquisition(group, list(collections)) for group in passes]
    return sorted(found, key=lambda acquisition: acquisition.time)


def _acquisition(group: list[pystac.Item], collections: list[str]) -> Acquisition:
    tiles: dict[str, list[pystac.Item]] = {}
    for item in group:
        tiles.setdefault(tile_of(item), []).append(item)
    kept: list[pystac.Item] = []
    for same in tiles.values():
        # A tile at the end of a data strip comes in two halves of one processing: both stay.
        best = max(_version(item, collections) for item in same)
        halves = [item for item in same if _version(item, collections) == best]
        kept += sorted(halves, key=lambda item: str(item.id))
    return Acquisition(tuple(kept), _time(kept[0]), _sun(kept))


def _version(item: pystac.Item, collections: list[str]) -> tuple[tuple[int, int], int]:
    baseline, _ = baseline_of(item.properties)
    known = item.collection_id in collections
    rank = collections.index(str(item.collection_id)) if known else len(collections)
    return baseline or (0, 0), -rank


def tile_of(item: pystac.Item) -> str:
    """Return the tile of the military grid an item covers, such as ``45RVL``, else its id."""
    code = str(item.properties.get("grid:code", ""))
    stated = code.removeprefix("MGRS-") if code.startswith("MGRS-") else ""
    stated = stated or str(item.properties.get("s2:mgrs_tile", ""))
    found = _TILE.search(f"_{item.id}_")
    return (stated or (found[1] if found else str(item.id))).lstrip("0")


def _platform(item: pystac.Item) -> str:
    return str(item.properties.get("platform", "")).lower()


def _time(item: pystac.Item) -> datetime:
    if item.datetime is None:
        raise SceneError("an item has no time", item.id, "Images of a catalogue have one.")
    return item.datetime if item.datetime.tzinfo else item.datetime.replace(tzinfo=UTC)


def _sun(items: Sequence[pystac.Item]) -> tuple[float, float] | None:
    for item in items:
        stated: dict[str, Any] = item.properties
        azimuth = stated.get("view:sun_azimuth", stated.get("s2:mean_solar_azimuth"))
        elevation = stated.get("view:sun_elevation")
        if elevation is None and stated.get("s2:mean_solar_zenith") is not None:
            elevation = 90 - float(stated["s2:mean_solar_zenith"])
        if azimuth is not None and elevation is not None:
            return float(azimuth), float(elevation)
    return None


def sun_elevation(when: datetime, *, lon: float, lat: float) -> float:
    """Return how high the sun stands, degrees, to about half a degree.

    References
    ----------
    Declination and equation of time after Spencer (1971), Search 2(5).
    """
    turn = 2 * np.pi * (when.timetuple().tm_yday - 1) / 365
    angles = np.array([1, 2, 3]) * turn
    declination = (
        0.006918
        + np.dot([-0.399912, -0.006758, -0.002697], np.cos(angles))
        + np.dot([0.070257, 0.000907, 0.001480], np.sin(angles))
    )
    # Of the day, as an angle.
    equation = (
        0.000075
        + np.dot([0.001868, -0.014615], np.cos(angles[:2]))
        + np.dot([-0.032077, -0.040849], np.sin(angles[:2]))
    )
    utc = when.astimezone(UTC)
    hours = utc.hour + utc.minute / 60 + utc.second / 3600
    hour_angle = np.radians(15 * (hours - 12) + lon) + equation
    north = np.radians(lat)
    sine = np.sin(north) * np.sin(declination)
    sine += np.cos(north) * np.cos(declination) * np.cos(hour_angle)
    return float(np.degrees(np.arcsin(sine)))


def rank(
    found: Sequence[tuple[Acquisition, Cover]],
    *,
    months: Sequence[int],
    middle: tuple[float, float],
) -> list[Candidate]:
    """Return passes with their marks after `WEIGHTS`, the best first.

    Parameters
    ----------
    found
        Each pass with what it covers of the area.
    months
        In which the ground is free of snow.
    middle
        Longitude and latitude of the area, for passes that do not tell where the sun stood.
    """
    bare = min((cover.snow for _, cover in found if cover.usable > 0), default=0.0)
    made = []
    for acquisition, cover in found:
        sun = acquisition.sun
        height = sun[1] if sun else sun_elevation(acquisition.time, lon=middle[0], lat=middle[1])
        marks = {
            "cloud": cover.cloud * (1 - cover.missing),
            "missing": cover.missing,
            "snow": max(cover.snow - bare, 0.0),
            "season": float(min(_months_apart(acquisition.time.month, m) for m in months)),
            "sun": max(1 - float(np.sin(np.radians(max(height, 0.0)))) / _HIGH_SUN, 0.0),
        }
        weighted = {key: WEIGHTS[key] * value for key, value in marks.items()}
        made.append(Candidate(acquisition, cover, height, weighted))
    return sorted(made, key=lambda candidate: (candidate.total, candidate.acquisition.time))


def _months_apart(first: int, second: int) -> int:
    apart = abs(first - second)
    return min(apart, 12 - apart)
