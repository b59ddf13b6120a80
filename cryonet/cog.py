"""Cloud-optimised GeoTIFF at the edge: write one whole or not at all, open one safely."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, DatasetWriter

from cryonet.band import Band
from cryonet.errors import SceneError
from cryonet.raw_vrt import vrt_of_rows

#: First bytes of a file, by the driver that reads it. The driver is chosen from them and
#: named to GDAL, so that a VRT or a text file that calls itself .tif is never opened: it
#: could name other files, or addresses.
SIGNATURES: Mapping[str, tuple[bytes, ...]] = {
    "GTiff": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    "JP2OpenJPEG": (b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51"),
}

#: Drivers of the files that the package writes itself (a COG is a GeoTIFF).
DRIVERS = ("GTiff",)

#: Larger rasters are refused before a pixel is read.
MAX_BANDS = 200
MAX_PIXELS = 2**30

#: A file this many times smaller than its pixels, and this large unpacked, is a bomb.
BOMB_RATIO, BOMB_BYTES = 400, 512 * 2**20

#: A block is decoded whole: one larger than this is larger than its raster only in a file
#: that is meant to fill the memory.
MAX_BLOCK_BYTES = 64 * 2**20


#: Of maps in bytes, level 3 takes two fifths of the time of the usual 6, and an eighth more room.
_QUICK: Mapping[str, str] = {"level": "3"}

# What a full disk becomes depends on which write it meets.
_WRITE_ERRORS = (RasterioError, CPLE_BaseError, OSError, SystemError)


def driver_of(path: str | Path, *, drivers: Sequence[str] = DRIVERS) -> str:
    """Return which of `drivers` reads the file, judged by its first bytes alone.

    Raises
    ------
    SceneError
        If the file is missing, or begins like none of them.
    """
    where = Path(path)
    if not where.is_file():
        raise SceneError("the file does not exist", str(where), "Give the path of a raster file.")
    with where.open("rb") as stream:
        start = stream.read(16)
    for driver in drivers:
        if start.startswith(SIGNATURES[driver]):
            return driver
    kinds = " or ".join(drivers)
    raise SceneError(
        "the file is not a raster of a known kind", str(where), f"Its contents must be {kinds}."
    )


def open_raster(path: str | Path, *, drivers: Sequence[str] = DRIVERS) -> DatasetReader:
    """Open a raster file for reading, with no driver but those named.

    Files beside it (masks, overviews, world files) are not looked at.

    Raises
    ------
    SceneError
        If the file is missing, is not a raster of one of `drivers`, or is too large.
    """
    where = Path(path).absolute()
    driver = driver_of(where, drivers=drivers)
    try:
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"), warnings.catch_warnings():
            # Callers look at the georeference themselves.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            source = rasterio.open(where, driver=driver)
    except RasterioError as error:
        raise SceneError("the raster is damaged", str(where), f"GDAL says: {error}.") from error
    try:
        _check_size(source, where)
    except SceneError:
        source.close()
        raise
    return source


def _check_size(source: DatasetReader, path: Path) -> None:
    if source.count > MAX_BANDS:
        raise SceneError(
            f"{path.name} has too many bands", source.count, f"At most {MAX_BANDS} are read."
        )
    pixels = source.width * source.height
    if pixels > MAX_PIXELS:
        size = f"{source.height} × {source.width}"
        raise SceneError(
            f"{path.name} is too large", size, f"At most {MAX_PIXELS:,} pixels are read; cut it."
        )
    unpacked = pixels * sum(_bytes(kind) for kind in source.dtypes)
    ratio = unpacked / max(path.stat().st_size, 1)
    if unpacked > BOMB_BYTES and ratio > BOMB_RATIO:
        raise SceneError(
            f"{path.name} unpacks to far more than it is",
            f"{unpacked / 2**20:.0f} MiB from {path.stat().st_size:,} bytes",
            f"Above {BOMB_BYTES // 2**20} MiB a file may grow {BOMB_RATIO} times at most.",
        )
    height, width = source.block_shapes[0]
    block = height * width * sum(_bytes(kind) for kind in source.dtypes)
    if block > max(MAX_BLOCK_BYTES, unpacked):
        raise SceneError(
            f"{path.name} has blocks larger than itself",
            f"{height} × {width}",
            f"A block of more than {MAX_BLOCK_BYTES // 2**20} MiB fits into its raster.",
        )


def _bytes(dtype: str) -> int:
    # GDAL's complex integers have no NumPy name.
    return 8 if dtype == "complex_int16" else np.dtype(dtype).itemsize


def origin_tags(attrs: Mapping[Any, Any]) -> dict[str, str]:
    """Return the tag by which a file says whether it stands on synthetic or measured input."""
    return {"CRYONET_INPUT": "synthetic" if attrs.get("synthetic") else "measured"}


def write_cog(
    path: str | Path,
    data: NDArray[Any],
    geobox: GeoBox,
    bands: Sequence[Band],
    *,
    nodata: float | None = None,
    colours: Mapping[int, tuple[int, int, int]] | None = None,
    tags: Mapping[str, str] | None = None,
    resampling: str = "nearest",
) -> Path:
    """Write `data` as a COG under a temporary name, then rename; return the path.

    Parameters
    ----------
    data
        Array ``(band, y, x)`` of any dtype GDAL stores.
    geobox
        Grid of the last two axes.
    bands
        Name, unit, scale and offset of each band.
    nodata
        Stored number that means missing.
    colours
        Colour table for a single byte band.
    tags
        Metadata of the file.
    resampling
        How overviews are made: ``"nearest"`` for classes, ``"average"`` for measures.

    Raises
    ------
    SceneError
        If the array does not fit, or the file cannot be written whole.
    """
    target = Path(path).absolute()
    _check_fit(data, geobox, bands, colours)
    try:
        # GDAL's COG driver only copies, and leaves its own scratch files when it fails:
        # all of them lie in a folder that goes away whatever happens.
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as work:
            plain, cog = Path(work) / "plain.tif", Path(work) / "cog.tif"
            profile = _profile(data, geobox, nodata)
            with rasterio.open(plain, "w", **profile) as dataset:
                dataset.write(data)
                _describe(dataset, bands, colours, tags or {})
            options = {"overview_resampling": resampling}
            if np.issubdtype(data.dtype, np.floating):
                options["predictor"] = "3"
            elif data.dtype == np.uint8:
                options |= _QUICK
            _copy(plain, cog, "GTiff", options)
            cog.replace(target)
    except _WRITE_ERRORS as error:
        raise SceneError(
            "the file cannot be written", str(target), f"The system says: {_first(error)}."
        ) from error
    return target


def cog_of_rows(
    rows: Path,
    path: str | Path,
    geobox: GeoBox,
    bands: Sequence[Band],
    *,
    nodata: float,
    colours: Mapping[int, tuple[int, int, int]] | None = None,
    tags: Mapping[str, str] | None = None,
    resampling: str = "nearest",
) -> Path:
    """Write a raw file of bytes as a COG; return its path. Memory does not grow with it.

    Parameters
    ----------
    rows
        Rows one after another, in each row band after band (`cryonet.row_store.RowStore`).
    path
        Where the COG is to be: written in place, with whatever scratch files GDAL needs.
    geobox, bands, nodata, colours, tags, resampling
        As for `write_cog`.

    Raises
    ------
    SceneError
        If the file cannot be written whole.
    """
    target = Path(path).absolute()
    described = rows.with_suffix(".vrt")
    try:
        described.write_text(
            vrt_of_rows(rows.name, geobox, bands, nodata, colours or {}, tags or {}),
            encoding="utf-8",
        )
        target.unlink(missing_ok=True)
        _copy(described, target, "VRT", {"overview_resampling": resampling, **_QUICK})
    except _WRITE_ERRORS as error:
        raise SceneError(
            "the file cannot be written", str(target), f"The system says: {_first(error)}."
        ) from error
    return target


def _copy(source: Path, target: Path, driver: str, options: Mapping[str, str]) -> None:
    """Copy a raster as a COG, and see that all of it got there."""
    with (
        rasterio.Env(GDAL_PAM_ENABLED="NO"),
        rasterio.open(source, driver=driver) as opened,
    ):
        rasterio.shutil.copy(
            opened, target, driver="COG", blocksize=512, compress="DEFLATE", **options
        )
    _check_written(target, source, driver)


def _first(error: BaseException) -> str:
    """Return the message of the error that `error` began with."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().rstrip(".")


