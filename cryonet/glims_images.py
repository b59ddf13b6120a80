"""The images behind a scene as GLIMS wants them: ids, instrument, platform, day, and place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import PurePath
from typing import Any

from odc.geo.geobox import GeoBox
from pyproj import Geod, Transformer

from cryonet.errors import SceneError
from cryonet.glims_submission import Submission
from cryonet.scene import BANDS
from cryonet.sources.inventory import parse_day

#: The optical instrument of a platform, by how the platform's name begins.
INSTRUMENTS: Mapping[str, str] = {
    "sentinel-2": "MSI", "landsat-9": "OLI", "landsat-8": "OLI", "landsat-7": "ETM+",
    "landsat-5": "TM", "landsat-4": "TM", "terra": "ASTER",
}  # fmt: skip

#: How well orthorectified images are placed, metres, by how the platform's name begins: what is
#: required of Sentinel-2 with ground control (ESA, Sentinel-2 Mission Requirements: 12.5 m at 95 %)
#: and of Landsat of tier 1 (USGS, Landsat Collections: 12 m, root mean square). For others one
#: pixel, which is our choice.
GEOLOCATION: Mapping[str, float] = {"sentinel-2": 12.5, "landsat": 12.0}

#: Precision of a vertex, pixels: outlines run along edges of pixels; smoothed ones are taken off
#: steps of a pixel. Our choice.
VERTEX, VERTEX_SMOOTHED = 0.5, 1.0


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One image: its id with its provider, what took it, and when."""

    name: str
    instrument: str
    platform: str
    day: date


def source_images(item: Mapping[str, Any], stated: Submission) -> tuple[SourceImage, ...]:
    """Return the images that a scene is made of.

    Of a scene from a catalogue they are the items that lent it pixels; of one from files the
    files of its optical bands, unless ids are stated; of a synthetic one the scene itself.

    Parameters
    ----------
    item
        The scene's STAC Item.
    stated
        Ids, platform and instrument in place of what the item tells.

    Raises
    ------
    SceneError
        If the day, the platform or the instrument is not known.
    """
    properties = item["properties"]
    platform = stated.platform or _platform(properties)
    known = next((INSTRUMENTS[key] for key in INSTRUMENTS if platform.startswith(key)), "")
    instrument = stated.instrument or (
        "synthetic" if platform == "synthetic" else ", ".join(properties.get("instruments", ()))
    )
    instrument = instrument or known
    for what, value in (("platform", platform), ("instrument", instrument)):
        if not value:
            rule = f"GLIMS asks for it: give --{what}."
            raise SceneError(f"the scene does not tell its {what}", str(item["id"]), rule)
    day = _day(None if "cryonet:datetime" in properties else properties.get("datetime"))
    names = dict.fromkeys(stated.images, day) or _sources(properties, day)
    if not names:
        names = {str(item["id"]): day}
    found = []
    for name, when in names.items():
        if when is None:
            rule = "Make the scene anew with the time of its image (--acquired)."
            raise SceneError("the day of the image is not known", name, rule)
        found.append(SourceImage(name, instrument, platform, when))
    return tuple(sorted(found, key=lambda image: (image.day, image.name)))


def _platform(properties: Mapping[str, Any]) -> str:
    if properties.get("synthetic"):
        return "synthetic"
    return str(properties.get("platform") or properties.get("constellation") or "").lower()


def _sources(properties: Mapping[str, Any], day: date | None) -> dict[str, date | None]:
    """Return the days of the images that gave pixels, by id."""
    found: dict[str, date | None] = {}
    for row in properties.get("cryonet:sources", ()):
        if row.get("variable") == "optical" and row.get("share_of_pass") != 0:
            found[str(row["item"])] = _day(row["datetime"])
        elif row.get("variable") in BANDS:
            found[PurePath(str(row["file"])).name] = day
    return found


def _day(stated: object) -> date | None:
    span = parse_day(stated) if stated else None
    return span[0] if span else None


def local_uncertainty(geobox: GeoBox, *, smooth: bool) -> tuple[float, float]:
    """Return the precision of vertices in x and y, metres: half a pixel, smoothed a whole one."""
    assert geobox.crs is not None
    to_degrees = Transformer.from_crs(geobox.crs.proj, "EPSG:4326", always_xy=True)
    row, col = (side / 2 for side in geobox.shape)
    here, east, south = (
        to_degrees.transform(*(geobox.affine * at))
        for at in ((col, row), (col + 1, row), (col, row + 1))
    )
    geod = Geod(ellps="WGS84")
    width, height = (geod.inv(*here, *there)[2] for there in (east, south))
    share = VERTEX_SMOOTHED if smooth else VERTEX
    return share * width, share * height


def geolocation(
    images: tuple[SourceImage, ...], stated: float | None, pixel: float
) -> tuple[float, str]:
    """Return how well the images are placed, metres, and where that is from."""
    if stated is not None:
        return stated, "as stated"
    platform = images[0].platform
    for name, value in GEOLOCATION.items():
        if platform.startswith(name):
            return value, f"what is required of {name}"
    return pixel, "one pixel, for want of better"
