"""A scene as a model sees it, window by window: normalised, with missing families filled."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cryonet.errors import BundleError
from cryonet.grid import Window
from cryonet.layers import LAYERS, LayerWindows
from cryonet.layers.spec import Family
from cryonet.layers.table import sun_of
from cryonet.layers.windows import ReadPixels
from cryonet.manifest import Manifest
from cryonet.normalise import normalise_into
from cryonet.stitch import VALID


class SceneInputs:
    """Normalised windows of a scene in the order of a model's layers; see `cryonet.stitch.Read`.

    What a group of the manifest's optional families lacks is filled, for the group as a whole,
    since training left whole groups out: in all the scene if it cannot give one of its layers,
    and else at the pixels where one of them is missing. Filled layers are 0, the training
    mean. A pixel is valid where the layers that are not optional are. This is our choice; in
    training a pixel with a hole carries no label, and serves as surroundings only.

    Parameters
    ----------
    manifest
        Of the model.
    scene
        In memory or lazy.
    hide
        Families that are filled although the scene has them, to see what they are worth. Where
        pixels are valid does not change.
    read
        As for `cryonet.layers.LayerWindows`.

    Attributes
    ----------
    missing
        Optional families that the scene lacks, in the order of the manifest.

    Raises
    ------
    BundleError
        If the scene lacks a variable that a layer of another family needs: named.
    """

    def __init__(
        self,
        manifest: Manifest,
        scene: xr.Dataset,
        *,
        hide: Collection[Family] = (),
        read: ReadPixels | None = None,
    ) -> None:
        self.missing = missing_families(manifest, scene)
        families = [layer.family for layer in manifest.layers]
        self._statistics = [layer.statistics for layer in manifest.layers]
        self._held = np.array([family not in self.missing for family in families])
        self._hidden = np.array([family in hide for family in families])
        self._groups = tuple(manifest.optional_families)
        group_of = {f: n for n, group in enumerate(self._groups, start=1) for f in group}
        self._group = np.array([group_of.get(family, 0) for family in families], np.uint8)
        self._windows = LayerWindows(
            scene,
            [layer.name for layer in manifest.layers if layer.family not in self.missing],
            fits=manifest.fits,
            read=read,
        )

    def __getitem__(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return the inputs of a window, ``(layer, y, x)``, and the flags of its pixels ``(y, x)``.

        `cryonet.stitch.VALID` is set where a pixel is valid; the next bits, one for each group
        of optional families, where that group was filled: see `filled`.
        """
        raw = self._windows[window]
        if not self._held.all():
            whole = np.full((len(self._held), *raw.shape[1:]), np.nan, np.float32)
            whole[self._held] = raw
            raw = whole
        # In the order in which torch's convolutions are fastest: layers innermost.
        inputs = np.empty((*raw.shape[1:], len(raw)), np.float32).transpose(2, 0, 1)
        lacking = np.empty(raw.shape[1:], np.uint8)
        normalise_into(inputs, lacking, raw, self._statistics, self._group)
        inputs[self._hidden] = 0
        # The bit of the layers that must be there is turned into VALID.
        return inputs, lacking ^ np.uint8(VALID)

    def filled(self, flags: NDArray[np.uint8]) -> dict[str, int]:
        """Return how many valid pixels of a window were filled, by group, from its flags."""
        valid = (flags & VALID).astype(bool)
        return {
            ", ".join(group): int(((flags >> (number + 1)) & valid).sum())
            for number, group in enumerate(self._groups)
        }


def missing_families(manifest: Manifest, scene: xr.Dataset) -> tuple[Family, ...]:
    """Return the optional families that a scene lacks, with those that go missing with them.

    Raises
    ------
    BundleError
        If the scene lacks a variable that a layer of another family needs: named.
    """
    group_of = {family: group for group in manifest.optional_families for family in group}
    gone: set[Family] = set()
    for layer in manifest.layers:
        spec = LAYERS[layer.name]
        lacks = [need for need in spec.needs if need not in scene]
        if layer.family in group_of and (lacks or (spec.sun and sun_of(scene) is None)):
            gone |= set(group_of[layer.family])
        elif lacks:
            raise BundleError(
                f"the scene lacks what layer {layer.name} of the model needs",
                ", ".join(lacks),
                "Add it to the scene, or use a model trained without that layer; with "
                "family_dropout in [augment] a model learns to do without terrain or InSAR.",
            )
    return tuple(family for family in manifest.families if family in gone)
