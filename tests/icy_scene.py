"""A small scene that thresholds can map: ice, rock in shade, debris and lakes."""

from __future__ import annotations

import numpy as np
import xarray as xr

from conftest import grid
from cryonet.scene import scene_from_arrays


def icy(seed: int = 0, height: int = 96, width: int = 128) -> xr.Dataset:
    """Return a scene of checks; rock in shade has the band ratio of ice, and less blue."""
    generator = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width]
    labels = ((rows // 12 + cols // 16) % 4).astype(np.uint8)
    noise = generator.normal(0, 0.004, (5, height, width)).astype(np.float32)
    # other (every second pixel in shade), clean ice, debris, lake
    means = {
        "blue": (0.2, 0.6, 0.2, 0.1),
        "green": (0.2, 0.6, 0.2, 0.12),
        "red": (0.2, 0.55, 0.2, 0.08),
        "nir": (0.25, 0.5, 0.25, 0.02),
        "swir16": (0.25, 0.1, 0.25, 0.02),
    }
    bands = {
        n: np.asarray(v, np.float32)[labels] + noise[i] for i, (n, v) in enumerate(means.items())
    }
    shade = (labels == 0) & ((rows + cols) % 2 == 0)
    bands["blue"][shade], bands["red"][shade], bands["swir16"][shade] = 0.04, 0.03, 0.005
    return scene_from_arrays(
        {**bands, "labels": labels}, grid(height, width), attrs={"id": "icy", "synthetic": True}
    )
