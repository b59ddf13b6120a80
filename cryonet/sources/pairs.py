"""Pairs of Sentinel-1 images that suit an area and a season, and why.

A pair is made of two images of one track, one direction and one polarisation, taken in
months that the caller calls snow-free. `CRITERIA` says what counts among those; the weights
are our choice.
"""

from __future__ import annotations

import calendar
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import combinations
from typing import Any, Literal, get_args

import pyproj
import shapely

from cryonet.errors import CryonetError
from cryonet.progress import SILENT, Progress
from cryonet.sources.bursts import MOST_BURSTS, can_be_joined, joined
from cryonet.sources.radar import (
    Bbox,
    RadarImage,
    equal_area,
    find_radar_images,
    perpendicular_baseline,
)

#: What HyP3 makes of a pair: of two scenes, of two bursts, of several bursts joined.
Product = Literal["INSAR_GAMMA", "INSAR_ISCE_MULTI_BURST", "INSAR_ISCE_BURST"]

#: Square kilometres up to which bursts are ordered if nothing else is asked for, beyond it
#: scenes. A burst is about 20 km by 85 km, and one job joins `MOST_BURSTS` at most: an area
#: of this size meets about ten. A scene is 250 km by 170 km. Our choice.
BURST_AREA = 5000.0

#: Days between two images of a pair, and what they cost; pairs of other days are not made.
#: A satellite is back over a track after 12 days, two of them after 6. Our choice: ground
#: that lies still keeps the more coherence the shorter the time, and longer than 24 days
#: little is left in summer.
DAYS: Mapping[int, float] = {6: 0.0, 12: 1.0, 18: 2.0, 24: 3.0}

#: Metres of perpendicular baseline that cost as much as 6 days more. Our choice; the orbits
#: of Sentinel-1 mostly lie closer to each other than this.
BASELINE = 150.0

#: Share of the smaller footprint that both images must share: frames of a track are not cut
#: at the same place every time. Our choice.
SHARED = 0.5

#: A burst can be joined with neighbours this far, in degrees, beyond the area.
_MARGIN = 0.4


