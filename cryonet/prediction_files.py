"""PredictionFiles: a prediction read from its files, strip by strip or as small pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from cryonet.classes import CLASSES
from cryonet.cog import open_raster
from cryonet.corrections import settle
from cryonet.errors import SceneError
from cryonet.grid import Window, check_same_grid
from cryonet.prediction import read_passport
from cryonet.prediction_record import MODEL, NUMBERS, from_bytes

#: Pixels of a strip: of four classes its probabilities take 64 MB in double precision.
STRIP = 2**21

_RASTERS = ("classes", "probabilities", "confidence")


@dataclass(frozen=True, slots=True)
class PredictionStrip:
    """Rows of a prediction.

    Attributes
    ----------
    window
        Where they lie.
    codes
        Class codes ``(y, x)``, 255 where there is none; of a corrected prediction with the
        corrections.
    probabilities
        The model's, ``(class, y, x)``, NaN where unknown.
    confidence
        The model's as it is stored, ``(y, x)``: steps of 1/250, 255 where unknown.
    model_codes
        Class codes as the model gave them.
    hand
        Where a polygon set the class ``(y, x)``.
    """

    window: Window
    codes: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    confidence: NDArray[np.uint8]
    model_codes: NDArray[np.uint8]
    hand: NDArray[np.bool_]

    @property
    def settled(self) -> NDArray[np.floating]:
        """The probabilities for areas of the map; see `cryonet.corrections.settle`."""
        return settle(self.probabilities, self.codes, self.hand)


class PredictionFiles:
    """Reads a prediction of any size; its files stay open for the ``with`` statement.

    Attributes
    ----------
    passport
        See `cryonet.prediction.read_passport`.
    geobox, classes
        Its grid, and the names of its classes.
    corrected
        Whether polygons were drawn over it.

    Raises
    ------
    SceneError
        If there is no prediction, or a file of it is missing, damaged or another's.
    GridError
        If its files lie on different grids.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self.passport = Path(path), read_passport(path)
        told = self.passport.get("prediction")
        self.corrected = isinstance(told, dict) and "corrections" in told
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            files = {
                name: stack.enter_context(open_raster(self.path / f"{name}.tif"))
                for name in (*_RASTERS, *((MODEL, NUMBERS) if self.corrected else ()))
            }
            grids = {name: _grid(file) for name, file in files.items()}
            self.geobox: GeoBox = grids["classes"]
            for name, grid in grids.items():
                check_same_grid(self.geobox, grid, what=f"classes.tif and {name}.tif")
            self.classes = _classes(files)
            self._files = files
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def strips(self) -> Iterator[PredictionStrip]:
        """Yield all rows from the top down, some at a time."""
        height, width = (int(side) for side in self.geobox.shape)
        rows = max(1, STRIP // width)
        for top in range(0, height, rows):
            window = Window(top, 0, min(rows, height - top), width)
            codes = self.codes(window)
            yield PredictionStrip(
                window,
                codes,
                from_bytes(self._read("probabilities", window=_part(window))),
                self._read("confidence", window=_part(window))[0],
                self._read(MODEL, window=_part(window))[0] if self.corrected else codes,
                self.hand(window),
            )

    def codes(self, window: Window) -> NDArray[np.uint8]:
        """Return the class codes of a window, ``(y, x)``."""
        found: NDArray[np.uint8] = self._read("classes", window=_part(window))[0]
        return found

    def hand(self, window: Window) -> NDArray[np.bool_]:
        """Return where a polygon set the class in a window, ``(y, x)``."""
        if not self.corrected:
            return np.zeros((window.height, window.width), bool)
        found: NDArray[np.bool_] = self._read(NUMBERS, window=_part(window))[0] > 0
        return found

    def confidence(self, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the confidence brought to `shape`, as it is stored: means of what it covers."""
        how: dict[str, Any] = {"out_shape": (1, *shape), "resampling": Resampling.average}
        found: NDArray[np.uint8] = self._read("confidence", **how)[0]
        return found

    def _read(self, name: str, **options: Any) -> NDArray[Any]:
        source = self._files[name]
        try:
            return np.asarray(source.read(**options))
        except RasterioError as error:
            rule = f"GDAL says: {error}."
            raise SceneError("the raster is damaged", source.name, rule) from error


def _part(window: Window) -> RasterWindow:
    return RasterWindow(window.col, window.row, window.width, window.height)


def _grid(source: DatasetReader) -> GeoBox:
    if source.crs is None:
        raise SceneError("the raster has no CRS", source.name, "That of a prediction has one.")
    return GeoBox(source.shape, source.transform, str(source.crs))


def _classes(files: dict[str, DatasetReader]) -> tuple[str, ...]:
    """Return the names of the classes, if the files are such as a prediction has."""
    names = tuple(str(name) for name in files["probabilities"].descriptions)
    known = tuple(c.name for c in CLASSES)
    if names != known[: len(names)] or len(names) < 2:
        rule = f"They are the first of {', '.join(known)}."
        raise SceneError("the prediction has other classes", ", ".join(names), rule)
    for name, source in files.items():
        bands = len(names) if name == "probabilities" else 1
        kind = "uint32" if name == NUMBERS else "uint8"
        if source.count != bands or set(source.dtypes) != {kind}:
            found = f"{source.count} bands of {source.dtypes[0]}"
            raise SceneError(f"{name}.tif is not a prediction's", found, "Predict the scene anew.")
    return names
