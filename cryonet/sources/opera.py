"""Pairs of OPERA CSLC-S1 files: co-registered complex radar images on a map grid."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj.exceptions import CRSError

from cryonet.cog import BOMB_BYTES, BOMB_RATIO, MAX_PIXELS
from cryonet.errors import GridError, SceneError
from cryonet.grid import check_same_grid, pixel_side
from cryonet.sources.insar_product import SENTINEL1, InsarProduct

#: Where the image lies for each polarisation that is read.
_IMAGES = ("/data/VV", "/data/HH")

_MASK = "/data/layover_shadow_mask"
_TIME = "/identification/zero_doppler_start_time"
_WAVELENGTH = "/metadata/processing_information/input_burst_metadata/wavelength"


#: Bytes of a single value: times and codes are short.
_LONGEST = 2**16


def read_cslc_pair(paths: Sequence[Path]) -> InsarProduct:
    """Return two images of one burst, the older one as the primary.

    A third file may hold the static layers of the burst: samples in layover or shadow, where
    its mask is not 0, are then set to the fill value 0 in both images.

    Raises
    ------
    SceneError
        If a file is not a CSLC, the images are not two, or of different polarisation or
        grids, or one of them cannot tell its date while the other can.
    """
    read = [_read(path) for path in paths]
    found = [part for part in read if "image" in part]
    masks = [part for part in read if "mask" in part]
    if len(found) != 2:
        names = ", ".join(path.name for path in paths)
        raise SceneError("a pair of images is needed", names, "Give two images of one burst.")
    days = [image["day"] for image in found]
    if (days[0] is None) != (days[1] is None):
        names = ", ".join(path.name for path in paths)
        raise SceneError("one image has no date", names, f"Both, or none, state {_TIME}.")
    if days[0] is not None and days[1] < days[0]:
        found.reverse()
    one, two = found
    if one["dataset"] != two["dataset"]:
        pair = f"{one['file']} {one['dataset']}, {two['file']} {two['dataset']}"
        raise SceneError("the images differ in polarisation", pair, "Give two of one kind.")
    try:
        check_same_grid(one["grid"], two["grid"], what="the two images")
    except GridError as error:
        names = f"{one['file']} and {two['file']}: {error.value}"
        raise SceneError(error.what, names, "Give two images of one burst.") from error
    hidden = _hide(one, two, masks[0]) if masks else None
    return InsarProduct(
        kind="opera_cslc_pair",
        grid=one["grid"],
        looks=1,
        native_resolution=round(pixel_side(one["grid"]), 3),
        primary_date=one["day"],
        secondary_date=two["day"],
        wavelength=one["wavelength"],
        files=tuple(part["file"] for part in (one, two, *masks)),
        hidden=hidden,
        primary=one["image"],
        secondary=two["image"],
    )


def _hide(one: dict[str, Any], two: dict[str, Any], mask: dict[str, Any]) -> int:
    """Set samples in layover or shadow to the fill value, and return how many there were."""
    try:
        check_same_grid(one["grid"], mask["grid"], what="the images and their mask")
    except GridError as error:
        names = f"{one['file']} and {mask['file']}: {error.value}"
        raise SceneError(error.what, names, "Give the static layers of this burst.") from error
    dark = mask["mask"] != 0
    known = np.isfinite(one["image"]) & (one["image"] != 0)
    one["image"][dark] = two["image"][dark] = 0
    return int((dark & known).sum())


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SceneError("the file does not exist", str(path), "Give the path of a CSLC file.")
    try:
        with h5py.File(path, "r") as file:
            return _parts(file, path)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        rule = f"The HDF5 library says: {str(error).rstrip('.')}."
        raise SceneError("the file is not sound HDF5", path.name, rule) from error


def _parts(file: h5py.File, path: Path) -> dict[str, Any]:
    name = next((name for name in _IMAGES if _local(file, name) is not None), None)
    mask = _local(file, _MASK)
    if name is None and mask is not None and mask.ndim == 2 and 0 < mask.size <= MAX_PIXELS:
        _check_swelling(mask, path)
        grid = _grid(file, path, mask.shape)
        return {"file": path.name, "grid": grid, "mask": mask[()]}
    if name is None:
        rule = f"It holds one of {', '.join(_IMAGES)}."
        raise SceneError("the file holds no image", path.name, rule)
    image = _local(file, name)
    if image.ndim != 2 or not np.issubdtype(image.dtype, np.complexfloating):
        kind = f"{name} {image.dtype} {image.shape}"
        raise SceneError(f"{path.name} holds no complex image", kind, "Give complex64 (y, x).")
    if image.size > MAX_PIXELS or image.size == 0:
        rule = f"From 1 to {MAX_PIXELS:,} pixels are read."
        raise SceneError(f"{path.name} does not fit", image.shape, rule)
    _check_swelling(image, path)
    grid = _grid(file, path, image.shape)
    return {
        "file": path.name,
        "dataset": name,
        "grid": grid,
        "image": image.astype(np.complex64)[()],
        "day": _day(file, path),
        "wavelength": _wavelength(file, path),
    }


def _check_swelling(data: h5py.Dataset, path: Path) -> None:
    """Refuse data of which little or nothing is stored, as of rasters (`cryonet.cog`)."""
    stored = path.stat().st_size
    if data.nbytes > BOMB_BYTES and data.nbytes > BOMB_RATIO * stored:
        raise SceneError(
            f"{path.name} unpacks to far more than it is",
            f"{data.nbytes / 2**20:.0f} MiB from {stored:,} bytes",
            f"Above {BOMB_BYTES // 2**20} MiB a file may grow {BOMB_RATIO} times at most.",
        )


def _one(file: h5py.File, name: str, path: Path) -> Any:
    """Return a single value stored in this file, or None; arrays of them are not read."""
    stored = _local(file, name)
    if stored is not None and (stored.size != 1 or stored.dtype.itemsize > _LONGEST):
        raise SceneError(f"{path.name} holds no single value", name, "Get the file again.")
    return None if stored is None else stored[()]


def _wavelength(file: h5py.File, path: Path) -> float:
    value = _one(file, _WAVELENGTH, path)
    if value is None:
        return SENTINEL1
    try:
        length = float(value)
    except (TypeError, ValueError):
        length = 0.0
    if not 0.001 < length < 10:
        raise SceneError(f"{path.name} states no wavelength", str(value), "It is in metres.")
    return length


def _local(file: h5py.File, name: str) -> Any:
    """Return a dataset stored in this file, or None.

    Links to other files, and data that lie in other files, are not followed: a file from
    elsewhere could so make this machine's own files part of an image.
    """
    place: Any = file
    for part in name.strip("/").split("/"):
        if not isinstance(place, h5py.Group):
            return None
        link = place.get(part, getlink=True)
        if not isinstance(link, h5py.HardLink):
            return None
        place = place[part]
    if not isinstance(place, h5py.Dataset) or place.external or place.is_virtual:
        return None
    return place


def _grid(file: h5py.File, path: Path, shape: tuple[int, int]) -> GeoBox:
    names = ("/data/x_coordinates", "/data/y_coordinates", "/data/projection")
    x, y, code = _local(file, names[0]), _local(file, names[1]), _one(file, names[2], path)
    if x is None or y is None or code is None:
        raise SceneError(f"{path.name} has no grid", ", ".join(names), "All three are needed.")
    if (y.size, x.size) != shape:
        pair = f"{y.size} x {x.size} coordinates for {shape[0]} x {shape[1]} pixels"
        raise SceneError(f"{path.name} has another grid than its image", pair, "Get it again.")
    across, down = _step(x[()], path), _step(y[()], path)
    try:
        crs = CRS(f"EPSG:{int(code)}")
    except (CRSError, TypeError, ValueError, OverflowError) as error:
        rule = "It is the number of an EPSG code."
        raise SceneError(f"{path.name} has no CRS", "/data/projection", rule) from error
    # Coordinates are those of the pixels' centres.
    left, top = float(x[0]) - across / 2, float(y[0]) - down / 2
    return GeoBox(shape, Affine(across, 0, left, 0, down, top), crs)


def _step(values: Any, path: Path) -> float:
    steps = np.diff(np.asarray(values, dtype=np.float64).ravel())
    step = float(np.median(steps)) if steps.size else 0.0
    if not step or not np.allclose(steps, step, rtol=1e-3, atol=0):
        span = f"{steps.min():g} to {steps.max():g}" if steps.size else "one pixel"
        raise SceneError(f"{path.name} has an uneven grid", span, "Steps are equal, not zero.")
    return step


def _day(file: h5py.File, path: Path) -> date | None:
    value = _one(file, _TIME, path)
    if value is None:
        return None
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    try:
        return datetime.strptime(text[:10], "%Y-%m-%d").date()
    except ValueError as error:
        raise SceneError(f"{path.name} has no date", text, "Write 2022-12-28 …") from error
