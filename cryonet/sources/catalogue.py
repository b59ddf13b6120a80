"""STAC catalogues: which there are, and what they hold of an area and a time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Any

import pystac
from requests.exceptions import RequestException

from cryonet.errors import SceneError
from cryonet.sources.area import Box
from cryonet.sources.patience import Patience

#: More items than this are not looked at: the time asked for is too long.
MOST = 500

#: Whose data it is, and under which terms.
TERMS = (
    "Contains modified Copernicus Sentinel data ({years}); free, full and open under the "
    "Sentinel data legal notice, attribution required."
)
DEM_TERMS = (
    "Elevation: Copernicus DEM GLO-30, produced using Copernicus WorldDEM-30 © DLR e.V. "
    "2010-2014 and © Airbus Defence and Space GmbH 2014-2018, provided under COPERNICUS by the "
    "European Union and ESA; all rights reserved."
)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A STAC API.

    Attributes
    ----------
    title, url
        Its name and root.
    images
        Collections of Sentinel-2 level 2A, the best first: of an image in several the first
        one's is used.
    dem
        Collection of the Copernicus DEM GLO-30.
    """

    title: str
    url: str
    images: tuple[str, ...] = ("sentinel-2-c1-l2a", "sentinel-2-l2a", "sentinel-s2-l2a-cogs")
    dem: str = "cop-dem-glo-30"


#: The catalogues by name.
CATALOGUES = {
    "earth-search": Catalogue(
        "Earth Search",
        "https://earth-search.aws.element84.com/v1",
        ("sentinel-2-c1-l2a", "sentinel-2-l2a"),
    ),
    "planetary-computer": Catalogue(
        "Planetary Computer",
        "https://planetarycomputer.microsoft.com/api/stac/v1",
        ("sentinel-2-l2a",),
    ),
}


def find_catalogue(name: str) -> Catalogue:
    """Return the catalogue called `name`, or the one at an address.

    Raises
    ------
    SceneError
        If it is neither.
    """
    if name in CATALOGUES:
        return CATALOGUES[name]
    if name.startswith(("https://", "http://")):
        return Catalogue(name, name)
    rule = f"Choose from {', '.join(CATALOGUES)}, or give the address of a STAC API."
    raise SceneError("there is no such catalogue", name, rule)


def search_images(
    catalogue: Catalogue, box: Box, first: date, last: date, *, patience: Patience
) -> list[pystac.Item]:
    """Return the items of Sentinel-2 level 2A that touch `box`, of the days from `first` to `last`.

    Raises
    ------
    SceneError
        If the catalogue does not answer or answers something else, or there are none, or
        more than `MOST`.
    """
    span = f"{first.isoformat()}/{last.isoformat()}"
    found = _search(catalogue, list(catalogue.images), box, span, patience)
    if not found:
        rule = f"Ask for other days or another area; looked in {', '.join(catalogue.images)}."
        raise SceneError("the catalogue has no image", f"{span}, {box}", rule)
    if len(found) > MOST:
        raise SceneError("there are too many images", f"{span}: over {MOST}", "Ask for fewer days.")
    return found


def search_dem(catalogue: Catalogue, box: Box, *, patience: Patience) -> list[pystac.Item]:
    """Return the items of the Copernicus DEM GLO-30 that touch `box`; none at sea.

    Raises
    ------
    SceneError
        If the catalogue does not answer or answers something else.
    """
    return _search(catalogue, [catalogue.dem], box, None, patience)


def _search(
    catalogue: Catalogue,
    collections: list[str],
    box: Box,
    span: str | None,
    patience: Patience,
) -> list[pystac.Item]:
    # Here, because it brings a grammar of addresses that takes seconds to load.
    from pystac_client import Client
    from pystac_client.exceptions import APIError
    from pystac_client.stac_api_io import StacApiIO

    reader = StacApiIO(max_retries=patience.retry(), timeout=patience.timeout)
    try:
        client = Client.open(catalogue.url, stac_io=reader)
        search = client.search(
            collections=collections, bbox=list(box), datetime=span, limit=100, max_items=MOST + 1
        )
        return [_absolute(item) for item in search.items()]
    except (APIError, RequestException) as error:
        rule = "Check the network and try again, choose another catalogue, or import local files."
        raise SceneError("the catalogue does not answer", catalogue.url, rule) from error
    except (pystac.STACError, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        rule = f"It is no STAC API that can be searched: {_reason(error)}."
        raise SceneError("the catalogue cannot be read", catalogue.url, rule) from error


def _absolute(item: pystac.Item) -> pystac.Item:
    # Addresses relative to an item's own; those of a public catalogue are absolute.
    own = item.get_self_href()
    if own is not None and own.startswith(("http://", "https://")):
        item.make_asset_hrefs_absolute()
    return item


def _reason(error: BaseException) -> str:
    text: Any = str(error).strip().rstrip(".")
    return str(text) or type(error).__name__