def _check_fit(
    data: NDArray[Any],
    geobox: GeoBox,
    bands: Sequence[Band],
    colours: Mapping[int, tuple[int, int, int]] | None,
) -> None:
    if data.ndim != 3 or data.shape[0] != len(bands) or data.shape[1:] != tuple(geobox.shape):
        raise SceneError(
            "the array does not fit its bands and grid",
            f"{data.shape} for {len(bands)} bands on {tuple(geobox.shape)}",
            "Give an array (band, y, x).",
        )
    if colours is not None and (data.dtype != np.uint8 or len(bands) != 1):
        raise SceneError(
            "a colour table does not fit the array",
            f"{len(bands)} bands of {data.dtype}",
            "Only a single uint8 band has one.",
        )


def _profile(data: NDArray[Any], geobox: GeoBox, nodata: float | None) -> dict[str, Any]:
    return {
        "driver": "GTiff",
        "dtype": str(data.dtype),
        "count": data.shape[0],
        "height": data.shape[1],
        "width": data.shape[2],
        "crs": str(geobox.crs),
        "transform": geobox.transform,
        "nodata": nodata,
        "bigtiff": "IF_SAFER",
        # Without this GDAL takes three byte bands for red, green and blue, a fourth for
        # opacity.
        "photometric": "MINISBLACK",
    }


def _describe(
    dataset: DatasetWriter,
    bands: Sequence[Band],
    colours: Mapping[int, tuple[int, int, int]] | None,
    tags: Mapping[str, str],
) -> None:
    dataset.update_tags(**tags)
    dataset.scales = [b.scale for b in bands]
    dataset.offsets = [b.offset for b in bands]
    dataset.units = [b.unit for b in bands]
    for index, band in enumerate(bands, start=1):
        dataset.set_band_description(index, band.name)
    if colours is not None:
        dataset.write_colormap(1, {k: (*v, 255) for k, v in colours.items()})


def _check_written(cog: Path, plain: Path, driver: str) -> None:
    # A full disk can show only as a short file, with no error from the library.
    with rasterio.open(cog, driver="GTiff") as copy, rasterio.open(plain, driver=driver) as source:
        for _, window in copy.block_windows(1):
            pair = (file.read(window=window).view(np.uint8) for file in (copy, source))
            if not np.array_equal(*pair):
                raise OSError(f"the block at {window} did not reach the disk whole")
