"""HeldView: part of a scene whose inputs are computed once and predicted from many times."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cryonet.bundle import Bundle
from cryonet.classes import NODATA
from cryonet.errors import CryonetError, SceneError
from cryonet.explain.scored import scored_mask
from cryonet.grid import Window
from cryonet.map_strips import as_prediction
from cryonet.model_pass import ModelPass
from cryonet.progress import SILENT, Progress
from cryonet.stitch import VALID


class HeldView:
    """A model and part of a scene, with the normalised inputs of that part held in memory.

    Windows, weights and blending are those of `cryonet.predict.predict_scene`, so that the
    inputs as they are give its prediction. Memory: 4 bytes a layer and pixel of `outer`, and as
    much again while changed inputs are predicted from.

    Parameters
    ----------
    window
        The part; all of the scene by default. What lies round it is seen, too.
    device, batch, flips, calibrated
        As for `cryonet.predict.predict_scene`.
    progress
        Told while the inputs are computed.

    Attributes
    ----------
    image
        Normalised inputs of `outer`, ``(layer, y, x)`` float32, not to be written to.
    flags
        ``(y, x)`` of `outer`; see `cryonet.scene_inputs.SceneInputs`.
    outer, target
        What the network sees of the scene, and the part of it that is mapped.
    geobox
        Of `target`.

    Raises
    ------
    BundleError, GridError, ConfigError
        As for `cryonet.predict.predict_scene`.
    """

    def __init__(
        self,
        bundle: Bundle,
        scene: xr.Dataset,
        window: Window | None = None,
        *,
        device: str = "auto",
        batch: int = 4,
        flips: bool = False,
        calibrated: bool = True,
        progress: Progress = SILENT,
    ) -> None:
        progress.step(0, 1, "computing the inputs")
        self.bundle, self._scene = bundle, scene
        self._pass = one = ModelPass(
            bundle,
            scene,
            device=device,
            batch=batch,
            flips=flips,
            calibrated=calibrated,
            window=window,
        )
        self.outer, self.target, self.geobox = one.outer, one.target, one.geobox
        self.image, self.flags = one.inputs[self.outer]
        self.image.flags.writeable = self.flags.flags.writeable = False
        self.missing = one.inputs.missing
        progress.step(1, 1, "computing the inputs")

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Where pixels of `outer` are valid, ``(y, x)``."""
        return (self.flags & VALID).astype(bool)

    @property
    def channels(self) -> Mapping[str, tuple[int, ...]]:
        """The input channels of each family, in the order of the manifest."""
        layers = self.bundle.manifest.layers
        return MappingProxyType(
            {
                family: tuple(n for n, layer in enumerate(layers) if layer.family == family)
                for family in self.bundle.manifest.families
            }
        )

    def labels(self) -> tuple[NDArray[np.uint8], str]:
        """Return the labels that a map of `target` may be scored on, and which those are.

        Codes ``(y, x)``, 255 where there is none. Which: see `cryonet.explain.scored`.

        Raises
        ------
        SceneError
            If no pixel of the view has a label of the model's classes.
        """
        split, mask = scored_mask(self.bundle.manifest, self._scene, self.target)
        if not mask.any():
            name = str(self._scene.attrs.get("id", "scene"))
            raise SceneError("no pixel of the view has a label", name, "Take another window.")
        codes = self._scene["labels"].values[self.target.slices]
        return np.where(mask, codes, NODATA).astype(np.uint8), split

    def predict(
        self, image: NDArray[np.float32] | None = None, *, progress: Progress = SILENT
    ) -> xr.Dataset:
        """Return the prediction of `target` from other inputs of `outer`, or from its own.

        See `cryonet.predict.predict_scene`. Where pixels are valid does not change.

        Raises
        ------
        CryonetError
            If the inputs have another shape.
        """
        given = self.image if image is None else image
        if given.shape != self.image.shape:
            rule = f"The view has {self.image.shape} (layer, y, x)."
            raise CryonetError("the inputs have another shape than the view", given.shape, rule)

        def read(window: Window) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
            part = window.within(self.outer).slices
            return given[:, *part], self.flags[part]

        manifest = self.bundle.manifest
        shares = np.empty(
            (len(manifest.classes), self.target.height, self.target.width), np.float32
        )
        for strip in self._pass.strips(read=read, progress=progress):
            shares[:, strip.top : strip.top + len(strip.flags)] = strip.values
        made = as_prediction(
            shares, self.geobox, manifest.classes, temperature=self._pass.temperature
        )
        return made.assign_attrs(self._pass.attrs)
