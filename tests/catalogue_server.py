"""A STAC API on loopback with generated COGs, which speaks as the public catalogues do."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from loopback import Answer, Request, Server
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.band import Band
from cryonet.cog import write_cog
from cryonet.grid import footprint
from cryonet.sources.scaling import SENTINEL2

#: Where the tests take place: four tiles of the DEM meet here, on 28 N, 87 E.
BOX = (86.990, 27.992, 87.008, 28.006)

#: A tile of Sentinel-2, cut small: pixels of 10 m, edges on multiples of 60 m.
TILE = GeoBox.from_bbox((498000, 3094980, 501600, 3099180), crs="EPSG:32645", resolution=10)

#: Pixel side of each band's file, m.
SIDES = {name: 60 if name in ("coastal", "nir09") else 20 for name in SENTINEL2} | dict.fromkeys(
    ("blue", "green", "red", "nir"), 10
)

CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
]

#: Stands in for an account of Azure blob storage.
BLOB = "sentinel2l2a01.blob.core.windows.net"

Codes = Callable[[tuple[int, int]], NDArray[np.uint8]]


def centres(grid: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x ``(x,)`` and y ``(y, 1)`` of pixel centres."""
    height, width = grid.shape
    x = grid.affine.c + grid.affine.a * (np.arange(width) + 0.5)
    y = grid.affine.f + grid.affine.e * (np.arange(height) + 0.5)
    return x, y[:, None]


def truth(name: str, grid: GeoBox, day: int) -> NDArray[np.float32]:
    """Return the reflectance that the images were made with: a plane for each band and day."""
    x, y = centres(grid)
    place = list(SENTINEL2).index(name)
    plane = (x - 499000) / 3600 * 0.05 + (y - 3096100) / 4200 * 0.08
    return (0.01 + 0.01 * place + 0.005 * day + plane).astype(np.float32)


