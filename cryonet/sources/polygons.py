"""Polygons of a vector file, on the target grid's CRS."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import shapely
from odc.geo.geobox import GeoBox
from pyogrio.errors import DataLayerError, DataSourceError

from cryonet.errors import GridError, SceneError
from cryonet.sources.inventory import COLUMNS, Origin, origin_of

#: How a vector file is named to GDAL, and how its first bytes must read, by suffix. A
#: prefix or the bytes fix the driver; otherwise a file could choose one that opens others.
SUFFIXES = (".gpkg", ".shp", ".geojson", ".json")

#: Files of a shapefile that are read beside it.
SIDECARS = (".shp", ".shx", ".dbf", ".prj", ".cpg")

#: A zipped vector file may unpack to this many bytes.
MAX_UNPACKED = 2 * 2**30

#: Degrees, or metres, between vertices added before a change of CRS: edges straight on one
#: map are curved on another.
STEP_DEGREES = 0.01


@dataclass(frozen=True, slots=True)
class Polygons:
    """Polygons in the CRS of the target grid.

    Attributes
    ----------
    shapes
        Polygons and multipolygons, valid, holes kept.
    crs
        The file's own CRS.
    mended
        How many were invalid and had to be mended.
    skipped
        How many points, lines or empty geometries were left out.
    origin
        Inventory and dates of those that lie on the grid.
    """

    shapes: tuple[Any, ...]
    crs: str
    mended: int
    skipped: int
    origin: Origin


def read_polygons(path: str | Path, target: GeoBox) -> Polygons:
    """Return the polygons of a vector file that lie on `target`, in its CRS.

    GeoPackage, shapefile and GeoJSON are read, each also alone in a ZIP archive. Invalid
    polygons are mended (and counted), other geometries left out (and counted).

    Raises
    ------
    SceneError
        If the file is missing, of another kind, damaged, or has no CRS or no polygon.
    GridError
        If no polygon comes near the target grid.
    """
    where = Path(path).absolute()
    if not where.is_file():
        raise SceneError("the file does not exist", str(path), "Give the path of a vector file.")
    with _unpacked(where) as file:
        try:
            frame = pyogrio.read_dataframe(_source(file), columns=COLUMNS, force_2d=True)
        except (DataSourceError, DataLayerError, shapely.errors.GEOSException) as error:
            raise SceneError("the vector file is damaged", where.name, f"{error}.") from error
    if not isinstance(frame, gpd.GeoDataFrame):
        raise SceneError("the vector file has no geometry", where.name, "Give polygons.")
    if frame.crs is None:
        raise SceneError(
            "the vector file has no CRS", where.name, "Assign one; a shapefile needs its .prj."
        )
    valid, mended, skipped = _polygonal(frame)
    if valid.empty:
        raise SceneError(
            "the vector file has no polygons", where.name, f"It has {len(frame)} other features."
        )
    near = _near(valid, target)
    if near.empty:
        bounds = ", ".join(f"{b:g}" for b in valid.total_bounds)
        raise GridError(
            "the polygons do not overlap the scene's grid",
            f"{where.name}: {bounds} in {frame.crs.to_string()}",
            "Give outlines of the same ground, in the CRS they name.",
        )
    origin = origin_of(frame.loc[near.index].drop(columns=frame.geometry.name))
    return Polygons(tuple(near), frame.crs.to_string(), mended, skipped, origin)


def _source(file: Path) -> str:
    suffix = file.suffix.lower()
    with file.open("rb") as stream:
        start = stream.read(100)
    if suffix == ".gpkg" and start.startswith(b"SQLite format 3\x00") and start[68:70] == b"GP":
        return f"GPKG:{file}"
    if suffix == ".shp" and start.startswith(b"\x00\x00\x27\x0a"):
        return str(file)
    if suffix in (".geojson", ".json") and _is_geojson(file):
        return f"GeoJSON:{file}"
    raise SceneError(
        "the file is not a vector file of a known kind",
        file.name,
        f"Its name ends in {', '.join(SUFFIXES)} or .zip, and it is what its name says.",
    )


def _is_geojson(file: Path) -> bool:
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return False
    kinds = ("FeatureCollection", "Feature", "Polygon", "MultiPolygon", "GeometryCollection")
    return isinstance(content, dict) and content.get("type") in kinds


@contextmanager
def _unpacked(file: Path) -> Iterator[Path]:
    """Yield the file itself, or the one vector file of a ZIP archive in a folder that goes away."""
    if file.suffix.lower() != ".zip":
        yield file
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(file) as archive:
                inside = _extract(archive, Path(folder), file.name)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise SceneError("the ZIP archive is damaged", file.name, f"{error}.") from error
        yield inside


def _extract(archive: zipfile.ZipFile, folder: Path, name: str) -> Path:
    entries = {PurePosixPath(i.filename): i for i in archive.infolist() if not i.is_dir()}
    found = [p for p in entries if p.suffix.lower() in SUFFIXES and "__MACOSX" not in p.parts]
    if len(found) != 1:
        raise SceneError(
            "the ZIP archive does not hold one vector file",
            f"{name}: {[str(p) for p in found]}",
            f"Pack exactly one of {', '.join(SUFFIXES)}.",
        )
    wanted = [found[0]]
    if found[0].suffix.lower() == ".shp":
        wanted = [
            p
            for p in entries
            if p.with_suffix("") == found[0].with_suffix("") and p.suffix.lower() in SIDECARS
        ]
    size = sum(entries[p].file_size for p in wanted)
    if size > MAX_UNPACKED:
        raise SceneError(
            "the ZIP archive unpacks to too much",
            f"{name}: {size / 2**20:.0f} MiB",
            f"At most {MAX_UNPACKED // 2**20} MiB are unpacked.",
        )
    for member in wanted:
        target = folder / f"outlines{member.suffix.lower()}"
        target.write_bytes(archive.read(entries[member]))
    return folder / f"outlines{found[0].suffix.lower()}"


def _polygonal(frame: gpd.GeoDataFrame) -> tuple[gpd.GeoSeries, int, int]:
    """Return valid polygons of `frame`, how many were mended, how many features were left out."""
    shapes = frame.geometry
    areal = shapes.geom_type.isin(("Polygon", "MultiPolygon")) & ~shapes.is_empty
    kept = shapes[areal]
    broken = ~kept.is_valid
    if broken.any():
        kept = kept.copy()
        kept[broken] = [_areas(shapely.make_valid(s)) for s in kept[broken]]
        kept = kept[~kept.is_empty]
    return kept, int(broken.sum()), int(len(shapes) - len(kept))


def _areas(shape: Any) -> Any:
    """Return the polygons of a mended geometry, without the lines and points mending can leave."""
    parts = shapely.get_parts(shape)
    areal = [p for p in parts if p.geom_type in ("Polygon", "MultiPolygon")]
    return shapely.union_all(areal) if areal else shapely.Polygon()


def _near(shapes: gpd.GeoSeries, target: GeoBox) -> gpd.GeoSeries:
    """Those of `shapes` whose bounds meet the grid, in its CRS."""
    assert target.crs is not None and shapes.crs is not None
    goal = target.crs.proj
    if shapes.crs != goal:
        if shapes.crs.is_geographic:
            shapes = shapes.segmentize(STEP_DEGREES)
        shapes = shapes.to_crs(goal)
    box = target.extent.boundingbox
    bounds = shapes.bounds.to_numpy()
    # A polygon far from the projection's zone can come back as infinities.
    meets = (
        np.isfinite(bounds).all(axis=1)
        & (bounds[:, 0] < box.right)
        & (bounds[:, 2] > box.left)
        & (bounds[:, 1] < box.top)
        & (bounds[:, 3] > box.bottom)
    )
    return shapes[meets]
