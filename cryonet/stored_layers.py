"""StoredLayers: layers in a file, of which only the window asked for is in memory."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryonet.errors import SceneError

#: The layers and rows and columns of a window: ``(slice(None), *window.slices)``.
Key = tuple[slice, slice, slice]


class StoredLayers:
    """Layers ``(layer, y, x)``, float32, in a file without header.

    The file goes pixel by pixel, all layers of one together, row by row: a window is read as
    one run of bytes a row, and comes as the network likes its channels. It is mapped for each
    window and let go again, so that nothing stays in memory but what was copied. Threads may
    read at once.

    Parameters
    ----------
    file
        Where the values are.
    shape
        Layers, rows, columns.

    Raises
    ------
    SceneError
        If the file has another size.
    """

    def __init__(self, file: Path, shape: tuple[int, int, int]) -> None:
        self.file, self.shape = file, shape
        size = file.stat().st_size if file.is_file() else 0
        if size != self.size_of(shape):
            rule = f"It holds {self.size_of(shape):,}: remove the folder, and it is made anew."
            raise SceneError("the stored layers are damaged", f"{file}: {size:,} bytes", rule)

    @classmethod
    def create(cls, file: Path, shape: tuple[int, int, int]) -> StoredLayers:
        """Return layers in a new file, all zero as yet."""
        with file.open("wb") as stream:
            stream.truncate(cls.size_of(shape))
        return cls(file, shape)

    @staticmethod
    def size_of(shape: tuple[int, int, int]) -> int:
        """Return the bytes of a file of layers of a shape."""
        return 4 * math.prod(shape)

    def __getitem__(self, key: Key) -> NDArray[np.float32]:
        layers, rows, cols = key
        top, bottom, _ = rows.indices(self.shape[1])
        depth, width = self.shape[0], self.shape[2]
        if bottom <= top:
            return np.empty((depth, 0, width), np.float32)[layers, :, cols]
        strip = np.memmap(
            self.file,
            np.float32,
            "r",
            offset=4 * top * width * depth,
            shape=(bottom - top, width, depth),
        )
        return np.moveaxis(np.array(strip[:, cols]), -1, 0)[layers]

    def __setitem__(self, key: Key, values: NDArray[np.float32]) -> None:
        layers, rows, cols = key
        depth, height, width = self.shape
        if layers != slice(None):
            raise IndexError("all layers are written at once")
        left, _, _ = cols.indices(width)
        lines = np.ascontiguousarray(np.moveaxis(values, 0, -1), np.float32)
        # Written, not mapped: a full disk is an error then, and not the end of the process.
        with self.file.open("r+b") as stream:
            for row, line in zip(range(*rows.indices(height)), lines, strict=True):
                stream.seek(4 * depth * (row * width + left))
                stream.write(line.tobytes())
