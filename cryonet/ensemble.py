"""Ensemble: the mean of several models' calibrated probabilities, and where they disagree."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import xarray as xr

from cryonet.bundle import Bundle
from cryonet.errors import BundleError
from cryonet.grid import Window
from cryonet.manifest import Manifest
from cryonet.map_strips import collect, map_strips
from cryonet.model_pass import ModelPass
from cryonet.progress import SILENT, Progress

#: What a prediction's attributes say of each member; the rest is the same for all.
_OF_MEMBER = (
    "model",
    "weights_sha256",
    "temperature",
    "missing_families",
    "batch_held",
    "backend",
    "backend_check",
    "backend_remark",
    "precision_check",
)


def predict_ensemble(
    bundles: Sequence[Bundle],
    scene: xr.Dataset,
    *,
    device: str = "auto",
    overlap: float | None = None,
    batch: int = 4,
    blend: str = "cosine",
    flips: bool = False,
    calibrated: bool = True,
    window: Window | None = None,
    backend: str = "torch",
    precision: str = "fp32",
    progress: Progress = SILENT,
) -> xr.Dataset:
    """Return the mean prediction of several models for a scene, and their disagreement.

    Each member is predicted, blended and brought to its own temperature as it would be alone;
    the probabilities are then averaged, each member weighing the same. An ensemble is not a
    bundle of its own: its members stay the bundles they are, each with its hash and its card,
    and any that fit together may be combined without copying weights. Its mean is not
    calibrated again.

    Members may differ in layers, architecture and training, not in classes, window or overlap:
    what is said of a pixel hangs on the whole window, and disagreement is to be that of models.

    Parameters
    ----------
    bundles
        The members; their order does not matter but for rounding.
    device, overlap, batch, blend, flips, calibrated, window, backend, precision
        For every member; see `cryonet.predict.predict_scene`.

    Returns
    -------
    Dataset as `predict_scene` gives it, with ``disagreement`` ``(y, x)``, float32, NaN where
    missing: see `disagreement_of`. A pixel is known where all members know it. The
    attribute ``members`` says of each its title, hash and temperature; ``temperature`` is 1.

    Raises
    ------
    BundleError
        If there is no member, two differ in classes, window or overlap, or one does not fit
        the scene.
    GridError, Cancelled
        As `predict_scene`.
    """
    started = time.perf_counter()
    check_members([bundle.manifest for bundle in bundles], overlap=overlap)
    passes = [
        ModelPass(
            bundle,
            scene,
            device=device,
            overlap=overlap,
            batch=batch,
            blend=blend,
            flips=flips,
            calibrated=calibrated,
            window=window,
            backend=backend,
            precision=precision,
            progress=progress,
        )
        for bundle in bundles
    ]
    found = map_strips(passes, disagree=True, progress=progress)
    result = collect(found, passes[0].geobox, bundles[0].manifest.classes)
    filled = result.attrs.pop("filled")
    result.attrs = ensemble_attrs(passes, filled) | {
        "seconds": round(time.perf_counter() - started, 2)
    }
    return result


def ensemble_attrs(passes: Sequence[ModelPass], filled: Sequence[dict[str, int]]) -> dict[str, Any]:
    """Return what the prediction of an ensemble says of how it was made.

    Parameters
    ----------
    filled
        For each member, at how many pixels each group of families was filled.
    """
    members = []
    for one, counts in zip(passes, filled, strict=True):
        told = {key: one.attrs[key] for key in _OF_MEMBER if key in one.attrs}
        members.append(told | ({"filled_pixels": counts} if "missing_families" in told else {}))
    shared = {key: value for key, value in passes[0].attrs.items() if key not in _OF_MEMBER}
    return {
        **shared,
        "model": "ensemble of " + ", ".join(one.manifest.title for one in passes),
        "temperature": 1.0,
        "synthetic": int(any(one.attrs["synthetic"] for one in passes)),
        "members": members,
    }


def check_members(manifests: Sequence[Manifest], *, overlap: float | None = None) -> None:
    """Refuse models that make no ensemble.

    Raises
    ------
    BundleError
        If there is none, or two differ in classes, in window, or in overlap where `overlap`
        does not replace their own.
    """
    if not manifests:
        raise BundleError("an ensemble has no member", 0, "Give one bundle or more.")
    wanted = [("classes", "classes"), ("tile", "window")]
    wanted += [("overlap", "overlap")] if overlap is None else []
    for key, name in wanted:
        found = list(dict.fromkeys(getattr(manifest, key) for manifest in manifests))
        if len(found) > 1:
            raise BundleError(
                f"the members differ in {name}",
                "; ".join(str(value) for value in found),
                "Give one overlap for all."
                if key == "overlap"
                else f"Members of an ensemble have the same {name}.",
            )
