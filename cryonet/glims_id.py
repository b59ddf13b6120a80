"""Identifiers of glaciers as GLIMS makes them, of a longitude and a latitude."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import shapely

from cryonet.errors import CryonetError

_FORM = re.compile(r"G(\d{6})E(\d{5})([NS])")

#: Degrees between two places that differ in name.
_STEP = 1e-3


def glims_id(lon: float, lat: float) -> str:
    """Return the identifier of a glacier at a place: thousandths of degrees, always east.

    Parameters
    ----------
    lon, lat
        In degrees; longitudes of any turn.

    Raises
    ------
    CryonetError
        If there is no such place.

    References
    ----------
    Raup (2002), GLIMS ID format: Decision, mailing list of GLIMS, 24 July 2002.

    Examples
    --------
    >>> glims_id(-125.22383, 49.20283)
    'G234776E49203N'
    """
    if not (math.isfinite(lon) and abs(lat) <= 90):
        rule = "A longitude is a number, a latitude lies within ±90°."
        raise CryonetError("there is no such place", (lon, lat), rule)
    # Halves go up, as in the examples of the decision.
    east, north = (math.floor(value * 1000 + 0.5) for value in (lon % 360, abs(lat)))
    return f"G{east % 360_000:06d}E{north:05d}{'S' if lat < 0 and north else 'N'}"


def place_of(name: str) -> tuple[float, float] | None:
    """Return longitude (−180 to 180) and latitude of an identifier; None if it is none."""
    found = _FORM.fullmatch(name)
    if found is None:
        return None
    lon, lat = int(found[1]) / 1000, int(found[2]) / 1000
    if lon >= 360 or lat > 90:
        return None
    return (lon - 360 if lon > 180 else lon), (-lat if found[3] == "S" else lat)


def distinct_ids(points: Sequence[tuple[float, float]], shapes: Sequence[Any]) -> list[str]:
    """Return an identifier for each glacier, no two the same.

    Each is of its point; where another glacier has that one already, of the nearest place inside
    the outline that is free. Our choice: GLIMS leaves the point to the analyst.

    Parameters
    ----------
    points
        Longitude and latitude inside each outline.
    shapes
        The outlines, in the same coordinates.

    Raises
    ------
    CryonetError
        If a glacier is so small that others have every name it could have.
    """
    taken: set[str] = set()
    names = []
    for (lon, lat), shape in zip(points, shapes, strict=True):
        name = next((n for n in _candidates(lon, lat, shape) if n not in taken), None)
        if name is None:
            rule = "Two glaciers lie within 100 m: give a larger --min-area."
            raise CryonetError("a glacier has no identifier of its own", glims_id(lon, lat), rule)
        taken.add(name)
        names.append(name)
    return names


def _candidates(lon: float, lat: float, shape: Any) -> Iterator[str]:
    yield glims_id(lon, lat)
    west, south, east, north = (bound / _STEP for bound in shape.bounds)
    xs, ys = (
        np.arange(math.ceil(low - 0.5), math.floor(high + 0.5) + 1)
        for low, high in ((west, east), (south, north))
    )
    nodes = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2) * _STEP
    # A name stands for the square of places that are rounded to it.
    squares = shapely.box(*(nodes - _STEP / 2).T, *(nodes + _STEP / 2).T)
    inside = nodes[shapely.intersects(squares, shape)]
    order = np.argsort(np.hypot(*(inside - (lon, lat)).T), kind="stable")
    yield from (glims_id(x, y) for x, y in inside[order].tolist())
