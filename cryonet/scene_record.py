"""What a manifest keeps of a scene: its id and a hash over its arrays."""

from __future__ import annotations

import hashlib

import numpy as np
import xarray as xr

from cryonet.grid import geobox_of, scene_box
from cryonet.layers.fits import ROWS
from cryonet.manifest import SceneRecord


def scene_record(scene: xr.Dataset) -> SceneRecord:
    """Return the scene's id with a hash over its names, arrays and grid."""
    digest = hashlib.sha256()
    for name in sorted(str(n) for n in scene.data_vars):
        digest.update(name.encode())
        # By rows: of a lazy scene no whole variable is ever in memory.
        for top in range(0, scene.sizes["y"], ROWS):
            rows = scene[name].isel(y=slice(top, top + ROWS))
            digest.update(np.ascontiguousarray(rows.values).tobytes())
    digest.update(repr(geobox_of(scene)).encode())
    return SceneRecord(
        id=str(scene.attrs.get("id", "scene")),
        sha256=digest.hexdigest(),
        synthetic=bool(scene.attrs.get("synthetic", False)),
        datetime=str(scene.attrs.get("datetime") or ""),
        bbox=scene_box(scene),
    )