@dataclass(frozen=True, slots=True)
class Pair:
    """Two acquisitions to be ordered as one interferogram.

    Attributes
    ----------
    product
        What is to be made of it.
    reference_time, secondary_time
        When the first of their granules begins, UTC.
    reference, secondary
        Names of the granules of the older and the newer image: one scene or burst each, or
        several bursts in one order.
    bursts
        Track, number and subswath of each burst; empty for scenes.
    perpendicular
        Perpendicular baseline in metres, the largest of the bursts; None if not known.
    coverage
        Share of the area that both images cover, 0 to 1.
    """

    product: Product
    reference: tuple[str, ...]
    secondary: tuple[str, ...]
    reference_time: datetime
    secondary_time: datetime
    track: int
    direction: str
    polarisation: str
    bursts: tuple[str, ...]
    perpendicular: int | None
    coverage: float

    @property
    def days(self) -> int:
        """Days between the images."""
        return _days(self.reference_time, self.secondary_time)

    @property
    def percent(self) -> int:
        """Coverage in whole hundredths, rounded down: 100 is all of the area."""
        return math.floor(100 * self.coverage + 1e-6)

    @property
    def cost(self) -> float:
        """Sum of the costs of `CRITERIA`; the pair that costs least comes first."""
        return sum(criterion.cost(self) for criterion in CRITERIA)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the pair was taken, and what speaks against it, in words."""
        months = [
            calendar.month_name[day.month] for day in (self.reference_time, self.secondary_time)
        ]
        season = months[0] if months[0] == months[1] else " and ".join(months)
        return (
            f"same track {self.track}, {self.direction}, {self.polarisation}"
            + (f", same {_counted(len(self.bursts), 'burst')}" if self.bursts else ""),
            f"taken in {season}, given as free of snow",
            *(criterion.words(self) for criterion in CRITERIA),
        )


def _days(older: datetime, newer: datetime) -> int:
    # Rounded, as a pass about midnight may begin a second earlier the next time.
    return round((newer - older) / timedelta(days=1))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("s" if number > 1 else "")


@dataclass(frozen=True, slots=True)
class Criterion:
    """What counts: its cost, in units of 6 days more between the images, and its words."""

    name: str
    cost: Callable[[Pair], float]
    words: Callable[[Pair], str]


def _baseline_words(pair: Pair) -> str:
    if pair.perpendicular is None:
        return "perpendicular baseline not known"
    length = abs(pair.perpendicular)
    size = "short: terrain weighs little" if length <= BASELINE else "long: terrain weighs more"
    return f"perpendicular baseline {length} m, {size}"


#: What counts among pairs of one track and season, and how much. A tenth of the area missing
#: costs as much as 6 days more; a baseline that is not known as much as one of `BASELINE`.
CRITERIA = (
    Criterion(
        "coverage",
        lambda pair: 10 * (1 - pair.coverage),
        lambda pair: f"covers {pair.percent}% of the area",
    ),
    Criterion(
        "temporal baseline",
        lambda pair: DAYS[pair.days],
        lambda pair: f"{pair.days} days apart, {min(DAYS)} at best: still ground stays coherent",
    ),
    Criterion(
        "perpendicular baseline",
        lambda pair: 1.0 if pair.perpendicular is None else abs(pair.perpendicular) / BASELINE,
        _baseline_words,
    ),
)


def suggest_product(bbox: Bbox) -> tuple[Product, str]:
    """Return the product that suits the size of an area, and why in words.

    Raises
    ------
    CryonetError
        If `bbox` is not an area.
    """
    _check_bbox(bbox)
    area = abs(pyproj.Geod(ellps="WGS84").geometry_area_perimeter(shapely.box(*bbox))[0]) / 1e6
    size = f"the area has {area:,.0f} km², {BURST_AREA:,.0f} km² is our limit for bursts"
    if area <= BURST_AREA:
        return "INSAR_ISCE_MULTI_BURST", f"bursts of about 20 km by 85 km: {size}"
    return "INSAR_GAMMA", f"whole scenes of about 250 km by 170 km: {size}"


def find_pairs(
    bbox: Bbox,
    first: date,
    last: date,
    *,
    months: Collection[int],
    product: Product | None = None,
    most: int = 5,
    host: str | None = None,
    progress: Progress = SILENT,
) -> list[Pair]:
    """Return the pairs that suit an area and a season, the best first.

    Parameters
    ----------
    bbox
        West, south, east and north in degrees; it does not cross the 180th meridian.
    first, last
        Between these days, both included, the images are taken.
    months
        Months, 1 to 12, in which the ground is free of snow; both images lie in them.
    product
        What is to be made of the pairs; by default what `suggest_product` says.
    most
        So many pairs at most.
    host
        Host of the catalogue, if not NASA's own.

    Raises
    ------
    CryonetError
        If an argument breaks its rule, no pair suits, the area needs too many bursts, or the
        catalogue does not answer (see `find_radar_images`).
    """
    suggested, _ = suggest_product(bbox)
    made = product or suggested
    spans = _checked_spans(first, last, months, made, most)
    bursts = made != "INSAR_GAMMA"
    images = find_radar_images(
        _widened(bbox) if made == "INSAR_ISCE_MULTI_BURST" else bbox,
        spans,
        bursts=bursts,
        host=host,
        progress=progress,
    )
    area = equal_area(shapely.box(*bbox), bbox)
    found = list(_pairs(images, made, area))
    if not found:
        value = f"{len(images):,} images from {first} to {last}"
        rule = f"Two of a track {_listed(DAYS)} days apart are needed: give more dates or months."
        raise CryonetError("no pair of images suits", value, rule)
    return sorted(found, key=lambda pair: (pair.cost, pair.reference_time, pair.reference))[:most]


def _listed(values: Collection[int]) -> str:
    *rest, end = map(str, values)
    return f"{', '.join(rest)} or {end}"


def _check_bbox(bbox: Bbox) -> None:
    rule = "Give west, south, east and north in degrees, west of and south of the others."
    fits = len(bbox) == 4 and all(math.isfinite(side) for side in bbox)
    if not fits or not (-180 <= bbox[0] < bbox[2] <= 180 and -90 <= bbox[1] < bbox[3] <= 90):
        raise CryonetError("the area is none", bbox, rule)


def _checked_spans(
    first: date, last: date, months: Collection[int], product: str, most: int
) -> list[tuple[date, date]]:
    """Return the days between `first` and `last` that lie in `months`, as first and last days."""
    if first > last:
        raise CryonetError("the dates are in no order", f"{first}/{last}", "Give the older first.")
    if not months or not set(months) <= set(range(1, 13)):
        rule = "Give the months without snow, as 7, 8 and 9."
        raise CryonetError("the months are not those of a year", sorted(months), rule)
    if product not in get_args(Product):
        rule = f"Choose from {', '.join(get_args(Product))}."
        raise CryonetError("no such product", product, rule)
    if most < 1:
        raise CryonetError("no pair was asked for", most, "Give a number from 1.")
    spans: list[tuple[date, date]] = []
    for offset in range((last - first).days + 1):
        day = first + timedelta(offset)
        if day.month not in months:
            continue
        if spans and spans[-1][1] == day - timedelta(1):
            spans[-1] = (spans[-1][0], day)
        else:
            spans.append((day, day))
    if not spans:
        value, names = f"{first} to {last}", ", ".join(map(str, sorted(months)))
        raise CryonetError("no day lies in the months", value, f"The months are {names}.")
    return spans


def _widened(bbox: Bbox) -> Bbox:
    west, south, east, north = bbox
    return west, max(south - _MARGIN, -90.0), east, min(north + _MARGIN, 90.0)


def _pairs(images: Sequence[RadarImage], product: Product, area: Any) -> Iterator[Pair]:
    """Yield every pair of one track, a number of `DAYS` apart, that covers some of the area."""
    # Bursts that are joined are paired a pass at a time, other images one by one.
    whole = product == "INSAR_ISCE_MULTI_BURST"
    tracks: dict[tuple[Any, ...], dict[Any, list[RadarImage]]] = defaultdict(dict)
    for image in images:
        track = tracks[image.track, image.direction, None if whole else image.burst]
        track.setdefault(image.orbit if whole else image.name, []).append(image)
    for passes in tracks.values():
        for older, newer in combinations(passes.values(), 2):
            if _days(older[0].start, newer[0].start) in DAYS:
                pair = _pair(older, newer, product, area)
                if pair is not None:
                    yield pair


def _pair(
    older: Sequence[RadarImage], newer: Sequence[RadarImage], product: Product, area: Any
) -> Pair | None:
    """Return the pair of two passes, or None if they share too little or nothing of the area."""
    images = _matched(older, newer, area)
    shared = [first.footprint.intersection(second.footprint) for first, second in images]
    enough = (
        part.area >= SHARED * min(first.footprint.area, second.footprint.area)
        for part, (first, second) in zip(shared, images, strict=True)
    )
    coverage = shapely.union_all(shared).intersection(area).area / area.area
    if not coverage or not all(enough):
        return None
    baselines = [perpendicular_baseline(first, second) for first, second in images]
    known = [baseline for baseline in baselines if baseline is not None]
    first = images[0][0]
    return Pair(
        product=product,
        reference=tuple(image.name for image, _ in images),
        secondary=tuple(image.name for _, image in images),
        reference_time=first.start,
        secondary_time=images[0][1].start,
        track=first.track,
        direction=first.direction,
        polarisation=first.polarisation,
        bursts=tuple(image.burst for image, _ in images if image.burst is not None),
        perpendicular=max(known, key=abs) if len(known) == len(images) else None,
        coverage=min(coverage, 1.0),
    )


def _matched(
    older: Sequence[RadarImage], newer: Sequence[RadarImage], area: Any
) -> list[tuple[RadarImage, RadarImage]]:
    """Return the images of two passes that belong together, in one order; maybe none."""
    if len(older) == len(newer) == 1 and older[0].burst == newer[0].burst:
        return [(older[0], newer[0])]
    both = [{image.burst or "": image for image in images} for images in (older, newer)]
    meeting = {
        name for images in both for name, one in images.items() if one.footprint.intersects(area)
    }
    common = both[0].keys() & both[1].keys()
    if not meeting:
        return []
    # Where a pass begins or ends, the neighbours that would be joined are missing.
    for names in (joined(meeting), frozenset(meeting & common)):
        if len(names) > MOST_BURSTS:
            rule = f"One job joins {MOST_BURSTS} at most: order INSAR_GAMMA, or a smaller area."
            raise CryonetError("the area needs too many bursts", len(names), rule)
        if names and names <= common and can_be_joined(names):
            return [(both[0][name], both[1][name]) for name in sorted(names)]
    return []
