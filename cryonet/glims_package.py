"""A GLIMS package at the edge: shapefiles and a text in one ZIP archive, written and read back."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError

from cryonet.errors import SceneError
from cryonet.glims_fields import DESCRIPTION, LONGEST_NAME, TABLES, Field, Kind
from cryonet.sources.archive import DAMAGES, check_swelling, unpack_member
from cryonet.sources.polygons import MAX_UNPACKED, SIDECARS

#: Every file of a package.
MEMBERS = (*(f"{name}{suffix}" for name in TABLES for suffix in SIDECARS), DESCRIPTION)

#: How a shapefile writes a kind of field: the letter of its type, and how GDAL is told it.
_LETTERS: Mapping[Kind, str] = {"text": "C", "integer": "NF", "real": "NF", "date": "D"}

_SHAPEFILE = b"\x00\x00\x27\x0a"

#: Types of shapes that are polygons: plain, with heights, with measures.
_POLYGONS = (5, 15, 25)


def write_package(
    tables: Mapping[str, gpd.GeoDataFrame],
    description: str,
    target: Path,
    *,
    folder: Path,
    day: date,
) -> None:
    """Write a package to the file `target`.

    Parameters
    ----------
    tables
        Of `cryonet.glims_tables.glims_tables`.
    description
        How the outlines were made, the whole of it.
    folder
        Empty, for the shapefiles before they are packed.
    day
        What files and members say they are of: the same package has the same bytes.

    Raises
    ------
    SceneError
        If a text does not fit its field: it would be cut.
    """
    for name, table in TABLES.items():
        _write(tables[name], table.geometry, table.fields, folder / f"{name}.shp", day)
    (folder / DESCRIPTION).write_text(description, encoding="utf-8", newline="\n")
    with zipfile.ZipFile(target, "w") as archive:
        for member in MEMBERS:
            info = zipfile.ZipInfo(member, (day.year, day.month, day.day, 0, 0, 0))
            info.external_attr = 0o644 << 16
            data = (folder / member).read_bytes()
            archive.writestr(info, data, compress_type=zipfile.ZIP_DEFLATED)


def _write(
    frame: gpd.GeoDataFrame, geometry: str, fields: tuple[Field, ...], path: Path, day: date
) -> None:
    columns = [_column(frame[field.name], field, path.stem) for field in fields]
    pyogrio.raw.write(
        path,
        shapely.to_wkb(frame.geometry.to_numpy()),
        [values for values, _ in columns],
        [field.name for field in fields],
        field_mask=[mask for _, mask in columns],
        geometry_type=geometry,
        crs="EPSG:4326",
        driver="ESRI Shapefile",
        encoding="UTF-8",
        DBF_DATE_LAST_UPDATE=day.isoformat(),
    )


def _column(values: pd.Series, field: Field, table: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return values in the type that makes GDAL write the field as it should be, and the gaps."""
    gaps = values.isna().to_numpy()
    if field.kind == "text":
        texts = ["" if gap else str(v) for v, gap in zip(values, gaps, strict=True)]
        for text in texts:
            if len(text.encode()) > field.width:
                rule = f"The field {field.name} of {table} holds {field.width} bytes; shorten it."
                raise SceneError("a text does not fit the shapefile", text, rule)
        # The width of the type becomes that of the field.
        return np.array(texts, dtype=f"U{field.width}"), np.zeros(len(texts), bool)
    if field.kind == "integer":
        numbers = pd.to_numeric(values).fillna(0).round().to_numpy()
        return numbers.astype(np.int32), gaps
    if field.kind == "date":
        return pd.to_datetime(values).to_numpy().astype("datetime64[D]"), gaps
    return pd.to_numeric(values).to_numpy(dtype=np.float64), gaps


