"""Pixels of a catalogue's items, read over the network a window at a time.

odc-stac and GDAL read only the blocks or overviews a window needs. Addresses are signed where
their store wants it, at every read, so that no signature expires on the way. What fails is
tried again within `Patience`; a window is whole or raises: a read that failed never
passes for missing data.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
import odc.stac
import pystac
import rasterio
from numpy.typing import NDArray
from odc.geo.converters import rio_geobox
from odc.geo.geobox import GeoBox
from planetary_computer.sas import (
    BLOB_STORAGE_DOMAIN,
    TOKEN_CACHE,
    get_token,
    parse_blob_url,
    sign_url,
)
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader
from requests.exceptions import RequestException
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from cryonet.cog import MAX_PIXELS
from cryonet.errors import SceneError
from cryonet.sources.patience import PASSING, Patience
from cryonet.sources.raster import RASTER_DRIVERS
from cryonet.sources.scaling import Scaling, band_asset, item_scaling
from cryonet.sources.warp import Method

Array = NDArray[Any]
T = TypeVar("T")

#: Files read at once: they wait for the network more than they compute.
THREADS = 6

#: Bytes of remote blocks kept, so that neighbouring windows do not fetch them again.
CACHE = 256 * 2**20

#: How the scene classification's asset is called.
_CLASSES = ("scl", "SCL", "SCL_20m")

_PROJECTION = "https://stac-extensions.github.io/projection/v1.1.0/schema.json"

#: Properties of the projection extension that place an item's files.
_PLACE = ("proj:epsg", "proj:code", "proj:shape", "proj:transform")


@dataclass(frozen=True, slots=True)
class Remote:
    """The files of one item, each under the name it has here.

    Attributes
    ----------
    item
        As the catalogue gave it.
    assets
        Its assets by canonical name: bands, ``scl``, or ``elevation``.
    scaling
        How numbers become reflectance, by band.
    """

    item: pystac.Item
    assets: dict[str, dict[str, Any]]
    scaling: dict[str, Scaling]


def remote_image(
    item: pystac.Item, bands: Sequence[str], *, stated: Scaling | None = None
) -> Remote:
    """Return the files of an item of Sentinel-2 level 2A.

    Parameters
    ----------
    bands
        By canonical name.
    stated
        How numbers become reflectance, in place of what the item states.

    Raises
    ------
    SceneError
        If it lacks a band or the scene classification, does not say how its numbers become
        reflectance, or names a file that is not on the web.
    """
    # Never item.to_dict(): it follows the item's links.
    files = {key: asset.to_dict() for key, asset in item.assets.items()}
    found = {name: band_asset(files, name) for name in bands}
    found["scl"] = next((files[key] for key in _CLASSES if key in files), None)
    for name, asset in found.items():
        if asset is None:
            raise SceneError("an item lacks a file", f"{item.id}: {name}", "Choose other days.")
    assets = {name: _on_the_web(item, asset) for name, asset in found.items() if asset}
    if stated is not None:
        return Remote(item, assets, dict.fromkeys(bands, stated))
    described = {"id": item.id, "properties": item.properties, "assets": files}
    return Remote(item, assets, item_scaling(described))


def remote_dem(item: pystac.Item) -> Remote:
    """Return the file of an item of the Copernicus DEM.

    Raises
    ------
    SceneError
        If it has none.
    """
    if "data" not in item.assets:
        raise SceneError("an item lacks a file", f"{item.id}: data", "It is no DEM.")
    return Remote(item, {"elevation": _on_the_web(item, item.assets["data"].to_dict())}, {})


def _on_the_web(item: pystac.Item, asset: Any) -> dict[str, Any]:
    href = str(asset.get("href", ""))
    if urlsplit(href).scheme not in ("http", "https"):
        rule = "Its address begins with https:// or http://; use another catalogue."
        raise SceneError("a file of an item is not on the web", f"{item.id}: {href}", rule)
    return dict(asset)


@dataclass(slots=True)
class Reader:
    """Reads windows of remote files.

    Parameters
    ----------
    patience
        How failing reads are tried again.
    tell
        Told, in words, why a read is tried again and how long it waits; may raise to stop.
    """

    patience: Patience = field(default_factory=Patience)
    tell: Callable[[str], None] = lambda _: None
    _grids: dict[str, GeoBox] = field(default_factory=dict)

    def read(
        self, remote: Remote, grid: GeoBox, resampling: Mapping[str, Method]
    ) -> dict[str, Array]:
        """Return the numbers of files on `grid`, by name; 0, or NaN of elevation, where none lie.

        Parameters
        ----------
        resampling
            By name, of `remote.assets`, what is to be read and how.

        Raises
        ------
        SceneError
            If a file is not what it should be, or stays unreadable.
        """

        def load() -> dict[str, Array]:
            for name in resampling:
                self._open(remote, name)
            return _load(remote, grid, resampling, sign=self._sign)

        return self._patiently(load, remote, list(resampling))

    def grid_of(self, remote: Remote, name: str) -> GeoBox:
        """Return the grid of a file itself; see `read`."""
        return self._patiently(lambda: self._open(remote, name), remote, [name])

    def _patiently(self, work: Callable[[], T], remote: Remote, names: Sequence[str]) -> T:
        attempts = Retrying(
            stop=stop_after_attempt(self.patience.attempts),
            wait=wait_random_exponential(self.patience.pause, self.patience.longest),
            retry=retry_if_exception(_passing),
            before_sleep=self._again,
            reraise=True,
        )
        try:
            for attempt in attempts:
                hrefs = [remote.assets[name]["href"] for name in names]
                with attempt, self._network(signed=any(map(_in_blob_storage, hrefs))):
                    if attempt.retry_state.attempt_number > 1:
                        self._forget(hrefs)
                    return work()
        except (RasterioError, RequestException) as error:
            shown = f"{remote.item.id}: {', '.join(names)}: {reason_of(error)}"
            tried = attempts.statistics["attempt_number"]
            rule = f"Tried {tried} times. What was read is kept: try again later, as before."
            raise SceneError("a file of the catalogue cannot be read", shown, rule) from error
        raise AssertionError("unreachable")

    def _again(self, state: RetryCallState) -> None:
        # An expired signature is answered like any refusal: the next attempt has a new one.
        TOKEN_CACHE.clear()
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0.0
        self.tell(f"{reason_of(error)}; trying again in {pause:.0f} s")

    @contextmanager
    def _network(self, *, signed: bool) -> Iterator[None]:
        seconds = f"{self.patience.timeout:g}"
        # GDAL itself asks twice more; where 403 means a signature expired, that is no use.
        codes = [code for code in PASSING if not (signed and code == 403)]
        options = {
            "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
            "GDAL_HTTP_MAX_RETRY": "2",
            "GDAL_HTTP_RETRY_DELAY": f"{self.patience.pause:g}",
            "GDAL_HTTP_RETRY_CODES": ",".join(map(str, codes)),
            "GDAL_HTTP_CONNECTTIMEOUT": seconds,
            "GDAL_HTTP_LOW_SPEED_TIME": f"{max(round(self.patience.timeout), 1)}",
            "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
            "CPL_VSIL_CURL_CACHE_SIZE": str(CACHE),
        }
        with rasterio.Env(**options), warnings.catch_warnings():
            # rasterio silences its own scratch rasters, but not for threads beside each other.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            yield

    def _open(self, remote: Remote, name: str) -> GeoBox:
        """Return the grid of a file, its header read (and kept) anew if it is not at hand.

        It is opened with the drivers of images alone: a VRT could name other files. GDAL
        takes a header that came in part for one that says less, and then finds no pixels
        where the file has some: one without a place, or with another, is read again.
        """
        href = remote.assets[name]["href"]
        with self._opened(href) as source:
            bands, pixels = source.count, source.width * source.height
            grid = rio_geobox(source)
        if bands != 1 or pixels > MAX_PIXELS:
            shown = f"{href}: {bands} bands, {pixels:,} pixels"
            rule = f"A file of an item has one band and at most {MAX_PIXELS:,} pixels."
            raise SceneError("a file of the catalogue is something else", shown, rule)
        if grid.crs is None or not isinstance(grid, GeoBox):
            raise RasterioIOError(f"{name} has no georeference")
        if self._grids.setdefault(href, grid) != grid:
            raise RasterioIOError(f"{name} lies elsewhere than before")
        return grid

    def _opened(self, href: str) -> DatasetReader:
        driver = RASTER_DRIVERS[1] if urlsplit(href).path.endswith(".jp2") else RASTER_DRIVERS[0]
        return rasterio.open(self._sign(href), driver=driver)

    def _sign(self, href: str) -> str:
        if _in_blob_storage(href):
            # Kept for `sign_url`, which by itself would ask ten times.
            get_token(
                *parse_blob_url(urlsplit(href)),
                retry_total=self.patience.attempts - 1,
                retry_backoff_factor=self.patience.pause,
            )
        return str(sign_url(href))

    def _forget(self, hrefs: Sequence[str]) -> None:
        """Make GDAL forget what it has of files, and that they could not be opened."""
        with rasterio.Env(CPL_VSIL_CURL_NON_CACHED="/vsicurl/http"):
            for href in hrefs:
                with suppress(RasterioError, RequestException):
                    self._opened(href).close()


def _in_blob_storage(href: str) -> bool:
    return (urlsplit(href).hostname or "").endswith(BLOB_STORAGE_DOMAIN)


def _load(
    remote: Remote,
    grid: GeoBox,
    resampling: Mapping[str, Method],
    *,
    sign: Callable[[str], str],
) -> dict[str, Array]:
    kinds = {name: _kind(name) for name in resampling}
    empty = {name: np.nan if name == "elevation" else 0 for name in resampling}
    stored = {n: {"data_type": kinds[n], "nodata": empty[n]} for n in resampling}
    loaded = odc.stac.load(
        [_plain(remote, resampling)],
        bands=list(resampling),
        geobox=grid,
        # What is copied odc-stac finds out by itself.
        resampling={n: "nearest" if how == "none" else how for n, how in resampling.items()},
        dtype=kinds,
        patch_url=sign,
        stac_cfg={"*": {"assets": stored, "warnings": "ignore"}},
        pool=THREADS,
    )
    if not loaded.sizes.get("time"):  # the item lies elsewhere
        return {n: np.full(tuple(grid.shape), empty[n], kinds[n]) for n in resampling}
    return {name: np.asarray(loaded[name].values[0]) for name in resampling}


def _kind(name: str) -> str:
    return {"scl": "uint8", "elevation": "float32"}.get(name, "uint16")


def _plain(remote: Remote, names: Iterable[str]) -> pystac.Item:
    """Return an item with the files wanted alone, under their names here."""
    source = remote.item
    place = {k: v for k, v in source.properties.items() if k in _PLACE}
    if "proj:epsg" not in place and str(place.get("proj:code", "")).startswith("EPSG:"):
        place["proj:epsg"] = int(place["proj:code"].removeprefix("EPSG:"))
    item = pystac.Item(
        id=source.id,
        geometry=source.geometry,
        bbox=source.bbox,
        datetime=source.datetime or datetime(1970, 1, 1, tzinfo=UTC),
        properties=place,
        stac_extensions=[_PROJECTION],
    )
    for name in names:
        asset = remote.assets[name]
        placed = {key: asset[key] for key in _PLACE if key in asset}
        item.add_asset(name, pystac.Asset(asset["href"], roles=["data"], extra_fields=placed))
    return item


def _passing(error: BaseException) -> bool:
    """Return whether the same read may do better: what is not there will not appear."""
    failed = isinstance(error, RasterioError | RequestException)
    return failed and not re.search(r"\b(404|410)\b", reason_of(error))


def reason_of(error: BaseException | None) -> str:
    """Return what an error began with, without the signature of an address."""
    last = error
    while last is not None and (last.__cause__ or last.__context__) is not None:
        last = last.__cause__ or last.__context__
    text = str(last or "unknown").strip().rstrip(".")
    return re.sub(r"\?[^\s'\"]*", "", text)
