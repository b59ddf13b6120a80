"""Polygons of a vector file, on the target grid's CRS."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyogrio.errors import DataLayerError, DataSourceError

from cryonet.errors import GridError, SceneError
from cryonet.sources.archive import DAMAGES, check_swelling, unpack_member
from cryonet.sources.geopackage import check_geopackage
from cryonet.sources.inventory import COLUMNS, LINE_TYPE, Origin, origin_of

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


#: Of a file with GLIMS line types: which outlines a role takes, and which are cut out of
#: them. GLIMS keeps nunataks as polygons of their own; it has no outlines of clean ice, but
#: those of glaciers and of what covers them.
LINE_TYPES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "glacier": (("glac_bound",), ("intrnl_rock",)),
    "clean_ice": (("glac_bound",), ("intrnl_rock", "debris_cov")),
    "debris": (("debris_cov",), ()),
    "lake": (("supra_lake", "pro_lake"), ()),
}

_GLIMS = {name for kept, cut in LINE_TYPES.values() for name in kept + cut}


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
    line_types
        Where the file tells GLIMS line types: how many of each near the grid were ``used``,
        ``cut_out`` of those, and ``left_out``.
    """

    shapes: tuple[Any, ...]
    crs: str
    mended: int
    skipped: int
    origin: Origin
    line_types: dict[str, dict[str, int]] = field(default_factory=dict)


def read_polygons(path: str | Path, target: GeoBox, *, role: str = "glacier") -> Polygons:
    """Return the polygons of a vector file that lie on `target`, in its CRS.

    GeoPackage, shapefile and GeoJSON are read, each also alone in a ZIP archive. Invalid
    polygons are mended (and counted), other geometries left out (and counted).

    Parameters
    ----------
    role
        What the polygons are wanted as, a key of `LINE_TYPES`. Of files without GLIMS line
        types every polygon is taken.

    Raises
    ------
    SceneError
        If the file is missing, of another kind, damaged, or has no CRS, no polygon, or no
        outline of a line type that suits `role`.
    GridError
        If no polygon comes near the target grid.
    """
    frame, where = open_features(path)
    parts = _by_line_type(frame, role, where.name)
    near, mended, skipped = _meeting(parts["used"], target, where.name)
    holes, mended_holes, _ = _polygonal(parts["cut_out"])
    cut = near_grid(holes, target)
    left = near_grid(parts["left_out"].geometry, target)
    kinds = {"used": near, "cut_out": cut, "left_out": left}
    return Polygons(
        tuple(_without(near, cut)),
        frame.crs.to_string(),
        mended + mended_holes,
        skipped,
        origin_of(frame.loc[near.index].drop(columns=frame.geometry.name)),
        {key: _counts(frame.loc[part.index]) for key, part in kinds.items() if _typed(frame)},
    )


def read_named(path: str | Path, target: GeoBox) -> gpd.GeoDataFrame:
    """Return the glacier outlines of a file that meet `target`, in its CRS, with their columns.

    Raises
    ------
    SceneError, GridError
        As `read_polygons`.
    """
    frame, where = open_features(path)
    used = _by_line_type(frame, "glacier", where.name)["used"]
    near, _, _ = _meeting(used, target, where.name)
    return used.loc[near.index].set_geometry(near)


def open_features(
    path: str | Path, *, columns: tuple[str, ...] = COLUMNS
) -> tuple[gpd.GeoDataFrame, Path]:
    """Return the features of a vector file with those of `columns` that it has, and its path.

    Raises
    ------
    SceneError
        If the file is missing, of another kind, damaged, or has no CRS or no geometry.
    """
    where = Path(path).absolute()
    if not where.is_file():
        raise SceneError("the file does not exist", str(path), "Give the path of a vector file.")
    return _read(where, columns), where


def _meeting(frame: gpd.GeoDataFrame, target: GeoBox, name: str) -> tuple[gpd.GeoSeries, int, int]:
    """Return polygons that meet the grid, in its CRS; how many were mended and left out."""
    valid, mended, skipped = _polygonal(frame)
    if valid.empty:
        raise SceneError(
            "the vector file has no polygons", name, f"It has {len(frame)} other features."
        )
    near = near_grid(valid, target)
    if near.empty:
        bounds = ", ".join(f"{b:g}" for b in valid.total_bounds)
        raise GridError(
            "the polygons do not overlap the scene's grid",
            f"{name}: {bounds} in {frame.crs.to_string()}",
            "Give outlines of the same ground, in the CRS they name.",
        )
    return near, mended, skipped


def _read(where: Path, columns: tuple[str, ...]) -> gpd.GeoDataFrame:
    with _unpacked(where) as file:
        source = _source(file)
        try:
            layer = _layer(pyogrio.list_layers(source), where.name)
            frame = pyogrio.read_dataframe(source, layer=layer, columns=columns, force_2d=True)
        except (DataSourceError, DataLayerError, shapely.errors.GEOSException) as error:
            raise SceneError("the vector file is damaged", where.name, f"{error}.") from error
    if not isinstance(frame, gpd.GeoDataFrame):
        raise SceneError("the vector file has no geometry", where.name, "Give polygons.")
    if frame.crs is None:
        raise SceneError(
            "the vector file has no CRS", where.name, "Assign one; a shapefile needs its .prj."
        )
    return frame


