"""Which labels of a view a map may be scored on."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cryonet.chips import SPLITS
from cryonet.errors import CryonetError
from cryonet.grid import Window
from cryonet.manifest import Manifest
from cryonet.passport import split_codes


def scored_mask(
    manifest: Manifest, scene: xr.Dataset, window: Window
) -> tuple[str, NDArray[np.bool_]]:
    """Return which pixels of a window count, by name and as a mask ``(y, x)``.

    ``test``, of a scene the model was trained on, or ``validation`` if the window has no
    labelled test pixel; ``all`` of another scene; ``seen`` where training saw all that the
    window has, or it is not known which pixels it saw: such scores flatter the model. ``none``
    without labels.
    """
    if "labels" not in scene:
        return "none", np.zeros((window.height, window.width), bool)
    counts = scene["labels"].values[window.slices] < len(manifest.classes)
    shape = (scene["labels"].shape[0], scene["labels"].shape[1])
    name = str(scene.attrs.get("id", "scene"))
    try:
        codes = split_codes(manifest.training.model_dump(mode="json"), name, shape)
    except CryonetError:
        return "seen", counts
    if codes is None:
        return "all", counts
    for split in ("test", "validation"):
        mask = counts & (codes[window.slices] == SPLITS[split])
        if mask.any():
            return split, mask
    return "seen", counts
