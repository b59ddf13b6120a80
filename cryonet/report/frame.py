"""Where a map lies: its ground in metres, a scale bar, marks along its edges, its corners."""

from __future__ import annotations

import math
from dataclasses import dataclass

from odc.geo.geobox import GeoBox
from pyproj import Geod

from cryonet.grid import footprint

#: A scale bar takes at most this share of the width.
_LONGEST_BAR = 0.3


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark along an edge: how far along it, in per cent, and what it says."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class MapFrame:
    """What stands round a map.

    Attributes
    ----------
    aspect
        Width over height on the ground.
    bar
        Its length in per cent of the width, and what it says.
    east, north
        Marks from the left and from the top.
    system
        The CRS, and what its marks are in.
    corners
        The north-western and the south-eastern corner, in degrees.
    """

    aspect: float
    bar: Mark
    east: tuple[Mark, ...]
    north: tuple[Mark, ...]
    system: str
    corners: tuple[str, str]


def frame_map(geobox: GeoBox) -> MapFrame:
    """Return what stands round the map of a grid."""
    crs, edges = geobox.crs, geobox.boundingbox
    assert crs is not None
    width, height = ground_size(geobox)
    length = nice_below(width * _LONGEST_BAR)
    unit, scale = ("°", 1.0) if crs.geographic else ("km", 1000.0)
    name = f"EPSG:{crs.epsg}" if crs.epsg else "own CRS"
    west, south, east, north = footprint(geobox)[1]
    return MapFrame(
        aspect=width / height,
        bar=Mark(100 * length / width, _metres(length)),
        east=_marks(edges.left, edges.right, scale, turned=False),
        north=_marks(edges.bottom, edges.top, scale, turned=True),
        system=f"{crs.proj.name} ({name}), {unit}",
        corners=(_degrees(north, west), _degrees(south, east)),
    )


def ground_size(geobox: GeoBox) -> tuple[float, float]:
    """Return the width and height of a grid on the ground, m; along its middle in degrees."""
    edges = geobox.boundingbox
    if geobox.crs is None or not geobox.crs.geographic:
        return edges.right - edges.left, edges.top - edges.bottom
    geod = Geod(ellps="WGS84")
    x, y = (edges.left + edges.right) / 2, (edges.bottom + edges.top) / 2
    return (
        float(geod.line_length([edges.left, x, edges.right], [y, y, y])),
        float(geod.line_length([x, x, x], [edges.bottom, y, edges.top])),
    )


def nice_below(value: float) -> float:
    """Return the largest of 1, 2 or 5 times a power of ten that is not above `value`.

    Examples
    --------
    >>> [nice_below(value) for value in (1152, 0.03, 5, 19.9)]
    [1000.0, 0.02, 5.0, 10.0]
    """
    power = math.floor(math.log10(value))
    # Written as text, a power of ten is exact; 5 holds where rounding has made log10 too small.
    return max(n for d in (1, 2, 5, 10) if (n := float(f"{d}e{power}")) <= value)


def _marks(low: float, high: float, scale: float, *, turned: bool) -> tuple[Mark, ...]:
    """Return round numbers from `low` to `high`, some three or four of them."""
    step = nice_below((high - low) / 3)
    found = []
    number = int(low // step) + (low % step > 0)
    while number * step <= high:
        share = (number * step - low) / (high - low)
        place = 100 * (1 - share if turned else share)
        found.append(Mark(round(place, 3), f"{number * step / scale:.10g}"))
        number += 1
    return tuple(found)


def _metres(length: float) -> str:
    return f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"


def _degrees(latitude: float, longitude: float) -> str:
    return (
        f"{abs(latitude):.4f}° {'N' if latitude >= 0 else 'S'}, "
        f"{abs(longitude):.4f}° {'E' if longitude >= 0 else 'W'}"
    )
