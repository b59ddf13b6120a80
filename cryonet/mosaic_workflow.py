"""From the folders of many predictions to one of them all: a mosaic."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from cryonet.atomic import check_replaceable, whole_folder
from cryonet.classes import NODATA
from cryonet.cog import cog_of_rows, open_raster
from cryonet.errors import SceneError
from cryonet.file_hash import file_sha256
from cryonet.grid import Window
from cryonet.mosaic import RULE, Rasters, empty_rasters, lay
from cryonet.mosaic_grid import ALIGNED, Placed, mosaic_grid, place
from cryonet.passport import package_versions
from cryonet.prediction import read_passport
from cryonet.prediction_record import ITEM, PASSPORT, PredictionRecord
from cryonet.prediction_stream import KEY, OVERVIEWS
from cryonet.progress import SILENT, Progress

#: Rows that are put together at once, and the bytes they may come to.
ROWS, ROW_BYTES = 512, 64 * 2**20

#: What is said of one prediction, and not of several.
_OF_ONE = ("scene", "datetime", "seconds", "filled_pixels", "batch_held", "synthetic")


@dataclass(frozen=True, slots=True)
class _Part:
    """A prediction, its passport, its grid, and its place in the mosaic."""

    folder: Path
    passport: dict[str, Any]
    geobox: GeoBox
    classes: tuple[str, ...]

    @property
    def attrs(self) -> dict[str, Any]:
        found: dict[str, Any] = self.passport.get("prediction", {})
        return found

    @property
    def key(self) -> str:
        """What its pixels hang on."""
        return str(self.passport.get(KEY) or file_sha256(self.folder / PASSPORT))


def run_mosaic(
    predictions: Sequence[str | Path],
    out: str | Path,
    *,
    crs: str | None = None,
    overwrite: bool = False,
    keep: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Write one prediction's folder made of several; return it.

    The grid is that of `cryonet.mosaic_grid.mosaic_grid`. Predictions on it are pasted; others
    are warped with nearest neighbours, all rasters alike. Where several know a pixel, all of it
    is of the one that is surer (`cryonet.mosaic.lay`). Rows are put together some at a time:
    memory does not grow with the mosaic's height.

    Parameters
    ----------
    predictions
        Folders; each with the same classes.
    crs
        Of the mosaic; by default that of most predictions.
    overwrite
        Replace a mosaic that stands there.
    keep
        Leave it as it is if it was made just so.

    Raises
    ------
    SceneError
        If predictions differ in classes or a file of theirs is damaged, something stands at
        `out` that may not be replaced, or the disk has no room.
    GridError
        If they cannot be brought to one grid.
    """
    target = Path(out).absolute()
    parts = [_open(Path(folder)) for folder in predictions]
    grid = mosaic_grid([part.geobox for part in parts], crs=crs)
    record = _record(parts, grid)
    places = [place(part.geobox, grid) for part in parts]
    passport = _passport(parts, places, grid)
    if keep and (target / PASSPORT).is_file() and read_passport(target).get(KEY) == passport[KEY]:
        return target
    check_replaceable(target, marker=PASSPORT, overwrite=overwrite, error=SceneError)
    stored = record.rasters()
    bands = {name: len(how["bands"]) for name, how in stored.items()}
    with whole_folder(target, error=SceneError) as work:
        _check_room(work, grid, bands)
        _write_rows(work, parts, places, grid, bands, progress)
        for number, (name, options) in enumerate(stored.items()):
            progress.step(number, len(stored), f"writing the mosaic's {name}.tif")
            rows = work / f"{name}.bil"
            cog_of_rows(rows, work / f"{name}.tif", grid, **options)
            rows.unlink()
            rows.with_suffix(".vrt").unlink()
        sources = {f"prediction {part.folder.name}": part.folder / ITEM for part in parts}
        record.write_texts(work, target, passport=passport, sources=sources)
    progress.step(1, 1, "the mosaic is written")
    return target


def _open(folder: Path) -> _Part:
    passport = read_passport(folder)
    with open_raster(folder / "probabilities.tif") as source:
        geobox = GeoBox(source.shape, source.transform, str(source.crs))
        return _Part(folder.absolute(), passport, geobox, tuple(source.descriptions))


def _record(parts: Sequence[_Part], grid: GeoBox) -> PredictionRecord:
    """Return what the mosaic says of itself: what all its parts say alike."""
    different = [part for part in parts if part.classes != parts[0].classes]
    if different:
        value = f"{parts[0].folder.name}: {', '.join(parts[0].classes)}; "
        value += f"{different[0].folder.name}: {', '.join(different[0].classes)}"
        raise SceneError("the predictions differ in classes", value, "One model maps them all.")
    attrs = reduce(_alike, (part.attrs for part in parts))
    attrs |= {"synthetic": int(any(part.attrs.get("synthetic") for part in parts))}
    shares = ("confidence", "disagreement") if "members" in attrs else ("confidence",)
    return PredictionRecord(grid, parts[0].classes, shares, attrs | _times(parts))


