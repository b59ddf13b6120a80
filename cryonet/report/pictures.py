"""Pictures that stand in the page itself, as data addresses of bounded size."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image

from cryonet.classes import CLASSES, NODATA
from cryonet.errors import SceneError
from cryonet.grid import Window, pixel_side
from cryonet.illumination import incidence
from cryonet.plotting.maps import MISSING, composite_image
from cryonet.prediction_files import STRIP, PredictionFiles
from cryonet.prediction_record import STEP
from cryonet.report.origins import SceneUnder
from cryonet.scene_files import SceneFiles

#: Longest sides of the maps in pixels: the first with which they all take at most `MOST` bytes.
SIDES = (1100, 800, 550, 350)

#: Bytes of all maps together, and of the pictures of all cards, before base64 adds a third: the
#: page stays below 5 MB.
MOST, MOST_OF_CARDS = 2_400_000, 1_000_000

#: A picture of a card with more pixels is not decoded.
MOST_PIXELS = 40_000_000

#: Composites, the first that the scene has the bands of.
COMPOSITES = (("red", "green", "blue"), ("nir", "red", "green"), ("swir16", "nir", "red"))

#: The colour of pixels that are mapped as another class than their label.
WRONG = "#9c0f5f"

#: The colour of pixels whose class was set by hand.
HAND = "#009e73"

# Steps of the map of confidence: few enough that it compresses.
_SHADES = 50

_JPEG = 82


def _shade(share: float) -> str:
    return str(to_hex(colormaps["cividis"](share)))


#: The colours of confidence from 0 to 1, as CSS writes a gradient.
RAMP = ",".join(_shade(share) for share in np.linspace(0, 1, 9))


@dataclass(frozen=True, slots=True)
class Maps:
    """Pictures of one ground, all of one size, by name.

    Attributes
    ----------
    pictures
        Data addresses: ``picture`` and ``relief`` are opaque, ``classes``, ``labels``, ``wrong``
        and ``hand`` lie over them, ``confidence`` stands alone. What the scene does not give is
        not there, nor is ``hand`` without corrections.
    bands
        Shown as red, green and blue.
    shape
        Rows and columns of each.
    full
        Whether each pixel of the prediction is one of theirs.
    """

    pictures: Mapping[str, str]
    bands: tuple[str, ...]
    shape: tuple[int, int]
    full: bool


def draw_maps(files: PredictionFiles, scene: SceneUnder | None) -> Maps:
    """Return the maps of a prediction; memory holds them and no whole raster."""
    height, width = (int(side) for side in files.geobox.shape)
    for side in SIDES:
        scale = min(1.0, side / max(height, width))
        shape = (max(1, round(height * scale)), max(1, round(width * scale)))
        found, bands = _drawn(files, scene, shape)
        if sum(map(len, found.values())) <= MOST:
            break
    pictures = {name: address(data) for name, data in found.items()}
    return Maps(pictures, bands, shape, full=shape == (height, width))


def _drawn(
    files: PredictionFiles, scene: SceneUnder | None, shape: tuple[int, int]
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    found: dict[str, bytes] = {}
    bands: tuple[str, ...] = ()
    codes = _sampled(files.codes, files.geobox, shape)
    labels = None
    with ExitStack() as stack:
        if scene is not None:
            opened = stack.enter_context(SceneFiles(scene.path))
            bands = next((bands for bands in COMPOSITES if scene.names.issuperset(bands)), ())
            if bands:
                held = scene.overview(opened, bands, shape)
                found["picture"] = _jpeg(composite_image([held[band] for band in bands]))
            if "elevation" in scene.names and min(shape) > 1:
                surface = scene.overview(opened, ["elevation"], shape)["elevation"]
                cell = pixel_side(files.geobox) * files.geobox.shape[0] / shape[0]
                found["relief"] = _jpeg(_relief(surface, cell))
            if "labels" in scene.names:
                labels = _sampled(partial(_labels, scene, opened), files.geobox, shape)
    over = bool(found)
    count = len(files.classes)
    found["classes"] = _class_picture(codes, count, clear=over)
    if labels is not None:
        found["labels"] = _class_picture(labels, count, clear=over)
        known = (codes < count) & (labels < count)
        wrong = np.where(known & (codes != labels), 1, 0).astype(np.uint8)
        found["wrong"] = _marked(wrong, WRONG, clear=over)
    if files.corrected:
        hand = _sampled(lambda rows: files.hand(rows).astype(np.uint8), files.geobox, shape)
        found["hand"] = _marked(hand, HAND, clear=over)
    found["confidence"] = _confidence_picture(files.confidence(shape))
    return found, bands


def _labels(scene: SceneUnder, opened: SceneFiles, window: Window) -> NDArray[np.uint8]:
    return np.asarray(scene.read(opened, ["labels"], window)["labels"], np.uint8)


def _sampled(
    read: Callable[[Window], NDArray[np.uint8]], geobox: GeoBox, shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return single pixels of a raster, brought to `shape`: of two rasters the same ones.

    Overviews of two files may lie otherwise, and would then differ where the rasters do not.
    """
    sides = [int(side) for side in geobox.shape]
    rows, cols = (
        ((np.arange(n) + 0.5) * side / n).astype(int) for n, side in zip(shape, sides, strict=True)
    )
    height, width = sides
    step, found = max(1, STRIP // width), []
    for top in range(0, height, step):
        window = Window(top, 0, min(step, height - top), width)
        inside = rows[(rows >= top) & (rows < top + step)] - top
        if inside.size:
            found.append(read(window)[inside][:, cols])
    return np.concatenate(found)


def _relief(surface: NDArray[np.float32], cell: float) -> NDArray[np.float64]:
    """Return relief lit from the north-west as a picture ``(y, x, 4)``, 0 to 1."""
    lit = incidence(surface.astype(np.float64), cell=cell, azimuth=315.0, elevation=45.0)
    shade = 0.35 + 0.65 * composite_image([lit] * 3, gamma=1.0)
    shade[..., 3] = np.isfinite(lit)
    return shade


def _class_picture(codes: NDArray[np.uint8], count: int, *, clear: bool) -> bytes:
    """Return class codes in their colours; other ground is clear if something lies below."""
    colours = {c.code: (c.colour, not (clear and c.code == 0)) for c in CLASSES[:count]}
    colours[NODATA] = (MISSING, True)
    return _paletted(np.where(codes < count, codes, NODATA).astype(np.uint8), colours)


def _marked(marks: NDArray[np.uint8], colour: str, *, clear: bool) -> bytes:
    """Return what is marked in one colour; the rest is clear if something lies below."""
    return _paletted(marks, {0: ("#ffffff", not clear), 1: (colour, True)})


def _confidence_picture(stored: NDArray[np.uint8]) -> bytes:
    steps = round(1 / STEP)
    shades = np.where(stored <= steps, stored.astype(int) * _SHADES // steps, NODATA)
    colours = {n: (_shade(n / _SHADES), True) for n in range(_SHADES + 1)}
    return _paletted(shades.astype(np.uint8), colours | {NODATA: (MISSING, True)})


def _paletted(codes: NDArray[np.uint8], colours: Mapping[int, tuple[str, bool]]) -> bytes:
    """Return codes as a PNG with a palette; those that are not opaque are clear."""
    image = Image.fromarray(codes)
    palette, alpha = np.zeros((256, 3), np.uint8), np.zeros(256, np.uint8)
    for code, (colour, opaque) in colours.items():
        palette[code] = np.rint(np.array(to_rgb(colour)) * 255)
        alpha[code] = 255 * opaque
    image.putpalette(palette.tobytes())
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True, transparency=alpha.tobytes())
    return stream.getvalue()


def _jpeg(picture: NDArray[np.float64]) -> bytes:
    """Return a picture ``(y, x, 4)`` of 0 to 1 as JPEG; what is clear gets the colour of holes."""
    opaque = picture[..., 3:] > 0
    colours = np.where(opaque, picture[..., :3], to_rgb(MISSING))
    stream = io.BytesIO()
    Image.fromarray(np.rint(colours * 255).clip(0, 255).astype(np.uint8)).save(
        stream, "JPEG", quality=_JPEG, optimize=True
    )
    return stream.getvalue()


def chart(figure: Figure) -> str:
    """Return a matplotlib figure as the data address of an SVG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None}, transparent=True)
    return address(stream.getvalue())


def small_picture(data: bytes, *, most: int) -> str:
    """Return a PNG or JPEG as a data address, made smaller until it takes at most `most` bytes.

    Raises
    ------
    SceneError
        If it is no such picture, has too many pixels, or stays too large.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            if image.width * image.height > MOST_PIXELS:
                size = f"{image.width} × {image.height}"
                rule = f"At most {MOST_PIXELS:,} pixels are decoded."
                raise SceneError("the picture is too large", size, rule)
            # What is clear was drawn for white paper.
            held = image.convert("RGBA")
            plain = Image.alpha_composite(Image.new("RGBA", held.size, "white"), held)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        rule = "Give a PNG or JPEG."
        raise SceneError("the picture cannot be read", str(error)[:120], rule) from error
    for side in (1400, 1000, 700, 500):
        plain.thumbnail((side, side))
        stream = io.BytesIO()
        plain.convert("RGB").save(stream, "PNG", optimize=True)
        if stream.tell() <= most:
            return address(stream.getvalue())
    rule = f"At most {most:,} bytes."
    raise SceneError("the picture takes too many bytes", stream.tell(), rule)


def address(data: bytes) -> str:
    """Return a picture as an address that holds it whole."""
    kinds = {b"\x89PNG": "png", b"\xff\xd8\xff\xe0": "jpeg"}
    kind = kinds.get(data[:4], "svg+xml")
    return f"data:image/{kind};base64,{b64encode(data).decode()}"