def unpack_package(path: Path, folder: Path) -> list[str]:
    """Unpack a package to an empty folder; return what is wrong with its list of files.

    Raises
    ------
    SceneError
        If it is no ZIP archive, damaged, or would unpack to too much.
    """
    if not path.is_file():
        raise SceneError("there is no package", str(path), "Give the path of a ZIP archive.")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            size = sum(entry.file_size for entry in entries)
            if size > MAX_UNPACKED:
                rule = f"At most {MAX_UNPACKED // 2**20} MiB are unpacked."
                raise SceneError("the package unpacks to too much", f"{size / 2**20:.0f} MiB", rule)
            check_swelling(entries, path.name)
            for name in dict.fromkeys(n for n in names if n in MEMBERS):
                unpack_member(archive, archive.getinfo(name), folder / name)
    except DAMAGES as error:
        raise SceneError("the ZIP archive is damaged", path.name, f"{error}.") from error
    return [
        *(f"{name} is missing" for name in MEMBERS if name not in names),
        *(f"{name} is no file of a package" for name in names if name not in MEMBERS),
        *(f"{name} comes twice" for name in sorted(set(names)) if names.count(name) > 1),
    ]


def field_faults(table: Path, fields: tuple[Field, ...]) -> list[str]:
    """Return where the header of a ``.dbf`` breaks the table of fields.

    The header is read byte by byte: GDAL tells neither widths nor names that it mended.
    """
    found: dict[str, tuple[str, int]] = {}
    with table.open("rb") as stream:
        head = stream.read(32)
        length = int.from_bytes(head[8:10], "little")
        rows = stream.read(max(length - 32, 0))
    for start in range(0, len(rows) - 31, 32):
        row = rows[start : start + 32]
        if row[0] == 0x0D:
            break
        name = row[:11].split(b"\x00")[0].decode("ascii", "replace")
        found[name] = (chr(row[11]), row[16])
    faults = []
    for field in fields:
        assert len(field.name) <= LONGEST_NAME
        if field.name not in found:
            if field.required:
                faults.append(f"{table.stem} lacks the field {field.name}")
            continue
        letter, width = found[field.name]
        if letter not in _LETTERS[field.kind]:
            faults.append(f"{table.stem}.{field.name} is of type {letter}, not {field.kind}")
        elif field.kind == "text" and width > field.width:
            faults.append(f"{table.stem}.{field.name} has {width} bytes, not {field.width}")
    return faults


def open_rings(path: Path) -> int:
    """Return how many rings of the polygons of a ``.shp`` do not end where they begin.

    They are read from the bytes: GDAL closes such a ring without a word.

    References
    ----------
    ESRI (1998), Shapefile Technical Description.
    """
    data, start, count = path.read_bytes(), 100, 0
    while start + 52 <= len(data):
        length = 2 * int.from_bytes(data[start + 4 : start + 8], "big")
        record = data[start + 8 : start + 8 + length]
        start += 8 + length
        if length < 44 or int.from_bytes(record[:4], "little") not in _POLYGONS:
            continue
        parts, points = (int(n) for n in np.frombuffer(record, "<i4", 2, 36))
        if not 1 <= parts <= points or 44 + 4 * parts + 16 * points > len(record):
            continue  # Damaged: GDAL will say so.
        first = np.frombuffer(record, "<i4", parts, 44).clip(0, points - 1)
        places = np.frombuffer(record, "<f8", 2 * points, 44 + 4 * parts).reshape(-1, 2)
        last = np.append(first[1:], points) - 1
        count += int((places[first] != places[last]).any(axis=1).sum())
    return count


def read_table(path: Path) -> gpd.GeoDataFrame:
    """Return the rows of a shapefile.

    Raises
    ------
    SceneError
        If it is damaged, or a ring is not closed.
    """
    with path.open("rb") as stream:
        if stream.read(4) != _SHAPEFILE:
            raise SceneError("the file is no shapefile", path.name, "Its first bytes say so.")
    try:
        frame = pyogrio.read_dataframe(path, force_2d=True)
    except (DataSourceError, DataLayerError, shapely.errors.GEOSException, ValueError) as error:
        raise SceneError("the shapefile is damaged", path.name, f"{error}.") from error
    if not isinstance(frame, gpd.GeoDataFrame):
        raise SceneError("the shapefile has no geometry", path.name, "Give polygons.")
    return frame