def _alike(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return what two predictions, or members of theirs, say alike."""
    found = {
        key: value
        for key, value in first.items()
        if key not in _OF_ONE and key in second and value == second[key]
    }
    members = [said.get("members", ()) for said in (first, second)]
    if members[0] and len(members[0]) == len(members[1]):
        found["members"] = [_alike(*pair) for pair in zip(*members, strict=True)]
    return found


def _times(parts: Sequence[_Part]) -> dict[str, str]:
    times = sorted({str(part.attrs.get("datetime") or "") for part in parts})
    if not times[0]:
        return {}
    if len(times) == 1:
        return {"datetime": times[0]}
    return {"start_datetime": times[0], "end_datetime": times[-1]}


def _passport(parts: Sequence[_Part], places: Sequence[Placed], grid: GeoBox) -> dict[str, Any]:
    told = [
        {
            "prediction": part.folder.name,
            "scene": part.passport.get("scene"),
            "key_sha256": part.key,
            "warped": None if at.pasted else f"{part.geobox.crs} to {grid.crs}, nearest",
        }
        for part, at in zip(parts, places, strict=True)
    ]
    common = {
        name: value
        for name, value in parts[0].passport.items()
        if name not in (KEY, "scene", "versions", "prediction")
        and all(part.passport.get(name) == value for part in parts)
    }
    known = {**common, "mosaic": {"parts": told, "overlaps": RULE}, "versions": package_versions()}
    hung_on = json.dumps([known, str(grid.crs), *grid.affine, *grid.shape], sort_keys=True)
    return known | {KEY: hashlib.sha256(hung_on.encode()).hexdigest()}


def _check_room(work: Path, grid: GeoBox, bands: Mapping[str, int]) -> None:
    height, width = grid.shape
    needed = height * width * sum(bands.values()) * (1 + OVERVIEWS)
    free = shutil.disk_usage(work).free
    if needed > free:
        rule = f"This mosaic of {height:,} × {width:,} pixels may need {needed / 1e9:.2f} GB."
        raise SceneError("the disk has too little room", f"{free / 1e9:.2f} GB free", rule)


def _write_rows(
    work: Path,
    parts: Sequence[_Part],
    places: Sequence[Placed],
    grid: GeoBox,
    bands: Mapping[str, int],
    progress: Progress,
) -> None:
    """Write raw rasters as `cryonet.cog.cog_of_rows` reads them."""
    height, width = (int(side) for side in grid.shape)
    with ExitStack() as stack:
        files = {name: stack.enter_context((work / f"{name}.bil").open("wb")) for name in bands}
        rows = max(1, min(ROWS, ROW_BYTES // (width * sum(bands.values()))))
        for top in range(0, height, rows):
            progress.step(top, height, "rows of the mosaic")
            strip = Window(top, 0, min(rows, height - top), width)
            below = empty_rasters(bands, (strip.height, width))
            for part, at in zip(parts, places, strict=True):
                for where, above in _read(part, at, grid, strip, bands):
                    lay(below, above, where.within(strip))
            for name, file in files.items():
                # By rows: GDAL's band-interleaved-by-line.
                file.write(np.ascontiguousarray(below[name].swapaxes(0, 1)).data)


def _read(
    part: _Part, at: Placed, grid: GeoBox, strip: Window, names: Mapping[str, int]
) -> Iterator[tuple[Window, Rasters]]:
    """Yield what a part has in a strip of the mosaic, and where, if it has anything."""
    top = max(strip.row, at.window.row)
    rows = min(strip.row + strip.height, at.window.row + at.window.height) - top
    if rows < 1 or at.window.width < 1:
        return
    where = Window(top, at.window.col, rows, at.window.width)
    own = where.within(at.window)
    window = RasterWindow(own.col, own.row, own.width, own.height)
    found: dict[str, NDArray[np.uint8]] = {}
    for name in names:
        file = part.folder / f"{name}.tif"
        try:
            with open_raster(file) as source:
                found[name] = _pixels(source, at, grid, window)
        except RasterioError as error:
            raise SceneError("the raster is damaged", str(file), f"GDAL says: {error}.") from error
    yield where, found


def _pixels(
    source: DatasetReader, at: Placed, grid: GeoBox, window: RasterWindow
) -> NDArray[np.uint8]:
    if at.pasted:
        pixels: NDArray[np.uint8] = source.read(window=window)
        return pixels
    rows, cols = at.window.slices
    with WarpedVRT(
        source,
        crs=str(grid.crs),
        transform=grid[rows, cols].affine,
        height=at.window.height,
        width=at.window.width,
        resampling=Resampling.nearest,
        src_nodata=NODATA,
        nodata=NODATA,
        # Places are exact to so much of a pixel, whichever rows are read together.
        tolerance=ALIGNED,
    ) as warped:
        pixels = warped.read(window=window)
        return pixels
