"""SceneFiles: pixels of a scene, read from its files window by window."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from rasterio import Env
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from cryonet.cog import open_raster
from cryonet.errors import SceneError
from cryonet.grid import Window
from cryonet.scene import StoredBand, asset_file, data_assets, decode, read_item

#: Bytes of blocks that GDAL keeps while scenes are read.
CACHE = 256 * 2**20


class SceneFiles:
    """Reads windows of a scene's variables; the files stay open for the ``with`` statement.

    The values are those of `cryonet.scene.open_scene`. That the files fit together is for it
    to check: open the scene lazily first. Not for several threads at once.

    Parameters
    ----------
    path
        The scene's folder, or its ``scene.json``.

    Raises
    ------
    SceneError
        If a file is missing or damaged.
    """

    def __init__(self, path: str | Path) -> None:
        folder = Path(path) if Path(path).is_dir() else Path(path).parent
        assets = data_assets(read_item(path)).values()
        self._files = [(asset_file(folder, asset.href), asset.bands) for asset in assets]
        self._open: list[tuple[DatasetReader, tuple[StoredBand, ...]]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            # Else GDAL keeps blocks that nobody reads again, up to a twentieth of the memory.
            stack.enter_context(Env(GDAL_CACHEMAX=CACHE))
            for file, bands in self._files:
                self._open.append((stack.enter_context(open_raster(file)), bands))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.clear()
        self._stack.close()

    def read(self, names: Sequence[str], window: Window) -> dict[str, NDArray[np.float32]]:
        """Return the pixels ``(y, x)`` of variables in a window inside the scene, by name.

        Raises
        ------
        SceneError
            If a file is damaged there.
        """
        return self._read(names, window, None)

    def overview(
        self, names: Sequence[str], window: Window, shape: tuple[int, int]
    ) -> dict[str, NDArray[np.float32]]:
        """Return such pixels brought to `shape`, means of what they cover: no labels, that is.

        Overviews of the files serve where they have some, so that memory does not grow with the
        window.
        """
        return self._read(names, window, shape)

    def _read(
        self, names: Sequence[str], window: Window, shape: tuple[int, int] | None
    ) -> dict[str, NDArray[np.float32]]:
        part = RasterWindow(window.col, window.row, window.width, window.height)
        found: dict[str, NDArray[np.float32]] = {}
        for source, bands in self._open:
            wanted = [(n, band) for n, band in enumerate(bands, start=1) if band.name in names]
            if not wanted:
                continue
            try:
                stored = source.read(
                    [number for number, _ in wanted],
                    window=part,
                    out_shape=None if shape is None else (len(wanted), *shape),
                    resampling=Resampling.average,
                )
            except RasterioError as error:
                rule = f"GDAL says: {error}."
                raise SceneError("the raster is damaged", source.name, rule) from error
            for (_, band), raw in zip(wanted, stored, strict=True):
                found[band.name] = decode(raw, band)
        return found
