"""Map tiles: rasters drawn as 256-pixel Web Mercator pictures, known by name only."""

from __future__ import annotations

import io
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from rio_tiler.colormap import cmap
from rio_tiler.errors import TileOutsideBounds
from rio_tiler.io import Reader
from rio_tiler.models import ImageData
from scipy.ndimage import binary_dilation

from cryonet.classes import CLASSES, NODATA
from cryonet.cog import open_raster
from cryonet.errors import SceneError

#: Deepest zoom a tile is drawn for; the browser enlarges beyond it.
MAX_ZOOM = 18

#: Side of a tile in pixels.
SIZE = 256

#: Drawn tiles that are kept in memory; some tens of kilobytes each.
KEPT_TILES = 512

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Picture:
    """A raster file and how a tile of it is drawn: RGBA bytes ``(4, y, x)``."""

    path: Path
    draw: Callable[[Reader, int, int, int], Image]

    def tile(self, z: int, x: int, y: int) -> bytes:
        """Return tile `x`, `y` at zoom `z` as PNG; transparent where there is no data."""
        with open_raster(self.path) as source, Reader(None, dataset=source) as reader:
            try:
                pixels = self.draw(reader, z, x, y)
            except TileOutsideBounds:
                pixels = np.zeros((4, SIZE, SIZE), np.uint8)
        body = io.BytesIO()
        # Level 1: drawing a tile must not cost more than reading it.
        PIL.Image.fromarray(np.moveaxis(pixels, 0, -1)).save(body, "PNG", compress_level=1)
        return body.getvalue()


