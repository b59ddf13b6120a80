"""LayerWindows: any window of a stack, computed when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cryonet.grid import Window, geobox_of
from cryonet.layers.cell import cell_size
from cryonet.layers.fits import Fits
from cryonet.layers.stack import compute_layers_of
from cryonet.layers.table import select_layers, sun_of
from cryonet.scene import check_scene

#: Rows and columns of the blocks in which layers are computed and kept.
BLOCK = 256


class LayerWindows:
    """Windows of the layers of a scene, without ever holding the whole stack.

    Layers are computed in blocks, each from the pixels of the scene under it and their
    halo, and the blocks used last are kept: windows that overlap share them, and nothing is
    computed twice but the halo. The values are those of `build_stack`, bit for bit.

    Parameters
    ----------
    scene
        In memory or lazy.
    names, fits
        As for `build_stack`.
    tallest
        Rows of the tallest window that will be asked for; a block by default.
    blocks
        Blocks that are kept; by default those under the tallest window wherever it starts,
        so that a sweep over the scene, row of windows by row of windows, computes each
        block once.

    Attributes
    ----------
    names
        The layers, in order.
    computed
        Blocks computed so far.

    Raises
    ------
    LayerError, GridError
        As `build_stack`.
    """

    def __init__(
        self,
        scene: xr.Dataset,
        names: str | Sequence[str] | None = None,
        *,
        fits: Fits | None = None,
        tallest: int | None = None,
        blocks: int | None = None,
    ) -> None:
        check_scene(scene)
        self._scene, self._fits = scene, fits or Fits()
        self._specs, self.absent = select_layers(scene, names, fits=self._fits.names)
        geobox = geobox_of(scene)
        self.names = tuple(spec.name for spec in self._specs)
        self.shape = (int(geobox.shape[0]), int(geobox.shape[1]))
        self._cell = cell_size(geobox) if any(s.metric for s in self._specs) else float("nan")
        self._sun = sun_of(scene)
        self._halo = max(spec.halo for spec in self._specs)
        across = -(-self.shape[1] // BLOCK)
        down = 1 + -(-(tallest or BLOCK) // BLOCK)
        self._room = down * across if blocks is None else blocks
        self._kept: dict[tuple[int, int], NDArray[np.float32]] = {}
        self.computed = 0

    def __getitem__(self, window: Window) -> NDArray[np.float32]:
        """Return the layers of a window inside the scene, ``(layer, y, x)``."""
        out = np.empty((len(self._specs), window.height, window.width), np.float32)
        bottom, right = window.row + window.height, window.col + window.width
        for row in range(window.row // BLOCK, -(-bottom // BLOCK)):
            for col in range(window.col // BLOCK, -(-right // BLOCK)):
                top, left = max(row * BLOCK, window.row), max(col * BLOCK, window.col)
                end, stop = min((row + 1) * BLOCK, bottom), min((col + 1) * BLOCK, right)
                block = self._block(row, col)
                out[
                    :, top - window.row : end - window.row, left - window.col : stop - window.col
                ] = block[
                    :,
                    top - row * BLOCK : end - row * BLOCK,
                    left - col * BLOCK : stop - col * BLOCK,
                ]
        return out

    def _block(self, row: int, col: int) -> NDArray[np.float32]:
        found = self._kept.pop((row, col), None)
        if found is None:
            found = self._compute(row, col)
            self.computed += 1
        self._kept[row, col] = found
        while len(self._kept) > max(1, self._room):
            del self._kept[next(iter(self._kept))]
        return found

    def _compute(self, row: int, col: int) -> NDArray[np.float32]:
        height = min(BLOCK, self.shape[0] - row * BLOCK)
        width = min(BLOCK, self.shape[1] - col * BLOCK)
        inner = Window(row * BLOCK, col * BLOCK, height, width)
        outer = inner.expand(self._halo, self.shape)
        rows, cols = outer.slices
        needed = dict.fromkeys(name for spec in self._specs for name in spec.needs)
        part: dict[str, Any] = {
            name: np.asarray(self._scene[name].isel(y=rows, x=cols).values) for name in needed
        }
        layers = compute_layers_of(self._specs, part, self._cell, fits=self._fits, sun=self._sun)
        place = inner.within(outer).slices
        return np.stack([layers[name][place] for name in self.names])
