"""STAC 1.1: the extensions that items of this package use, and the fields they share.

The fields follow the extensions' own schemas, in the versions of `EXTENSIONS`. What an item
declares is read off its fields (`declared`), so that neither can be there without the other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pystac
from odc.geo.geobox import GeoBox

from cryonet import __version__
from cryonet.classes import CLASSES
from cryonet.errors import CryonetError
from cryonet.grid import pixel_side

_ROOT = "https://stac-extensions.github.io"

#: Address of each extension's schema, by the prefix of its fields.
EXTENSIONS: Mapping[str, str] = {
    "proj": f"{_ROOT}/projection/v2.0.0/schema.json",
    "raster": f"{_ROOT}/raster/v2.0.0/schema.json",
    "eo": f"{_ROOT}/eo/v2.0.0/schema.json",
    "processing": f"{_ROOT}/processing/v1.2.0/schema.json",
    "classification": f"{_ROOT}/classification/v2.0.0/schema.json",
    "view": f"{_ROOT}/view/v1.0.0/schema.json",
    "mlm": f"{_ROOT}/mlm/v1.4.0/schema.json",
}

#: The extension's common name of each optical band, and its central wavelength and full width
#: at half maximum in nm on Sentinel-2A and on Sentinel-2B (ESA, Sentinel-2 MSI Technical
#: Guide, spectral bands). The name holds for any sensor, the numbers for these two.
_OPTICAL: Mapping[str, tuple[str, tuple[float, float], tuple[float, float]]] = {
    "coastal": ("coastal", (442.7, 21), (442.3, 21)),
    "blue": ("blue", (492.4, 66), (492.1, 66)),
    "green": ("green", (559.8, 36), (559.0, 36)),
    "red": ("red", (664.6, 31), (665.0, 31)),
    "rededge1": ("rededge071", (704.1, 15), (703.8, 16)),
    "rededge2": ("rededge075", (740.5, 15), (739.1, 15)),
    "rededge3": ("rededge078", (782.8, 20), (779.7, 20)),
    "nir": ("nir", (832.8, 106), (833.0, 106)),
    "nir08": ("nir08", (864.7, 21), (864.0, 22)),
    "nir09": ("nir09", (945.1, 20), (943.2, 21)),
    "swir16": ("swir16", (1613.7, 91), (1610.4, 94)),
    "swir22": ("swir22", (2202.4, 175), (2185.7, 185)),
}
_PLATFORMS = {"sentinel-2a": 1, "sentinel-2b": 2}


def declared(item: Mapping[str, Any]) -> list[str]:
    """Return the addresses of the extensions whose fields `item` has, in a fixed order."""
    used = {key.partition(":")[0] for key in _keys(item) if ":" in key}
    return [address for prefix, address in EXTENSIONS.items() if prefix in used]


def _keys(item: Mapping[str, Any]) -> Iterator[str]:
    holders = [item.get("properties", {}), *item.get("assets", {}).values()]
    for holder in holders:
        yield from holder
        for part in (*holder.get("bands", ()), *holder.get("mlm:output", ())):
            yield from part


def moment(stated: object, *, what: str, error: type[CryonetError]) -> datetime:
    """Return an ISO 8601 time in UTC, as STAC wants it; without a zone it is UTC already.

    Raises
    ------
    CryonetError
        Of class `error`, if it is not such a time.
    """
    try:
        when = datetime.fromisoformat(str(stated))
    except ValueError as broken:
        rule = "Write 2020-08-31T05:00:00Z."
        raise error(f"{what} is not ISO 8601", str(stated), rule) from broken
    return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)


def resolution(geobox: GeoBox) -> float:
    """Return the side of a pixel in metres, as ``gsd`` and ``raster:spatial_resolution``."""
    return round(pixel_side(geobox), 6)


def grid_fields(geobox: GeoBox) -> dict[str, Any]:
    """Return what the projection extension says of a grid, and ``gsd``.

    A CRS without an EPSG code has the code of its own authority, or none, and is written
    out as WKT2 and PROJJSON.
    """
    assert geobox.crs is not None
    crs, edges = geobox.crs, geobox.boundingbox
    centre = geobox.extent.centroid.to_crs("EPSG:4326").coords[0]
    fields: dict[str, Any] = {"proj:code": f"EPSG:{crs.epsg}" if crs.epsg else None}
    if not crs.epsg:
        authority = crs.proj.to_authority(min_confidence=100)
        fields["proj:code"] = ":".join(authority) if authority else None
        fields["proj:wkt2"] = crs.to_wkt()
        fields["proj:projjson"] = crs.proj.to_json_dict()
    fields["proj:shape"] = [int(side) for side in geobox.shape]
    fields["proj:transform"] = list(tuple(geobox.transform)[:6])
    fields["proj:bbox"] = [edges.left, edges.bottom, edges.right, edges.top]
    fields["proj:centroid"] = {"lat": centre[1], "lon": centre[0]}
    return {**fields, "gsd": resolution(geobox)}


def optical_fields(name: str, platform: object = None) -> dict[str, Any]:
    """Return what the eo extension says of a band; nothing if it is not an optical one.

    Wavelengths, in µm, are given only where the item states a platform whose they are.
    """
    if name not in _OPTICAL:
        return {}
    row = _OPTICAL[name]
    fields: dict[str, Any] = {"eo:common_name": row[0]}
    satellite = _PLATFORMS.get(str(platform).lower())
    if satellite is not None:
        centre, width = row[1] if satellite == 1 else row[2]
        fields["eo:center_wavelength"] = round(centre / 1000, 6)
        fields["eo:full_width_half_max"] = round(width / 1000, 6)
    return fields


def class_fields(count: int = len(CLASSES)) -> dict[str, Any]:
    """Return the first `count` map classes as the classification extension writes them.

    The wording is the ``description``, which version 1.1 has too: mlm 1.4.0 refers to that one.
    """
    return {
        "classification:classes": [
            {
                "value": c.code,
                "name": c.name,
                "description": c.title,
                "color_hint": c.colour.removeprefix("#"),
            }
            for c in CLASSES[:count]
        ]
    }


def software(before: object = None) -> dict[str, str]:
    """Return ``processing:software``: what worked on the data `before`, and this version."""
    known = before if isinstance(before, Mapping) else {}
    return {**{str(name): str(v) for name, v in known.items()}, "cryonet": __version__}


def derived_from(sources: Mapping[str, str | Path], folder: Path) -> list[pystac.Link]:
    """Return links from an item in `folder` to the items it was made from.

    Parameters
    ----------
    sources
        Files of STAC Items by the links' titles. They are named relative to `folder`, so
        that folders can be moved together.
    """
    return [
        pystac.Link(
            rel=pystac.RelType.DERIVED_FROM,
            target=_reference(Path(file).absolute(), folder.absolute()),
            media_type=pystac.MediaType.GEOJSON,
            title=title,
        )
        for title, file in sources.items()
    ]


def _reference(file: Path, folder: Path) -> str:
    try:
        return quote(Path(os.path.relpath(file, folder)).as_posix())
    except ValueError:
        # Windows has no relative path from one drive to another.
        return file.as_uri()
