"""Vector files, archives, metadata, HDF5 and bundles that lie."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import geopandas as gpd
import h5py
import numpy as np
import torch
from hostile_tiffs import geotiff
from insar_files import GAMMA, SLC, parameters, write_cslc
from shapely import box

SQUARE = box(478100, 3107900, 478300, 3108000)
RING = "[[[478100,3107900],[478300,3107900],[478300,3108000],[478100,3107900]]]"
FEATURE = '{"type":"Feature","properties":{},"geometry":{"type":"Polygon","coordinates":%s}%s}'


def outlines(path: Path) -> Path:
    """Honest outlines."""
    gpd.GeoDataFrame({"n": [1]}, geometry=[SQUARE], crs="EPSG:32645").to_file(path)
    return path


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# ---- vectors


def other_database(path: Path, *, mark: bool) -> Path:
    """A SQLite database of something else, which may call itself a GeoPackage."""
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE cookies (host TEXT, value BLOB)")
        base.execute("INSERT INTO cookies VALUES ('a', randomblob(1000))")
        if mark:
            base.execute(f"PRAGMA application_id = {int.from_bytes(b'GPKG', 'big')}")
    base.close()
    return path


def endless_view(path: Path, table: str) -> Path:
    """A GeoPackage with a table in whose place stands a query that never ends."""
    outlines(path)
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
    with sqlite3.connect(path) as base:
        columns = [row[1] for row in base.execute(f"PRAGMA table_info({table})")]
        base.execute("PRAGMA writable_schema = ON")
        base.execute("DELETE FROM sqlite_master WHERE type = 'trigger'")
        base.execute("PRAGMA writable_schema = RESET")
        base.execute(f"ALTER TABLE {table} RENAME TO kept")
        named = ", ".join(f"kept.{c}" for c in columns)
        base.execute(f"CREATE VIEW {table} AS {count} SELECT {named} FROM n, kept WHERE n.i < 0")
    base.close()
    return path


def swelling_column(path: Path) -> Path:
    """A GeoPackage with a column that is computed, half a gigabyte long, when it is read."""
    outlines(path)
    with sqlite3.connect(path) as base:
        rule = "line_type TEXT GENERATED ALWAYS AS (hex(zeroblob(250000000))) VIRTUAL"
        base.execute(f"ALTER TABLE a ADD COLUMN {rule}")
    base.close()
    return path


def deep_geojson(path: Path, depth: int) -> Path:
    return written(path, FEATURE % ("[" * depth + "1,2" + "]" * depth, ""))


def geojson_crs(path: Path, kind: str, value: dict[str, str]) -> Path:
    crs = json.dumps({"type": kind, "properties": value})
    return written(path, FEATURE % (RING, f',"crs":{crs}'))


def geojson_two_crs(path: Path, address: str) -> Path:
    """Of two `crs` keys the last, which Python sees, is harmless."""
    link = json.dumps({"type": "link", "properties": {"href": address}})
    good = json.dumps({"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32645"}})
    return written(path, FEATURE % (RING, f',"crs":{link},"crs":{good}'))


def shapefile(path: Path, *changes: tuple[str, int, bytes]) -> Path:
    """A shapefile with bytes changed: suffix, offset, what stands there then."""
    outlines(path)
    for suffix, place, data in changes:
        file = path.with_suffix(suffix)
        body = bytearray(file.read_bytes())
        body[place : place + len(data)] = data
        file.write_bytes(bytes(body))
    return path


# ---- archives


def zipped(path: Path, members: dict[str, bytes], *, level: int = 9) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return path


def zip_bomb(path: Path, name: str, *, said: int | None = None) -> Path:
    """A gigabyte and a half of zeros, packed as the same block again and again.

    `said` is the size that the archive gives for them.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = block * 96 + packer.flush()
    entry = zipfile.ZipInfo(name)
    entry.compress_type, entry.CRC, entry.header_offset = zipfile.ZIP_DEFLATED, 0, 0
    entry.compress_size, entry.file_size = len(packed), 96 << 24 if said is None else said
    with zipfile.ZipFile(path, "w") as archive:
        assert archive.fp is not None
        archive.fp.write(entry.FileHeader() + packed)
        archive.filelist.append(entry)
        archive.start_dir, archive._didModify = archive.fp.tell(), True  # type: ignore[attr-defined]
    return path


