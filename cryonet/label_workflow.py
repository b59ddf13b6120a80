"""From a corrected prediction to labels of its scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.xr import wrap_xr

from cryonet.classes import NODATA
from cryonet.corrections import hand_set
from cryonet.errors import SceneError
from cryonet.file_hash import file_sha256
from cryonet.grid import check_same_grid, geobox_of
from cryonet.prediction import PASSPORT, open_prediction, read_passport
from cryonet.scene import open_scene
from cryonet.scene_writer import add_to_scene

#: What becomes labels: pixels that were set by hand alone, or the whole map with them.
EXTENTS = ("corrections", "map")


def run_add_labels(
    scene: str | Path, prediction: str | Path, *, extent: str, overwrite: bool = False
) -> int:
    """Write the labels that a corrected prediction gives a scene; return how many pixels.

    With ``corrections`` the pixels that polygons set are labelled, and all others 255; with
    ``map`` every pixel of the corrected map, most of which the model has labelled itself:
    trained on them, a model learns its own errors, and scores against them mean little. The
    scene's item records where labels are from (``cryonet:labels``).

    Parameters
    ----------
    scene
        The folder of the scene that was predicted.
    extent
        One of `EXTENTS`.
    overwrite
        Replace labels that the scene has.

    Raises
    ------
    SceneError
        If the extent is unknown, nothing was corrected, or the scene has labels already.
    GridError
        If prediction and scene lie on different grids.
    """
    if extent not in EXTENTS:
        raise SceneError("the extent is unknown", extent, f"Known are: {', '.join(EXTENTS)}.")
    found = open_prediction(prediction)
    hand = hand_set(found)
    if not hand.any():
        rule = "Correct it first: cryonet correct."
        raise SceneError("nothing in the prediction was set by hand", str(prediction), rule)
    data = open_scene(scene, chunks=4096)
    geobox = geobox_of(data)
    check_same_grid(geobox, geobox_of(found), what="the scene and the prediction")
    codes = np.asarray(found["classes"].values)
    labels = np.where(hand, codes, NODATA).astype(np.uint8) if extent == "corrections" else codes
    layer = wrap_xr(labels, geobox, nodata=None)
    layer.attrs = {"long_name": "class", "units": "class code"}
    added = xr.Dataset({"labels": layer}, attrs={"synthetic": data.attrs.get("synthetic")})
    add_to_scene(scene, added, properties=_record(found, prediction, extent), overwrite=overwrite)
    return int((labels != NODATA).sum())


def _record(found: xr.Dataset, prediction: str | Path, extent: str) -> dict[str, Any]:
    folder = Path(prediction)
    record = {
        "from": "a corrected prediction",
        "extent": extent,
        "prediction": folder.name,
        "passport_sha256": file_sha256(folder / PASSPORT),
        "model": str(found.attrs.get("model", "")),
        "hand": found.attrs["corrections"],
        "corrections": read_passport(folder)["corrections"],
    }
    remarks = {
        "corrections": "labels: pixels set by hand over a prediction, others are not labelled",
        "map": "labels: a model's own map with corrections by hand, not an independent truth",
    }
    return {"cryonet:labels": record, "cryonet:remarks": [remarks[extent]]}