class TileStore:
    """The pictures a server knows: the scene's by plain names, results by opaque ones.

    No name is a path, and nothing outside the store can be asked for.
    """

    def __init__(self, pictures: Mapping[str, Picture] | None = None) -> None:
        self._pictures = dict(pictures or {})
        self._drawn: OrderedDict[tuple[str, int, int, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, picture: Picture) -> str:
        """Keep `picture` under a new name that cannot be guessed; return the name."""
        name = secrets.token_urlsafe(12)
        with self._lock:
            self._pictures[name] = picture
        return name

    def remove(self, name: str) -> None:
        """Forget a picture and its tiles; a name that is not there is no error."""
        with self._lock:
            self._pictures.pop(name, None)
            for key in [key for key in self._drawn if key[0] == name]:
                del self._drawn[key]

    def tile(self, name: str, z: int, x: int, y: int) -> bytes | None:
        """Return a tile as PNG; None when there is no such picture or no such tile.

        The latest tiles are kept: a class that looks at one scene has it drawn once.
        """
        key = (name, z, x, y)
        with self._lock:
            picture = self._pictures.get(name)
            if picture is None or not exists(z, x, y):
                return None
            if key in self._drawn:
                self._drawn.move_to_end(key)
                return self._drawn[key]
        body = picture.tile(z, x, y)
        with self._lock:
            if name in self._pictures:
                self._drawn[key] = body
                while len(self._drawn) > KEPT_TILES:
                    self._drawn.popitem(last=False)
        return body

    def __len__(self) -> int:
        return len(self._pictures)

    def __contains__(self, name: object) -> bool:
        return name in self._pictures


def exists(z: int, x: int, y: int) -> bool:
    """Return whether the tile grid has such a tile."""
    return 0 <= z <= MAX_ZOOM and 0 <= x < 2**z and 0 <= y < 2**z


def composite(path: Path, bands: Sequence[str], *, gamma: float = 1.7) -> Picture:
    """Return a picture of three bands as red, green and blue.

    The stretch is fixed for the scene, so that tiles meet without a step: the 2nd to
    the 98th percentile of all three bands together, which keeps snow neutral, and a
    mild gamma that opens the shadows.

    Raises
    ------
    SceneError
        If the file lacks one of `bands`.
    """
    with open_raster(path) as source, Reader(None, dataset=source) as reader:
        held = list(source.descriptions)
        if missing := [band for band in bands if band not in held]:
            raise SceneError("the image lacks a band", missing[0], f"It has {', '.join(held)}.")
        indexes = [held.index(band) + 1 for band in bands]
        sample = reader.preview(indexes=indexes, max_size=1024, unscale=True).array.compressed()
    limits = np.percentile(sample, (2, 98)) if sample.size else np.array([0.0, 1.0])
    low, high = float(limits[0]), float(max(limits[1], limits[0] + 1e-6))
    return Picture(path, partial(_draw_composite, indexes=indexes, limits=(low, high), gamma=gamma))


def class_map(path: Path) -> Picture:
    """Return a picture of class codes in the class colours; other ground is not drawn."""
    return Picture(path, _draw_classes)


def class_outlines(path: Path) -> Picture:
    """Return a picture of the outlines of classes: a line in their colour, cased in white.

    Outlines, because reference areas are compared with a filled map below them.
    """
    return Picture(path, _draw_outlines)


def confidence_map(path: Path) -> Picture:
    """Return a picture of confidence, 0 dark to 1 light."""
    return Picture(path, _draw_confidence)


def hillshade(path: Path, *, azimuth: float = 315.0, altitude: float = 45.0) -> Picture:
    """Return a picture of elevation lit from `azimuth` at `altitude` (degrees)."""
    return Picture(path, partial(_draw_hillshade, azimuth=azimuth, altitude=altitude))


def ramp_css() -> str:
    """Return the colours of confidence as a CSS gradient, for the legend."""
    table = cmap.get("cividis")
    return ", ".join("#{:02x}{:02x}{:02x}".format(*table[i][:3]) for i in range(0, 256, 51))


def _read(reader: Reader, z: int, x: int, y: int, **options: Any) -> ImageData:
    return reader.tile(x, y, z, tilesize=SIZE, **options)


def _held(image: ImageData) -> NDArray[np.bool_]:
    return ~np.ma.getmaskarray(image.array).any(axis=0)


def _draw_composite(
    reader: Reader,
    z: int,
    x: int,
    y: int,
    *,
    indexes: Sequence[int],
    limits: tuple[float, float],
    gamma: float,
) -> Image:
    image = _read(reader, z, x, y, indexes=indexes, unscale=True, reproject_method="bilinear")
    held = _held(image)
    low, high = limits
    share = np.clip((image.array.filled(0.0) - low) / (high - low), 0, 1) ** (1 / gamma)
    return np.concatenate([share * 255, held[None] * 255]).astype(np.uint8)


def _draw_classes(reader: Reader, z: int, x: int, y: int) -> Image:
    image = _read(reader, z, x, y, indexes=1)
    codes = np.where(_held(image), image.array.data[0], NODATA)
    out = np.zeros((4, *codes.shape), np.uint8)
    for row in CLASSES[1:]:
        out[:, codes == row.code] = np.array([*row.rgb, 255], np.uint8)[:, None]
    return out


def _draw_outlines(reader: Reader, z: int, x: int, y: int) -> Image:
    margin = 4
    image = _read(reader, z, x, y, indexes=1, buffer=margin)
    codes = np.where(_held(image), image.array.data[0], NODATA)
    out = np.zeros((4, *codes.shape), np.uint8)
    lines = {row: _line(codes == row.code, codes == NODATA) for row in CLASSES[1:]}
    for line in lines.values():
        out[:, binary_dilation(line, iterations=1)] = 255
    for row, line in lines.items():
        out[:, line] = np.array([*row.rgb, 255], np.uint8)[:, None]
    return out[:, margin:-margin, margin:-margin]


def _line(inside: NDArray[np.bool_], unknown: NDArray[np.bool_]) -> NDArray[np.bool_]:
    # Two pixels wide, inside the area; no line where the data ends.
    outside = ~inside & ~unknown
    return np.asarray(binary_dilation(outside, iterations=2) & inside)


def _draw_confidence(reader: Reader, z: int, x: int, y: int) -> Image:
    image = _read(reader, z, x, y, indexes=1, unscale=True)
    held = _held(image) & np.isfinite(image.array.data[0])
    steps = np.clip(np.where(held, image.array.data[0], 0) * 255, 0, 255).astype(np.uint8)
    table = np.array([cmap.get("cividis")[i] for i in range(256)], np.uint8)
    out = np.ascontiguousarray(np.moveaxis(table[steps], -1, 0))
    out[3] = held * 255
    return out


def _draw_hillshade(
    reader: Reader, z: int, x: int, y: int, *, azimuth: float, altitude: float
) -> Image:
    margin = 2
    image = _read(reader, z, x, y, indexes=1, buffer=margin, reproject_method="bilinear")
    held = _held(image)
    height = image.array.filled(np.nan)[0].astype("float64")
    # Web Mercator stretches lengths by 1 / cos(latitude).
    bounds = image.bounds
    middle = (bounds[1] + bounds[3]) / 2
    stretch = np.cosh(middle / 6378137.0)
    cell = (bounds[2] - bounds[0]) / height.shape[1] / stretch
    down, east = np.gradient(height, cell)
    sun, up = np.radians(azimuth), np.radians(altitude)
    slope_cosine = 1 / np.sqrt(1 + east**2 + down**2)
    light = np.sin(up) - np.cos(up) * (np.sin(sun) * east - np.cos(sun) * down)
    shade = np.clip(light * slope_cosine, 0, 1)
    held = held & np.isfinite(shade)
    grey = np.where(held, 40 + 215 * np.nan_to_num(shade), 0)
    out = np.stack([grey, grey, grey, held * 255]).astype(np.uint8)
    return out[:, margin:-margin, margin:-margin]
