"""View: one window of a scene as a model sees it, computed once for all explanations of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.bundle import Bundle
from cryonet.classes import NODATA
from cryonet.errors import GridError
from cryonet.grid import Window, geobox_of
from cryonet.layers.windows import ReadPixels
from cryonet.model_pass import check_fits
from cryonet.scene_inputs import SceneInputs
from cryonet.stitch import VALID

#: Pixels of the largest window that is explained at once, our choice: 1024², of which forty
#: layers take 170 MB, and a network's gradient some gigabytes.
MOST_PIXELS = 2**20


@dataclass(frozen=True)
class View:
    """The inputs of one window, and what must be known of them.

    Attributes
    ----------
    bundle, scene, window
        Whose they are.
    geobox
        The window's grid.
    image
        ``(layer, y, x)`` float32, normalised: 0 is the training mean, 1 a deviation.
    flags
        ``(y, x)`` uint8 as `cryonet.scene_inputs.SceneInputs` gives them.
    layers, families
        Names of the layers in order, and of the family of each.
    missing
        Optional families that the scene lacks.
    filled
        How many valid pixels were filled, by group of optional families.
    """

    bundle: Bundle
    scene: xr.Dataset
    window: Window
    geobox: GeoBox
    image: NDArray[np.float32]
    flags: NDArray[np.uint8]
    layers: tuple[str, ...]
    families: tuple[str, ...]
    missing: tuple[str, ...]
    filled: dict[str, int]

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        scene: xr.Dataset,
        window: Window,
        *,
        read: ReadPixels | None = None,
    ) -> View:
        """Compute the inputs of a window, as prediction does.

        Parameters
        ----------
        read
            As for `cryonet.layers.LayerWindows`.

        Raises
        ------
        BundleError
            If the scene lacks a variable that a layer of the model needs: named.
        GridError
            If the scene's grid does not fit the model, or the window reaches out of the scene
            or is larger than `MOST_PIXELS`.
        """
        grid = geobox_of(scene)
        check_fits(bundle.manifest, grid)
        check_window(window, (int(grid.shape[0]), int(grid.shape[1])))
        inputs = SceneInputs(bundle.manifest, scene, read=read)
        image, flags = inputs[window]
        return cls(
            bundle,
            scene,
            window,
            grid[window.slices],
            image,
            flags,
            bundle.manifest.layer_names,
            tuple(layer.family for layer in bundle.manifest.layers),
            tuple(inputs.missing),
            inputs.filled(flags),
        )

    @property
    def valid(self) -> NDArray[np.bool_]:
        """``(y, x)``: where every layer is known that the model cannot do without."""
        return (self.flags & VALID).astype(bool)

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """``(layer, y, x)``: where a layer was measured, and not filled."""
        manifest = self.bundle.manifest
        groups = {f: n for n, g in enumerate(manifest.optional_families, start=1) for f in g}
        found = np.ones(self.image.shape, bool)
        valid = self.valid
        for number, layer in enumerate(manifest.layers):
            if layer.family in groups:
                found[number] = (self.flags >> groups[layer.family]) & 1 == 0
            else:
                # Of an invalid pixel the flags do not say which layer it lacks: its value does.
                numbers = layer.statistics
                fill = (numbers.fill - numbers.mean) / numbers.std
                found[number] = valid | ~np.isclose(self.image[number], fill, rtol=1e-5, atol=1e-6)
        return found

    @cached_property
    def codes(self) -> NDArray[np.uint8]:
        """``(y, x)``: the class that the model maps, seeing the window at once; 255 in holes."""
        module = self.bundle.module
        weight = next(iter(module.parameters()), None)
        device = "cpu" if weight is None else weight.device
        image = torch.from_numpy(self.image)[None].to(device)
        with torch.inference_mode():
            logits = module(image.contiguous(memory_format=torch.channels_last))
        codes: NDArray[np.uint8] = logits[0].argmax(dim=0).cpu().numpy().astype(np.uint8)
        return np.where(self.valid, codes, np.uint8(NODATA))

    @cached_property
    def labels(self) -> NDArray[np.uint8] | None:
        """``(y, x)`` uint8 class codes, 255 for none; None if the scene has no labels."""
        if "labels" not in self.scene:
            return None
        rows, cols = self.window.slices
        return np.asarray(self.scene["labels"].isel(y=rows, x=cols).values).astype(np.uint8)


def check_window(window: Window, shape: tuple[int, int]) -> None:
    """Refuse a window that is not inside a scene of `shape`, or is too large to hold.

    Raises
    ------
    GridError
        Saying which.
    """
    height, width = shape
    if not (
        0 <= window.row < window.row + window.height <= height
        and 0 <= window.col < window.col + window.width <= width
    ):
        raise GridError("the window is not inside the scene", window, f"The scene is {shape}.")
    if window.height * window.width > MOST_PIXELS:
        side = round(MOST_PIXELS**0.5)
        raise GridError(
            "the window is too large to explain at once",
            f"{window.height} × {window.width} pixels",
            f"Take a part of at most {side} × {side} pixels, the model's surroundings included.",
        )


def surroundings(window: Window, shape: tuple[int, int], tile: int) -> Window:
    """Return a window and what the network should see round it.

    Each side has at least the tile that the model was trained on, moved inwards at the
    scene's edges, since training saw whole tiles.
    """
    (row, height), (col, width) = (
        _side(start, size, length, tile)
        for start, size, length in (
            (window.row, window.height, shape[0]),
            (window.col, window.width, shape[1]),
        )
    )
    return Window(row, col, height, width)


def _side(start: int, size: int, length: int, tile: int) -> tuple[int, int]:
    whole = min(max(size, tile), length)
    first = start - (whole - size) // 2
    return max(0, min(first, length - whole)), whole
