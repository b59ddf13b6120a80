"""TIFF and JPEG 2000 files that lie, made by hand: no library would write them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

PLACE = Affine(10, 0, 478000, 0, -10, 3108140)

#: Field types of TIFF that are used here, with struct's letter.
_TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 12: "d", 13: "I", 16: "Q"}

Fields = Mapping[int, tuple[int, object]]


def geotiff(path: Path, data: np.ndarray, **profile: object) -> Path:
    """An honest GeoTIFF."""
    settings = {
        "driver": "GTiff", "width": data.shape[1], "height": data.shape[0], "count": 1,
        "dtype": str(data.dtype), "crs": "EPSG:32645", "transform": PLACE, **profile,
    }  # fmt: skip
    with rasterio.open(path, "w", **settings) as file:
        file.write(data, 1)
    return path


def noise(side: int = 300) -> np.ndarray:
    return np.random.default_rng(0).integers(1100, 9000, (side, side)).astype("uint16")


def fields(width: int, height: int, **more: object) -> dict[int, tuple[int, object]]:
    """The fields of a byte raster in UTM; one strip at byte 8 unless they are replaced."""
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32645)
    made: dict[int, tuple[int, object]] = {
        256: (4, width), 257: (4, height), 258: (3, 8), 259: (3, 1), 262: (3, 1),
        273: (4, 8), 277: (3, 1), 278: (4, height), 279: (4, min(width * height, 2**32 - 1)),
        33550: (12, (10.0, 10.0, 0.0)), 33922: (12, (0.0, 0.0, 0.0, 478000.0, 3108140.0, 0.0)),
        34735: (3, keys),
    }  # fmt: skip
    return {**made, **{int(key[1:]): value for key, value in more.items()}}  # type: ignore[dict-item]


def write_tiff(
    path: Path, entries: Fields, *, pixels: bytes = b"", counts: Mapping[int, int] | None = None,
    after: Callable[[int], int] = lambda place: 0,
) -> Path:  # fmt: skip
    """Write a TIFF of one directory; `counts` lies about the length of a field.

    `after` gives the offset of the next directory, from that of this one.
    """
    body = bytearray(b"II*\x00\x00\x00\x00\x00" + pixels)
    rows = []
    for tag, (kind, value) in sorted(entries.items()):
        parts = value if isinstance(value, tuple | list) else (value,)
        packed = value if isinstance(value, bytes) else struct.pack(
            f"<{len(parts)}{_TYPES[kind]}", *parts
        )  # fmt: skip
        count = (counts or {}).get(tag, len(value) if isinstance(value, bytes) else len(parts))
        if len(packed) > 4:
            place = len(body)
            body += packed + b"\x00" * (len(packed) % 2)
            packed = struct.pack("<I", place)
        rows.append(struct.pack("<HHI", tag, kind, count & 0xFFFFFFFF) + packed.ljust(4, b"\x00"))
    start = len(body)
    struct.pack_into("<I", body, 4, start)
    body += struct.pack("<H", len(rows)) + b"".join(rows) + struct.pack("<I", after(start))
    path.write_bytes(bytes(body))
    return path


def deflate_bomb(path: Path) -> Path:
    """900 million pixels, each of whose tiles is the same kilobytes of zeros."""
    tile = zlib.compress(bytes(2048 * 2048), 9)
    number = 15 * 15
    places = fields(
        30_000, 30_000, t259=(3, 8), t322=(4, 2048), t323=(4, 2048),
        t324=(4, [8] * number), t325=(4, [len(tile)] * number),
    )  # fmt: skip
    for tag in (273, 278, 279):
        del places[tag]
    return write_tiff(path, places, pixels=tile)


def many_bands(path: Path) -> Path:
    bands = 65_000
    entries = fields(2, 2, t277=(3, bands), t258=(3, [8] * bands), t338=(3, [0] * (bands - 1)))
    return write_tiff(path, entries, pixels=bytes(16))


def cut(path: Path, share: float) -> Path:
    whole = geotiff(path, noise(), compress="deflate").read_bytes()
    path.write_bytes(whole[: max(12, int(len(whole) * share))])
    return path


def cut_head(path: Path, length: int) -> Path:
    path.write_bytes(geotiff(path, noise()).read_bytes()[:length])
    return path


def cyclic(path: Path) -> Path:
    """A directory without pixels whose successor is itself."""
    return write_tiff(path, {256: (4, 1), 257: (4, 1)}, after=lambda place: place)


def cyclic_with_pixels(path: Path) -> Path:
    entries = fields(60, 60)
    return write_tiff(path, entries, pixels=bytes(range(60)) * 60, after=lambda place: place)


def cyclic_overviews(path: Path) -> Path:
    """The second directory is an overview whose successor is the first."""
    write_tiff(path, fields(60, 60), pixels=bytes(range(60)) * 60)
    body = bytearray(path.read_bytes())
    first = struct.unpack_from("<I", body, 4)[0]
    rows = struct.unpack_from("<H", body, first)[0]
    link = first + 2 + 12 * rows
    second = bytearray(body[first:link])
    second[0:2] = struct.pack("<H", rows + 1)
    second[2:2] = struct.pack("<HHII", 254, 4, 1, 1)
    struct.pack_into("<I", body, link, len(body))
    path.write_bytes(bytes(body + second + struct.pack("<I", first)))
    return path


def cyclic_subdirectories(path: Path) -> Path:
    """SubIFDs that name the directory they stand in."""
    write_tiff(path, fields(60, 60, t330=(13, 0)), pixels=bytes(range(60)) * 60)
    body = bytearray(path.read_bytes())
    first = struct.unpack_from("<I", body, 4)[0]
    place = bytes(body).index(struct.pack("<HHI", 330, 13, 1), first)
    struct.pack_into("<I", body, place + 8, first)
    path.write_bytes(bytes(body))
    return path


def tiled(path: Path, side: int, image: int = 100) -> Path:
    """A small image in tiles of `side` pixels, of which none is stored."""
    places = fields(
        image, image, t259=(3, 8), t322=(4, side), t323=(4, side), t324=(4, 0), t325=(4, 0)
    )
    for tag in (273, 278, 279):
        del places[tag]
    return write_tiff(path, places)


def strip_far_away(path: Path) -> Path:
    return write_tiff(path, fields(60, 60, t273=(4, 0xFFFFFF00)))


def strip_that_swells(path: Path) -> Path:
    """One deflated strip that says it is 4 GiB long."""
    packed = zlib.compress(bytes(2**22), 9)
    entries = fields(60, 60, t259=(3, 8), t279=(4, 0xFFFFFFF0))
    return write_tiff(path, entries, pixels=packed)


def long_text(path: Path) -> Path:
    """GDAL's metadata said to be 4 GiB of text."""
    entries = fields(60, 60, t42112=(2, b"<GDALMetadata></GDALMetadata>\x00"))
    return write_tiff(path, entries, pixels=bytes(3600), counts={42112: 0xFFFFFFF0})


