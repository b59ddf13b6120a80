"""Ensemble: the mean of several models' calibrated probabilities, and where they disagree."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.xr import wrap_xr

from cryonet.bundle import Bundle
from cryonet.errors import BundleError
from cryonet.grid import Window, geobox_of
from cryonet.manifest import Manifest
from cryonet.predict import as_prediction, predict_scene
from cryonet.progress import SILENT, Progress

#: What a prediction's attributes say of each member; the rest is the same for all.
_OF_MEMBER = ("model", "weights_sha256", "temperature", "missing_families", "filled_pixels")


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
    device, overlap, batch, blend, flips, calibrated, window
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
    total: NDArray[np.float64] | None = None
    entropies: NDArray[np.float64] | None = None
    members: list[dict[str, Any]] = []
    for done, bundle in enumerate(bundles):
        made = predict_scene(
            bundle,
            scene,
            device=device,
            overlap=overlap,
            batch=batch,
            blend=blend,
            flips=flips,
            calibrated=calibrated,
            window=window,
            progress=_Share(progress, done, len(bundles)),
        )
        shares = made["probabilities"].values.astype(np.float64)
        total = shares if total is None else total + shares
        entropy = entropy_of(shares)
        entropies = entropy if entropies is None else entropies + entropy
        members.append({key: made.attrs[key] for key in _OF_MEMBER if key in made.attrs})
    assert total is not None and entropies is not None
    mean = total / len(bundles)
    result = as_prediction(mean.astype(np.float32), geobox_of(made), bundles[0].manifest.classes)
    result["disagreement"] = wrap_xr(
        disagreement_of(mean, entropies / len(bundles)), geobox_of(made)
    )
    shared = {key: value for key, value in made.attrs.items() if key not in _OF_MEMBER}
    result.attrs = {
        **shared,
        "model": "ensemble of " + ", ".join(bundle.manifest.title for bundle in bundles),
        "temperature": 1.0,
        "seconds": round(time.perf_counter() - started, 2),
        "synthetic": int(
            bool(scene.attrs.get("synthetic")) or any(b.manifest.synthetic for b in bundles)
        ),
        "members": members,
    }
    return result


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


def entropy_of(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy of probabilities ``(class, y, x)`` over the classes, in nats.

    NaN where one is NaN; a probability of 0 adds nothing.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(probabilities == 0, 0.0, probabilities * np.log(probabilities))
    found: NDArray[np.float64] = -parts.sum(axis=0)
    return found


def disagreement_of(
    mean: NDArray[np.float64], mean_entropy: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return how far members disagree at each pixel, 0 to 1: their mutual information.

    It is the entropy of the mean less the mean of the entropies, divided by ln n of n classes as
    the confidence is: the information that a pixel's class carries about which member was asked.
    It is 0 where all say the same, however unsure they are, and at most ln m / ln n of m members.

    Parameters
    ----------
    mean
        Mean of the members' probabilities, ``(class, y, x)``.
    mean_entropy
        Mean of their entropies ``(y, x)``, nats.

    References
    ----------
    Houlsby et al. (2011), Bayesian active learning for classification and preference learning;
    Depeweg et al. (2018), Decomposition of uncertainty in Bayesian deep learning, ICML.
    """
    # Never below zero but for rounding.
    gap = np.maximum(entropy_of(mean) - mean_entropy, 0.0)
    share: NDArray[np.float32] = (gap / np.log(len(mean))).astype(np.float32)
    return share


class _Share:
    """Progress of one member among several."""

    def __init__(self, progress: Progress, before: int, members: int) -> None:
        self._progress, self._before, self._members = progress, before, members

    def step(self, done: int, total: int, message: str = "") -> None:
        said = f"model {self._before + 1} of {self._members}, {message}"
        self._progress.step(self._before * total + done, self._members * total, said)