def many_members(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(10_000):
            archive.writestr(f"{number}.gpkg", b"")
    return path


def nested_zip(path: Path) -> Path:
    body = b"a" * 100_000
    for depth in range(20):
        inner = path.with_name("inner.zip")
        zipped(inner, {f"{depth}.zip": body})
        body = inner.read_bytes()
        inner.unlink()
    path.write_bytes(body)
    return path


def hyp3_zip(
    path: Path, body: bytes, *, folder: str = GAMMA, more: Mapping[str, bytes] | None = None
) -> Path:
    """A HyP3 product whose coherence and phase are `body`, with further members."""
    members = {f"{folder}/{GAMMA}{end}": body for end in ("_corr.tif", "_unw_phase.tif")}
    text = parameters(SLC, (20, 4)).encode()
    return zipped(path, {**members, f"{folder}/{GAMMA}.txt": text, **(more or {})})


def coherence(path: Path) -> bytes:
    """An honest raster that can be coherence or phase."""
    return geotiff(path, np.full((60, 60), 0.5, np.float32)).read_bytes()


def ogr_vrt(source: Path) -> bytes:
    layer = f'<OGRVRTLayer name="good"><SrcDataSource>{source}</SrcDataSource></OGRVRTLayer>'
    return f"<OGRVRTDataSource>{layer}</OGRVRTDataSource>".encode()


# ---- metadata


def laughs(path: Path) -> Path:
    """Entities made of entities: a billion laughs."""
    lines = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return written(path, f'<!DOCTYPE x [<!ENTITY l0 "lol">{lines}]><x>&l9;</x>')


def outside_entity(path: Path, address: str) -> Path:
    return written(path, f'<!DOCTYPE x [<!ENTITY e SYSTEM "{address}">]><x>&e;</x>')


def product(path: Path, quantum: str) -> Path:
    rows = "".join(f'<BOA_ADD_OFFSET band_id="{n}">-1000</BOA_ADD_OFFSET>' for n in range(13))
    head = f"<BOA_QUANTIFICATION_VALUE>{quantum}</BOA_QUANTIFICATION_VALUE>"
    return written(path, f"<x>{head}{rows}</x>")


def item(path: Path, scale: str) -> Path:
    asset = f'{{"href":"a.tif","raster:bands":[{{"scale":{scale},"offset":0}}]}}'
    return written(
        path, f'{{"type":"Feature","id":"a","properties":{{}},"assets":{{"red":{asset}}}}}'
    )


# ---- HDF5


def cslc(folder: Path, change: Callable[[h5py.File], None]) -> list[Path]:
    """Two images of a burst; the first has been tampered with."""
    paths = [write_cslc(folder, day) for day in ("2019-07-04", "2019-07-16")]
    with h5py.File(paths[0], "r+") as file:
        change(file)
    return paths


def replaced(name: str, **options: Any) -> Callable[[h5py.File], None]:
    """Put another dataset in the place of one."""

    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **options)

    return change


def other_image(folder: Path) -> Path:
    """An honest image elsewhere."""
    (folder / "other").mkdir()
    return write_cslc(folder / "other", "2019-07-28")


def raw_image(folder: Path) -> Path:
    """The bytes of an image."""
    path = folder / "raw"
    path.write_bytes(np.random.default_rng(2).standard_normal(480).astype("float32").tobytes())
    return path


def outside_link(target: Path) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file["/data/VV"]
        file["/data/VV"] = h5py.ExternalLink(str(target), "/data/VV")

    return change


def virtual(target: Path) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file["/data/VV"]
        layout = h5py.VirtualLayout((12, 20), "complex64")
        layout[:] = h5py.VirtualSource(str(target), "/data/VV", (12, 20))
        file.create_virtual_dataset("/data/VV", layout)

    return change


def swelling_image(file: h5py.File) -> None:
    """A thousand million pixels, none of them stored."""
    side = 32_000
    replaced("/data/VV", shape=(side, side), dtype="complex64", chunks=(1000, 1000))(file)
    for name, length in (("x", side), ("y", side)):
        values = 478000 + 5.0 * np.arange(length)
        replaced(f"/data/{name}_coordinates", data=values)(file)


def circle(file: h5py.File) -> None:
    """A group that holds itself, and an image named through it."""
    del file["/data/VV"]
    file["/data/VV"] = file["/data"]


def cut_hdf5(folder: Path, share: float) -> list[Path]:
    paths = cslc(folder, lambda file: None)
    body = paths[0].read_bytes()
    paths[0].write_bytes(body[: int(len(body) * share)])
    return paths


# ---- bundles and scenes


def edited(folder: Path, **changes: Any) -> Path:
    """Change keys of a bundle's manifest; a dot parts the levels."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    for key, value in changes.items():
        place = manifest
        *path, last = key.split("__")
        for step in path:
            place = place[step]
        place[last] = value
    file.write_text(json.dumps(manifest))
    return folder


def weights(folder: Path, body: bytes) -> Path:
    """Replace a bundle's weights, with the hash that the manifest gives."""
    (folder / "weights.safetensors").write_bytes(body)
    return edited(folder, weights_sha256=hashlib.sha256(body).hexdigest())


def pickle_weights(folder: Path) -> Path:
    torch.save({"weight": torch.zeros(3)}, folder / "pickled")
    body = (folder / "pickled").read_bytes()
    (folder / "pickled").unlink()
    return weights(folder, body)


def header(folder: Path, text: str, *, data: int = 0, length: int | None = None) -> Path:
    """Weights of a header, said to be of `length`, and zeros."""
    said = len(text.encode()) if length is None else length
    return weights(folder, struct.pack("<Q", said) + text.encode() + bytes(data))


def tensors(number: int, *, spans: Callable[[int], tuple[int, int]]) -> str:
    rows = {
        f"{n:07d}": {"dtype": "F32", "shape": [1], "data_offsets": list(spans(n))}
        for n in range(number)
    }
    return json.dumps(rows)


def moved_asset(folder: Path, href: str) -> Path:
    file = folder / "scene.json"
    found = json.loads(file.read_text())
    for asset in found["assets"].values():
        if "data" in asset.get("roles", ()):
            asset["href"] = href
    file.write_text(json.dumps(found))
    return folder


def linked_asset(folder: Path, target: Path) -> Path:
    """The asset's file is a link out of the scene's folder."""
    file = next(folder.glob("*.tif"))
    file.unlink()
    file.symlink_to(target)
    return folder
