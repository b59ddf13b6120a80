"""Sentinel-1 images of an area, as the catalogue of the Alaska Satellite Facility lists them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from requests.exceptions import RequestException

from cryonet.errors import CryonetError
from cryonet.progress import SILENT, Progress

#: West, south, east and north in degrees.
Bbox = tuple[float, float, float, float]

#: What is asked for: bursts are single images of one polarisation, scenes may hold two.
_BURSTS = {"dataset": "SLC-BURST", "processingLevel": "BURST", "polarization": ["VV"]}
_SCENES = {"dataset": "SENTINEL-1", "processingLevel": "SLC", "polarization": ["VV", "VV+VH"]}

#: More images than this are not read; ten years of one track over a large area are fewer.
MOST_IMAGES = 20_000

_NETWORK = "Check the network, or ask again later."


@dataclass(frozen=True, slots=True)
class RadarImage:
    """One image: a burst, or a scene of many.

    Attributes
    ----------
    name
        The granule's name, by which it is ordered.
    track, direction, orbit
        Relative orbit; ``ascending`` or ``descending``; absolute orbit.
    start
        When it begins, UTC.
    burst
        Track, number and subswath, ``012_023790_IW2``; None for a scene.
    footprint
        Its outline on the plane of `equal_area`.
    record
        The object of asf_search, from which baselines are computed.
    """

    name: str
    track: int
    direction: str
    polarisation: str
    orbit: int
    start: datetime
    burst: str | None
    footprint: Any
    record: Any


def equal_area(shape: Any, bbox: Bbox) -> Any:
    """Return `shape`, in degrees, on a plane on which areas keep their ratio.

    The plane is Lambert's cylindrical projection of the sphere about the middle meridian of
    `bbox`, so that outlines near it are whole wherever the 180th meridian runs.
    """
    middle = (bbox[0] + bbox[2]) / 2

    def place(points: NDArray[np.float64]) -> NDArray[np.float64]:
        turned = (points[:, 0] - middle + 180) % 360 - 180
        return np.column_stack([np.radians(turned), np.sin(np.radians(points[:, 1]))])

    return shapely.transform(shape, place)


def find_radar_images(
    bbox: Bbox,
    spans: Sequence[tuple[date, date]],
    *,
    bursts: bool,
    host: str | None = None,
    progress: Progress = SILENT,
) -> list[RadarImage]:
    """Return the images in VV of interferometric wide swath that meet `bbox`, oldest first.

    Where an image was processed twice, the one whose name sorts last is returned.

    Parameters
    ----------
    bbox
        West, south, east and north in degrees.
    spans
        First and last days, both included.
    bursts
        Whether single bursts are asked for, or whole scenes.
    host
        Host of the catalogue, if not NASA's own.

    Raises
    ------
    CryonetError
        If the catalogue does not answer, refuses, lists too many images, or leaves out some
        of those it counted or what must be known of one.
    """
    import asf_search

    kind = _BURSTS if bursts else _SCENES
    session = asf_search.ASFSession()
    place = {"host": host} if host else {}
    asked = [
        asf_search.ASFSearchOptions(
            beamMode="IW",
            bbox=list(bbox),
            start=datetime.combine(first, time.min, UTC),
            end=datetime.combine(last, time(23, 59, 59), UTC),
            session=session,
            **kind,
            **place,
        )
        for first, last in spans
    ]
    with _asking(asf_search, host or asf_search.constants.INTERNAL.CMR_HOST):
        records = _read(asf_search, asked, progress)
    found = {}
    for record in sorted(records, key=lambda record: str(record.properties["fileID"])):
        image = _radar_image(record, bbox)
        found[image.orbit, image.start, image.burst] = image
    return sorted(found.values(), key=lambda image: (image.start, image.name))


@contextmanager
def _asking(library: Any, host: str) -> Iterator[None]:
    """Turn what the library raises into our errors, and keep it from reporting to others."""
    # asf_search sends every failed search to its makers, without a time limit, unless told
    # not to: where a user works is for the user to tell.
    before, library.REPORT_ERRORS = library.REPORT_ERRORS, False
    try:
        yield
    except library.ASFSearch4xxError as error:
        rule = f"It says: {_line(error)}"
        raise CryonetError("the catalogue of radar images refuses", host, rule) from error
    except (library.ASFSearchError, RequestException, KeyError) as error:
        rule = f"{_NETWORK} The reason: {_line(error)}"
        raise CryonetError("the catalogue of radar images does not answer", host, rule) from error
    finally:
        library.REPORT_ERRORS = before


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300].rstrip(".") + "."


def _read(library: Any, asked: Sequence[Any], progress: Progress) -> list[Any]:
    total = 0
    for done, options in enumerate(asked):
        progress.step(done, len(asked), "counting images")
        total += library.search_count(opts=options)
    if total > MOST_IMAGES:
        rule = f"At most {MOST_IMAGES:,} are read: give a smaller area or fewer years."
        raise CryonetError("the catalogue lists too many images", f"{total:,}", rule)
    found: list[Any] = []
    for options in asked:
        for page in library.search_generator(opts=options):
            found += page
            progress.step(min(len(found), total), max(total, 1), "reading images")
    # The library ends quietly where a page lacks something.
    if len(found) < total:
        value = f"{len(found):,} of {total:,} images"
        raise CryonetError("the catalogue's answer is not complete", value, "Ask again.")
    return found


def _radar_image(record: Any, bbox: Bbox) -> RadarImage:
    stated = record.properties
    name = stated["sceneName"]
    burst = stated.get("burst", {}).get("fullBurstID")
    direction = str(stated["flightDirection"]).lower()
    needed = {key: stated.get(key) for key in ("sceneName", "pathNumber", "orbit", "startTime")}
    needed["flightDirection"] = direction if direction in ("ascending", "descending") else None
    needed["footprint"] = record.geometry["coordinates"]
    needed["burst"] = burst if "burst" in stated else "none"
    missing = [key for key, value in needed.items() if value is None]
    if missing:
        rule = "Give other dates: an image is paired only by what is known of it."
        what = f"the catalogue does not state the {missing[0]} of an image"
        raise CryonetError(what, str(stated["fileID"]), rule)
    return RadarImage(
        name=name,
        track=stated["pathNumber"],
        direction=direction,
        polarisation="VV",
        orbit=stated["orbit"],
        start=datetime.fromisoformat(stated["startTime"]),
        burst=burst,
        footprint=shapely.make_valid(
            equal_area(shapely.geometry.shape(record.geometry), bbox),
        ),
        record=record,
    )


def perpendicular_baseline(reference: RadarImage, secondary: RadarImage) -> int | None:
    """Return the perpendicular baseline in metres, or None where the catalogue lacks orbits.

    It is computed by asf_search from the state vectors that the catalogue lists.
    """
    import asf_search

    if not (_has_orbit(reference.record) and _has_orbit(secondary.record)):
        return None
    found = asf_search.Pair(reference.record, secondary.record).perpendicular_baseline
    return None if found is None else int(found)


def _has_orbit(record: Any) -> bool:
    stated = record.get_baseline_calc_properties()
    vectors = stated["stateVectors"]
    parts = [*vectors["positions"].values(), *vectors["velocities"].values()]
    return None not in [stated["ascendingNodeTime"], *parts]
