"""LayerWindows: any window of a stack, computed when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cryonet.grid import Window, geobox_of
from cryonet.layers.cell import cell_size
from cryonet.layers.fits import Fits
from cryonet.layers.stack import compute_layers_of
from cryonet.layers.table import select_layers, sun_of
from cryonet.scene import check_scene

#: Side of the blocks in which whole scenes are gone through.
BLOCK = 256

#: From names of variables and a window to their pixels ``(y, x)``, by name.
ReadPixels = Callable[[Sequence[str], Window], Mapping[str, NDArray[np.float32]]]


class LayerWindows:
    """Windows of the layers of a scene, without ever holding the whole stack.

    A window is computed from the pixels of the scene under it and their halo. The last one is
    kept: of a window beside it, as in a sweep row of windows by row of windows, only what is
    new is computed, so that the memory needed does not grow with the scene. The values are
    those of `build_stack`, bit for bit. Not for several threads at once.

    Parameters
    ----------
    scene
        In memory or lazy.
    names, fits
        As for `build_stack`.
    read
        Reads the scene's pixels in place of `scene` itself, as `cryonet.scene_files.SceneFiles`
        does from its files.

    Attributes
    ----------
    names
        The layers, in order.
    computed
        Pixels computed so far, without halo.

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
        read: ReadPixels | None = None,
    ) -> None:
        check_scene(scene)
        self._scene, self._fits = scene, fits or Fits()
        self._read = read or self._from_scene
        self._specs, self.absent = select_layers(scene, names, fits=self._fits.names)
        geobox = geobox_of(scene)
        self.names = tuple(spec.name for spec in self._specs)
        self.shape = (int(geobox.shape[0]), int(geobox.shape[1]))
        self._cell = cell_size(geobox) if any(s.metric for s in self._specs) else float("nan")
        self._sun = sun_of(scene)
        self._halo = max(spec.halo for spec in self._specs)
        self._needed = tuple(dict.fromkeys(name for spec in self._specs for name in spec.needs))
        self._last: tuple[Window, NDArray[np.float32]] | None = None
        self.computed = 0

    def __getitem__(self, window: Window) -> NDArray[np.float32]:
        """Return the layers of a window inside the scene, ``(layer, y, x)``.

        The array is the caller's to read, not to change: the next window may be made of it.
        """
        shared = self._shared(window)
        held = 0 if shared is None else shared.shape[2]
        if shared is not None and held == window.width:
            found = shared
        else:
            found = np.empty((len(self.names), window.height, window.width), np.float32)
            if shared is not None:
                found[:, :, :held] = shared
            new = Window(window.row, window.col + held, window.height, window.width - held)
            self._compute(new, found[:, :, held:])
        self._last = window, found
        return found

    def _shared(self, window: Window) -> NDArray[np.float32] | None:
        """Return the left part of a window that the last one holds, if there is one."""
        if self._last is None:
            return None
        last, layers = self._last
        left, stop = window.col - last.col, last.col + last.width
        same_rows = (last.row, last.height) == (window.row, window.height)
        if not same_rows or left < 0 or not window.col < stop <= window.col + window.width:
            return None
        return layers[:, :, left:]

    def _compute(self, inner: Window, out: NDArray[np.float32]) -> None:
        outer = inner.expand(self._halo, self.shape)
        part = self._read(self._needed, outer)
        layers = compute_layers_of(self._specs, part, self._cell, fits=self._fits, sun=self._sun)
        self.computed += inner.height * inner.width
        place = inner.within(outer).slices
        for values, name in zip(out, self.names, strict=True):
            values[:] = layers[name][place]

    def _from_scene(self, names: Sequence[str], window: Window) -> dict[str, NDArray[np.float32]]:
        rows, cols = window.slices
        return {n: np.asarray(self._scene[n].isel(y=rows, x=cols).values) for n in names}