def ground(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the elevation that the DEM was made with: a steep plane, m."""
    return 5000 + 60000 * (lon - 87) + 90000 * (lat - 28)


def clear(shape: tuple[int, int]) -> NDArray[np.uint8]:
    return np.full(shape, 5, np.uint8)


def cloudy(rows: slice, code: int = 9) -> Codes:
    """Return a maker of scene classifications with cloud in some rows, as shares of the height."""

    def make(shape: tuple[int, int]) -> NDArray[np.uint8]:
        codes = clear(shape)
        codes[int(rows.start * shape[0]) : int(rows.stop * shape[0])] = code
        return codes

    return make


@cache
def _band_file(name: str, grid: GeoBox, day: int, offset: float) -> bytes:
    numbers = np.rint(truth(name, grid, day) / 1e-4) - np.rint(offset / 1e-4)
    data = numbers.astype("uint16")
    with tempfile.TemporaryDirectory() as folder:
        path = write_cog(Path(folder) / "band.tif", data[None], grid, [Band(name)], nodata=0)
        return path.read_bytes()


@dataclass(frozen=True)
class Image:
    """One item to serve."""

    day: int = 0
    form: str = "bands"
    codes: Codes = clear
    offset: float = -0.1
    platform: str = "sentinel-2a"
    tile: GeoBox = TILE
    name: str = "45RVL"
    minute: int = 0

    @property
    def time(self) -> datetime:
        start = datetime(2023, 10, 5, 4, 47, 11, tzinfo=UTC)
        return start + timedelta(days=self.day, minutes=self.minute)


#: How items say what their numbers mean: name, asset keys, offset stated in which words.
FORMS: Mapping[str, Callable[[Image], dict[str, Any]]] = {
    # Earth Search, Collection 1: scale and offset on every asset.
    "bands": lambda image: {
        "collection": "sentinel-2-c1-l2a",
        "stac_version": "1.1.0",
        "properties": {
            "proj:code": f"EPSG:{image.tile.crs.epsg}",
            "grid:code": f"MGRS-{image.name}",
            "s2:processing_baseline": "05.10",
            "view:sun_azimuth": 155.0,
            "view:sun_elevation": 52.0,
        },
        "keys": {name: name for name in SENTINEL2} | {"scl": "scl"},
        "asset": {"raster:bands": [{"nodata": 0, "scale": 1e-4, "offset": image.offset}]},
    },
    # Earth Search: the offset was taken off, while -0.1 is still stated.
    "applied": lambda image: {
        "collection": "sentinel-2-l2a",
        "stac_version": "1.0.0",
        "properties": {
            "proj:epsg": image.tile.crs.epsg,
            "grid:code": f"MGRS-{image.name}",
            "s2:processing_baseline": "05.09",
            "earthsearch:boa_offset_applied": True,
            "view:sun_azimuth": 155.0,
            "view:sun_elevation": 52.0,
        },
        "keys": {name: name for name in SENTINEL2} | {"scl": "scl"},
        "asset": {"raster:bands": [{"nodata": 0, "scale": 1e-4, "offset": -0.1}]},
    },
    # The older sentinel-cogs: the baseline in the product's name alone, no sun.
    "cogs": lambda image: {
        "collection": "sentinel-s2-l2a-cogs",
        "stac_version": "1.0.0-beta.1",
        "properties": {
            "proj:epsg": image.tile.crs.epsg,
            "sentinel:product_id": f"S2A_MSIL2A_20200714T115221_N0214_R123_T{image.name}_2020",
        },
        "keys": {name: number for name, (number, _) in SENTINEL2.items()} | {"scl": "SCL"},
        "asset": {},
    },
    # Planetary Computer: the baseline as a property, files in blob storage.
    "planetary": lambda image: {
        "collection": "sentinel-2-l2a",
        "stac_version": "1.0.0",
        "properties": {
            "proj:epsg": image.tile.crs.epsg,
            "s2:mgrs_tile": image.name,
            "s2:processing_baseline": "05.09" if image.offset else "02.12",
            "s2:mean_solar_zenith": 38.0,
            "s2:mean_solar_azimuth": 155.0,
        },
        "keys": {name: number for name, (number, _) in SENTINEL2.items()} | {"scl": "SCL"},
        "asset": {},
    },
}

#: In which of them the numbers carry the image's offset; in the others none.
_WITH_OFFSET = ("bands", "planetary")


class Catalogue:
    """A STAC API over a folder, on loopback.

    `root` is its address; `server` counts, and fails on demand. Tokens of blob storage count
    up, and `expired` ones are refused.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.items: list[dict[str, Any]] = []
        self.tokens = 0
        self.lifetime = timedelta(hours=1)
        self.page = 100
        self.searches: list[dict[str, Any]] = []
        self.server = Server(folder, route=self._route)
        self.root = f"{self.server.url}stac"

    def add(self, image: Image) -> dict[str, Any]:
        """Write an image's files and list its item; return the item."""
        form = FORMS[image.form](image)
        item_id = f"S2A_{image.name}_{image.time:%Y%m%d}_{image.minute}_{form['collection']}"
        blob = image.form == "planetary"
        where = f"{BLOB}/sentinel2-l2/{item_id}" if blob else f"files/{item_id}"
        offset = image.offset if image.form in _WITH_OFFSET else 0.0
        host = "http://" if blob else self.server.url
        assets = {}
        for name, key in form["keys"].items():
            grid = image.tile.zoom_to(resolution=20 if name == "scl" else SIDES[name])
            path = self.folder / where / f"{key}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            if name == "scl":
                codes = image.codes(tuple(grid.shape))
                write_cog(path, codes[None], grid, [Band(key)], nodata=0)
            else:
                path.write_bytes(_band_file(name, grid, image.day, offset))
            assets[key] = {
                "href": f"{host}{where}/{key}.tif",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "roles": ["data"],
                "proj:shape": list(grid.shape),
                "proj:transform": list(grid.affine)[:6],
                **({} if name == "scl" else copy.deepcopy(form["asset"])),
            }
        assets["thumbnail"] = {"href": f"{self.server.url}{where}/thumbnail.jpg"}
        properties = form["properties"] | {"platform": image.platform}
        item = self._item(item_id, form, image.tile, image.time, properties, assets)
        self.items.append(item)
        return item

    def add_dem(self, south: int, west: int, *, side: float = 1 / 3600) -> dict[str, Any]:
        """Write the part of a tile of the Copernicus DEM near the tests' box, and list it.

        A tile's pixel centres lie on whole degrees and its grid half a pixel beside them; of
        the tile only the 60 rows and columns at the corner 28 N, 87 E are made.
        """
        count = 60
        top = 28 + (count if south == 28 else 0) * side + side / 2
        left = 87 - (count if west == 86 else 0) * side - side / 2
        box = (left, top - count * side, left + count * side, top)
        grid = GeoBox.from_bbox(box, crs="EPSG:4326", shape=(count, count))
        lon, lat = centres(grid)
        name = f"Copernicus_DSM_COG_10_N{south:02d}_00_E{west:03d}_00_DEM"
        path = self.folder / "files" / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_cog(path, ground(lon, lat).astype("float32")[None], grid, [Band("elevation", "m")])
        form = {"collection": "cop-dem-glo-30", "stac_version": "1.0.0"}
        asset = {
            "href": f"{self.server.url}files/{name}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
        }
        properties = {
            "proj:epsg": 4326,
            "proj:shape": list(grid.shape),
            "proj:transform": list(grid.affine)[:6],
        }
        when = datetime(2021, 4, 22, tzinfo=UTC)
        item = self._item(name, form, grid, when, properties, {"data": asset})
        self.items.append(item)
        return item

    def _item(
        self,
        item_id: str,
        form: dict[str, Any],
        grid: GeoBox,
        time: datetime,
        properties: dict[str, Any],
        assets: dict[str, Any],
    ) -> dict[str, Any]:
        outline, bbox = footprint(grid)
        collection = form["collection"]
        own = f"{self.root}/collections/{collection}/items/{item_id}"
        return {
            "type": "Feature",
            "stac_version": form["stac_version"],
            "stac_extensions": [
                "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
            ],
            "id": item_id,
            "geometry": json.loads(json.dumps(outline)),
            "bbox": bbox,
            "collection": collection,
            "properties": {"datetime": f"{time:%Y-%m-%dT%H:%M:%SZ}", **properties},
            "links": [
                {"rel": "self", "href": own, "type": "application/geo+json"},
                # Must never be followed.
                {"rel": "root", "href": "http://catalogue.invalid/"},
            ],
            "assets": assets,
        }

    def _route(self, request: Request) -> Answer | None:
        if request.path == "stac":
            return self._json(self._landing())
        if request.path == "stac/search":
            return self._json(self._found(json.loads(request.body or b"{}")))
        if request.path.startswith("sas/"):
            self.tokens += 1
            expiry = f"{datetime.now(UTC) + self.lifetime:%Y-%m-%dT%H:%M:%SZ}"
            return self._json({"token": f"st={self.tokens}&se=x&sp=r", "msft:expiry": expiry})
        return None

    def _landing(self) -> dict[str, Any]:
        plain, features = "application/json", "application/geo+json"
        links = [("self", "", plain), ("root", "", plain), ("search", "/search", features)]
        return {
            "type": "Catalog",
            "id": "loopback",
            "stac_version": "1.0.0",
            "description": "for tests",
            "conformsTo": CONFORMS,
            "links": [
                {"rel": rel, "href": self.root + tail, "type": kind, "method": "POST"}
                for rel, tail, kind in links
            ],
        }

    def _found(self, query: dict[str, Any]) -> dict[str, Any]:
        self.searches.append(query)
        west, south, east, north = query["bbox"]
        found = []
        for item in self.items:
            w, s, e, n = item["bbox"]
            near = w <= east and west <= e and s <= north and south <= n
            first, _, last = query.get("datetime", "0/9").partition("/")
            timely = first <= item["properties"]["datetime"] <= last
            if near and timely and item["collection"] in query["collections"]:
                found.append(item)
        start = int(query.get("token", 0))
        end = start + min(self.page, query["limit"])
        more = {"rel": "next", "href": f"{self.root}/search", "method": "POST"}
        more |= {"type": "application/geo+json", "body": {**query, "token": str(end)}}
        links = [more] if end < len(found) else []
        return {"type": "FeatureCollection", "features": found[start:end], "links": links}

    @staticmethod
    def _json(data: Any) -> Answer:
        return Answer(200, json.dumps(data).encode())


@contextmanager
def catalogue(folder: Path, *images: Image, dem: bool = True) -> Iterator[Catalogue]:
    """Yield a catalogue of images, and of the four tiles of the DEM."""
    made = Catalogue(folder)
    try:
        for image in images:
            made.add(image)
        if dem:
            for south, west in ((27, 86), (27, 87), (28, 86), (28, 87)):
                made.add_dem(south, west)
        yield made
    finally:
        made.server.close()
