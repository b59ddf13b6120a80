"""Where and when: a box in degrees and the months in which its ground is free of snow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from odc.geo.geobox import GeoBox

from cryonet.errors import SceneError
from cryonet.sources.polygons import bounds_of
from cryonet.sources.target import target_grid

#: West, south, east, north in degrees. West lies above east over the antimeridian.
Box = tuple[float, float, float, float]

_MONTHS = tuple(range(1, 13))


@dataclass(frozen=True, slots=True)
class Area:
    """A place to map.

    Attributes
    ----------
    name, title, reason
        How it is called, and why one would map it.
    box
        West, south, east, north in degrees.
    months
        In which seasonal snow is least and skies are clear enough, 1 to 12.
    """

    name: str
    title: str
    box: Box
    months: tuple[int, ...]
    reason: str = ""


#: Named study areas. Boxes and months are our choice; the first two are where the paper of
#: CryoNet was trained and where it was applied.
AREAS = {
    row.name: row
    for row in (
        Area(
            "poiqu",
            "Poiqu basin, Central Himalaya",
            (85.6, 27.9, 86.4, 28.6),
            (10, 11),
            "where CryoNet was trained: debris-covered tongues, 147 lakes (Su et al. 2021)",
        ),
        Area(
            "montblanc",
            "Mont Blanc massif, Alps",
            (6.75, 45.75, 7.15, 46.05),
            (8, 9),
            "where CryoNet was applied: Miage and Brenva under debris, Mer de Glace mostly clean",
        ),
        Area(
            "khumbu",
            "Khumbu, Everest region",
            (86.6, 27.85, 87.0, 28.1),
            (10, 11),
            "much measured debris-covered tongues (Khumbu, Ngozumpa) and the lake Imja Tsho",
        ),
        Area(
            "oetztal",
            "Ötztal Alps",
            (10.6, 46.7, 11.1, 46.95),
            (8, 9),
            "mostly clean ice with long records: Hintereisferner, Vernagtferner",
        ),
        Area(
            "baltoro",
            "Baltoro, Karakoram",
            (76.0, 35.55, 76.75, 35.95),
            (7, 8, 9),
            "one of the longest debris-covered tongues, in drier mountains",
        ),
        Area(
            "cordillera-blanca",
            "Cordillera Blanca, Peru",
            (-77.75, -9.25, -77.25, -8.75),
            (6, 7, 8),
            "tropical glaciers and their lakes, in the dry season",
        ),
        Area(
            "aoraki",
            "Aoraki / Mount Cook, New Zealand",
            (170.0, -43.8, 170.5, -43.45),
            (2, 3),
            "a debris-covered tongue that ends in a growing lake (Tasman), in the south",
        ),
    )
}


def find_area(
    name: str | Path | None = None,
    *,
    box: Sequence[float] | None = None,
    months: Sequence[int] | None = None,
) -> Area:
    """Return the area called `name`, round the outlines in a file, or of `box`.

    Parameters
    ----------
    name
        Of `AREAS`, or a vector file, whose bounds are taken.
    box
        West, south, east, north in degrees.
    months
        1 to 12, in place of the area's own. Those of a box are of the named area that it
        touches; else August and September in the north, February and March in the south,
        and all the year within 20 degrees of the equator. Our choice.

    Raises
    ------
    SceneError
        If there is no such area or file, the box is none, or both or neither is given.
    """
    if (name is None) == (box is None):
        rule = f"Give one: a box, or an area of {', '.join(AREAS)} or a vector file."
        raise SceneError("the area is not clear", f"area {name}, box {box}", rule)
    if box is not None:
        found = _boxed("box", box)
    elif str(name) in AREAS:
        found = AREAS[str(name)]
    else:
        found = _outlined(Path(str(name)))
    if months is None:
        return found
    if not months or not set(months) <= set(_MONTHS):
        raise SceneError("the months are not months", list(months), "Give numbers from 1 to 12.")
    return Area(found.name, found.title, found.box, tuple(sorted(set(months))), found.reason)


def _outlined(path: Path) -> Area:
    if not path.is_file():
        rule = f"Choose from {', '.join(AREAS)}, or give a vector file or a box."
        raise SceneError("there is no such area", str(path), rule)
    return _boxed(path.stem, bounds_of(path))


def _boxed(name: str, box: Sequence[float]) -> Area:
    west, south, east, north = checked = _checked(box)
    title = f"{west:g} {south:g} {east:g} {north:g}" if name == "box" else name
    for area in AREAS.values():
        if _touch(checked, area.box):
            return Area(name, title, checked, area.months)
    middle = (south + north) / 2
    months = _MONTHS if abs(middle) < 20 else (8, 9) if middle > 0 else (2, 3)
    return Area(name, title, checked, months)


def _checked(box: Sequence[float]) -> Box:
    rule = "Give west south east north in degrees, as in 86.6 27.85 87.0 28.1."
    if len(box) != 4 or not all(math.isfinite(edge) for edge in box):
        raise SceneError("the box is not four numbers", list(box), rule)
    west, south, east, north = (float(edge) for edge in box)
    if not (-90 <= south < north <= 90 and -180 <= west <= 180 and -180 <= east <= 180):
        raise SceneError("the box does not lie on the Earth", list(box), rule)
    if west == east:
        raise SceneError("the box has no width", list(box), rule)
    return west, south, east, north


def _touch(first: Box, second: Box) -> bool:
    across = first[0] <= second[2] and second[0] <= first[2]
    return across and first[1] <= second[3] and second[1] <= first[3]


def area_grid(area: Area, *, resolution: float = 10.0) -> GeoBox:
    """Return the grid that covers an area: north up, square metres, in the UTM zone of its middle.

    Pixel edges lie on multiples of `resolution`, m, as those of Sentinel-2 do.

    Raises
    ------
    GridError
        If the resolution is not positive, or the grid too large.
    """
    west, south, east, north = area.box
    if east < west:
        east += 360
    degrees = GeoBox.from_bbox(
        (west, south, east, north), crs="EPSG:4326", shape=(64, 64), tight=True
    )
    return target_grid(degrees, resolution=resolution)
