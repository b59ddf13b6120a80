"""One band of a raster file: its header, and its values with NaN where missing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from cryonet.cog import open_raster
from cryonet.errors import SceneError
from cryonet.grid import Window

Array = NDArray[np.float32]

#: Drivers of rasters that a user may bring.
RASTER_DRIVERS = ("GTiff", "JP2OpenJPEG")


@dataclass(frozen=True, slots=True)
class RasterBand:
    """One band of one file, and what its header says.

    Attributes
    ----------
    path, index
        The file and its band, counted from 1.
    grid
        Its grid, which may be rotated or south-up.
    dtype
        Type of the stored numbers.
    scale, offset
        value = number × scale + offset; 1 and 0 where the file states none.
    nodata
        Number that means missing, or None.
    unit
        Unit as the file states it, often empty.
    """

    path: Path
    index: int
    grid: GeoBox
    dtype: str
    scale: float
    offset: float
    nodata: float | None
    unit: str

    @property
    def stated_scale(self) -> bool:
        """Whether the file itself states a scale or an offset."""
        return (self.scale, self.offset) != (1.0, 0.0)

    @property
    def integer(self) -> bool:
        """Whether the stored numbers are integers."""
        return bool(np.issubdtype(np.dtype(self.dtype), np.integer))


def split_reference(reference: str | Path) -> tuple[Path, int]:
    """Return the file and the band of ``FILE`` or ``FILE:BAND``; the band is 1 by default.

    Examples
    --------
    >>> split_reference("B4.tif:2")[1]
    2
    """
    text = str(reference)
    head, colon, tail = text.rpartition(":")
    if colon and tail.isdecimal() and not Path(text).is_file():
        return Path(head), int(tail)
    return Path(text), 1


def open_band(reference: str | Path) -> RasterBand:
    """Return the band named ``FILE`` or ``FILE:BAND``, having read only its header.

    Raises
    ------
    SceneError
        If the file cannot be used: missing, not a GeoTIFF or JPEG 2000, too large,
        without such a band, without georeference, or complex-valued.
    """
    path, index = split_reference(reference)
    with open_raster(path, drivers=RASTER_DRIVERS) as source:
        if not 1 <= index <= source.count:
            raise SceneError(
                f"{path.name} has no such band", index, f"It has bands 1 to {source.count}."
            )
        dtype = source.dtypes[index - 1]
        if dtype.startswith("complex"):
            raise SceneError(
                f"{path.name} holds complex numbers",
                dtype,
                "Write its coherence or its phase to a file of real numbers first.",
            )
        return RasterBand(
            path=path,
            index=index,
            grid=_grid(source, path),
            dtype=dtype,
            scale=source.scales[index - 1],
            offset=source.offsets[index - 1],
            nodata=source.nodatavals[index - 1],
            unit=source.units[index - 1] or "",
        )


def _grid(source: DatasetReader, path: Path) -> GeoBox:
    if source.crs is None:
        raise SceneError(
            "the raster has no CRS",
            path.name,
            "Write one into the file (rio edit-info --crs); files beside it are not read.",
        )
    if source.transform.is_identity or source.transform.determinant == 0:
        raise SceneError(
            "the raster has no place on the ground",
            path.name,
            "Give it a geotransform; control points or RPCs alone must be warped first.",
        )
    epsg = source.crs.to_epsg()
    crs = CRS(f"EPSG:{epsg}" if epsg else source.crs.to_wkt())
    if not (crs.projected or crs.geographic):
        raise SceneError("the raster has a local CRS", str(crs), "Give a map projection.")
    return GeoBox((source.height, source.width), Affine(*source.transform[:6]), crs)


def read_numbers(band: RasterBand, window: Window, *, nodata: float | None = None) -> Array:
    """Return the stored numbers of `band` in `window` as float32, NaN where missing.

    Parameters
    ----------
    nodata
        Number that means missing, in place of what the file says. Without it the file's
        own number and its own mask hold.

    Raises
    ------
    SceneError
        If the file is cut short or damaged.
    """
    part = RasterioWindow(window.col, window.row, window.width, window.height)
    try:
        with open_raster(band.path, drivers=RASTER_DRIVERS) as source:
            raw = source.read(band.index, window=part)
            masked = {MaskFlags.per_dataset, MaskFlags.alpha}
            flags = source.mask_flag_enums[band.index - 1]
            hidden = None
            if nodata is None and masked & set(flags):
                hidden = source.read_masks(band.index, window=part) == 0
    except RasterioError as error:
        raise SceneError(
            f"{band.path.name} is damaged", f"band {band.index}", f"GDAL says: {error}."
        ) from error
    missing = _equals(raw, band.nodata if nodata is None else nodata)
    if hidden is not None:
        missing |= hidden
    values: Array = raw.astype("float32")
    values[missing | ~np.isfinite(values)] = np.nan
    return values


def _equals(raw: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    if nodata is None or np.isnan(nodata):
        return np.zeros(raw.shape, dtype=bool)
    if np.issubdtype(raw.dtype, np.integer):
        # Headers do carry numbers the type cannot hold, -9999 in a byte raster.
        found: NDArray[np.bool_] = np.equal(raw.astype("float64"), nodata)
        return found
    # Compared in the raster's own precision: -3.4028235e+38 is a rounded number.
    with np.errstate(over="ignore"):
        same: NDArray[np.bool_] = raw == np.asarray(nodata).astype(raw.dtype)
    return same


def fingerprint(path: str | Path) -> dict[str, Any]:
    """Return name, size in bytes and SHA-256 of a file, for the record of its use."""
    where = Path(path)
    with where.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"file": where.name, "size": where.stat().st_size, "sha256": digest}