def _layer(layers: NDArray[Any], name: str) -> str:
    """Return the one layer with geometry: tables of styles may stand beside it."""
    found = [str(layer) for layer, kind in layers if kind is not None]
    if not found:
        raise SceneError("the vector file has no geometry", name, "Give polygons.")
    if len(found) > 1:
        shown = f"{name}: {', '.join(found[:9])}"
        raise SceneError("the vector file has several layers", shown, "Give a file with one.")
    return found[0]


def _typed(frame: gpd.GeoDataFrame) -> bool:
    """Whether the features tell GLIMS line types; other files may have such a column too."""
    return LINE_TYPE in frame and bool(frame[LINE_TYPE].isin(_GLIMS).any())


def _by_line_type(frame: gpd.GeoDataFrame, role: str, name: str) -> dict[str, gpd.GeoDataFrame]:
    """Return the features that `role` takes, those to cut out of them, and all others."""
    if not _typed(frame):
        return {"used": frame, "cut_out": frame.iloc[:0], "left_out": frame.iloc[:0]}
    keep, cut = (frame[LINE_TYPE].isin(kinds) for kinds in LINE_TYPES[role])
    if not keep.any():
        has = ", ".join(sorted({str(kind) for kind in frame[LINE_TYPE]}))
        raise SceneError(
            f"the vector file has no outlines of {role}",
            f"{name} with the line types {has}",
            f"For {role} GLIMS has {' and '.join(LINE_TYPES[role][0])}.",
        )
    return {"used": frame[keep], "cut_out": frame[cut], "left_out": frame[~keep & ~cut]}


def _without(shapes: gpd.GeoSeries, holes: gpd.GeoSeries) -> gpd.GeoSeries:
    """Return `shapes` with `holes` cut out; those of which nothing is left are dropped."""
    if holes.empty:
        return shapes
    rest = shapes.difference(shapely.union_all(holes.to_numpy()))
    return rest[~rest.is_empty]


def _counts(frame: gpd.GeoDataFrame) -> dict[str, int]:
    names = frame[LINE_TYPE].fillna("none").astype(str)
    return {str(kind): int(number) for kind, number in names.value_counts().sort_index().items()}


def bounds_of(path: str | Path) -> tuple[float, float, float, float]:
    """Return west, south, east and north, degrees, of all that a vector file holds.

    Raises
    ------
    SceneError
        If the file is missing, of another kind, damaged, or has no CRS or no feature.
    """
    frame, where = open_features(path)
    if frame.empty:
        raise SceneError("the vector file is empty", where.name, "Give at least one feature.")
    west, south, east, north = frame.to_crs("EPSG:4326").total_bounds.tolist()
    return west, south, east, north


def _source(file: Path) -> str:
    suffix = file.suffix.lower()
    with file.open("rb") as stream:
        start = stream.read(100)
    if suffix == ".gpkg" and start.startswith(b"SQLite format 3\x00") and start[68:70] == b"GP":
        check_geopackage(file)
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
        content = json.loads(file.read_bytes(), object_pairs_hook=_checked_members)
    except (ValueError, RecursionError):
        return False
    kinds = ("FeatureCollection", "Feature", "Polygon", "MultiPolygon", "GeometryCollection")
    return isinstance(content, dict) and content.get("type") in kinds


def _checked_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, unless it names its CRS by an address: GDAL would go there.

    Every one of several members of a name is looked at, and names as GDAL finds them, in
    whatever case.
    """
    for key, value in pairs:
        members = value if key.casefold() == "crs" and isinstance(value, dict) else {}
        for name, kind in members.items():
            if name.casefold() == "type" and str(kind).casefold() not in ("name", "epsg", "ogc"):
                rule = "It is given by its name; addresses are not followed."
                raise SceneError("the GeoJSON's CRS is no name", str(kind), rule)
    return dict(pairs)


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
        except DAMAGES as error:
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
    check_swelling([entries[p] for p in wanted], name)
    for member in wanted:
        unpack_member(archive, entries[member], folder / f"outlines{member.suffix.lower()}")
    return folder / f"outlines{found[0].suffix.lower()}"


def _polygonal(frame: gpd.GeoDataFrame) -> tuple[gpd.GeoSeries, int, int]:
    """Return valid polygons of `frame`, how many were mended, how many features were left out."""
    shapes = frame.geometry
    areal = shapes.geom_type.isin(("Polygon", "MultiPolygon")) & ~shapes.is_empty
    kept = shapes[areal]
    if not np.isfinite(shapely.get_coordinates(kept.to_numpy())).all():
        rule = "Draw them anew, or leave the outline out."
        raise SceneError("an outline has coordinates that are no numbers", "inf or nan", rule)
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


def near_grid(shapes: gpd.GeoSeries, target: GeoBox) -> gpd.GeoSeries:
    """Return those of `shapes` whose bounds meet the grid, in its CRS."""
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