def many_strips(path: Path) -> Path:
    """A row a strip, and two billion strips said to be listed."""
    entries = fields(60, 60, t278=(4, 1), t273=(4, [8] * 60), t279=(4, [60] * 60))
    return write_tiff(path, entries, pixels=bytes(3600), counts={273: 2**31, 279: 2**31})


def huge_side(path: Path) -> Path:
    return write_tiff(path, fields(2**31 - 1, 2**31 - 1))


def big_tiff(path: Path) -> Path:
    """A BigTIFF whose directory says it has 2⁶⁰ fields."""
    path.write_bytes(b"II+\x00\x08\x00\x00\x00" + struct.pack("<QQ", 16, 2**60) + bytes(64))
    return path


def big_tiff_counts(path: Path) -> Path:
    """A BigTIFF whose strips are said to be 2⁴⁸."""
    rows = b"".join(
        struct.pack("<HHQQ", tag, kind, count, value)
        for tag, kind, count, value in (
            (256, 4, 1, 60), (257, 4, 1, 60), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
            (273, 16, 2**48, 16), (277, 3, 1, 1), (278, 4, 1, 1), (279, 16, 2**48, 16),
        )
    )  # fmt: skip
    head = b"II+\x00\x08\x00\x00\x00" + struct.pack("<Q", 16)
    path.write_bytes(head + struct.pack("<Q", 9) + rows + struct.pack("<Q", 0))
    return path


SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"


def jp2_of_noise(path: Path) -> Path:
    path.write_bytes(SIGNATURE + np.random.default_rng(1).bytes(4000))
    return path


def jp2_nested(path: Path) -> Path:
    """Boxes of associations, each in the one before, ten thousand deep."""
    depth = 10_000
    boxes = b"".join(struct.pack(">I4s", 8 * (depth - n), b"asoc") for n in range(depth))
    path.write_bytes(SIGNATURE + struct.pack(">I4s", 8 * depth + 8, b"jp2h") + boxes)
    return path


def jp2_without_length(path: Path) -> Path:
    """Boxes of length 0 and 1, and of 2⁶³ bytes."""
    boxes = struct.pack(">I4sQ", 1, b"jp2h", 2**63) + struct.pack(">I4s", 0, b"jp2c")
    path.write_bytes(SIGNATURE + boxes * 100)
    return path


def codestream(path: Path, side: int, tile: int, components: int) -> Path:
    """A codestream of a size and number of components, and nothing after its header."""
    each = bytes((7, 1, 1)) * components
    size = struct.pack(">HHIIIIIIIIH", 38 + len(each), 0, side, side, 0, 0, tile, tile, 0, 0,
                       components)  # fmt: skip
    cod = b"\xff\x52" + struct.pack(">HBBHBBBBBB", 12, 0, 0, 1, 0, 5, 4, 4, 0, 1)
    qcd = b"\xff\x5c" + struct.pack(">HB", 19, 0x40) + bytes(16)
    sot = b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 0, 0, 1) + b"\xff\x93"
    path.write_bytes(b"\xff\x4f\xff\x51" + size + each + cod + qcd + sot)
    return path


def vrt(path: Path, source: str) -> Path:
    path.write_text(
        '<VRTDataset rasterXSize="9" rasterYSize="6"><SRS>EPSG:32645</SRS>'
        "<GeoTransform>478000,10,0,3108140,0,-10</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{source}</SourceFilename>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return path
