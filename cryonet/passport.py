"""Passport: where a prediction came from, and the part of a scene that was of one split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryonet.chips import GAP, SPLITS, split_map
from cryonet.config import SplitConfig
from cryonet.errors import CryonetError, SceneError
from cryonet.file_hash import folder_hashes
from cryonet.manifest import Manifest

_PACKAGES = ("cryonet", "torch", "numpy", "rasterio", "xarray")


def make_passport(
    manifests: Sequence[Manifest],
    scene: str | Path,
    item: Mapping[str, Any],
    *,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the passport of a prediction: inputs with their hashes, models, settings, versions.

    Parameters
    ----------
    manifests
        Of the model, under ``bundle``; or of an ensemble's members, under ``members``.
    scene, item
        The scene's folder, and its STAC Item.
    settings
        As the prediction was asked for.
    """
    stated = [manifest.model_dump(mode="json") for manifest in manifests]
    return {
        "format": "cryonet-passport/1",
        "scene": {
            "id": item["id"],
            "files": folder_hashes(scene),
            "warps": item["properties"].get("cryonet:warps", []),
            "synthetic": bool(item["properties"].get("synthetic", False)),
        },
        **({"bundle": stated[0]} if len(stated) == 1 else {"members": stated}),
        "settings": dict(settings),
        "versions": package_versions(),
    }


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that the pixels of a prediction hang on."""
    return {name: version(name) for name in _PACKAGES}


def split_mask(
    passport: Mapping[str, Any], split: str, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return where a prediction's scene was of one split when its model was trained.

    Of an ensemble: where it was so for every member that was trained on the scene.

    Parameters
    ----------
    passport
        See `cryonet.prediction.read_passport`.
    split
        train, validation or test.
    shape
        Rows and columns of the scene.

    Raises
    ------
    SceneError
        If the split is unknown.
    CryonetError
        If no model was trained on the scene, no pixel was of the split for all of them, or it is
        a mosaic of several scenes.
    """
    if "mosaic" in passport:
        rule = "Score the predictions that it is made of, one scene at a time."
        raise CryonetError("a mosaic has no split of its own", split, rule)
    if split not in SPLITS:
        known = ", ".join(("all", *SPLITS))
        raise SceneError("the split is unknown", split, f"Known are: {known}.")
    codes = seen_codes(passport, shape)
    if codes is None:
        raise CryonetError(
            "the model was not trained on this scene",
            passport["scene"]["id"],
            "All of it is test: score it with split all.",
        )
    mask: NDArray[np.bool_] = codes == SPLITS[split]
    if "members" in passport and not mask.any():
        raise CryonetError(
            f"no pixel is {split} for all members", passport["scene"]["id"], "Score another scene."
        )
    return mask


def seen_codes(passport: Mapping[str, Any], shape: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Return the split codes of a prediction's scene, ``(y, x)``; None if no model saw it.

    Of an ensemble: where all members that were trained on it agree; elsewhere it is `GAP`.

    Raises
    ------
    CryonetError
        See `split_codes`.
    """
    models = passport.get("members") or [passport["bundle"]]
    maps = [split_codes(model["training"], passport["scene"]["id"], shape) for model in models]
    known = [codes for codes in maps if codes is not None]
    if not known:
        return None
    agreed: NDArray[np.bool_] = np.all([codes == known[0] for codes in known], axis=0)
    return np.where(agreed, known[0], GAP).astype(np.uint8)


def split_codes(
    training: Mapping[str, Any], scene: str, shape: tuple[int, int]
) -> NDArray[np.uint8] | None:
    """Return the split codes of a scene in a training run, ``(y, x)``; None if not in it.

    Parameters
    ----------
    training
        The training record of a manifest, as plain values.
    scene, shape
        Its id, and its rows and columns.

    Raises
    ------
    CryonetError
        If the run started from weights that had seen the scene, or its splits were given.
    """
    ids = [entry["id"] for entry in training["scenes"]]
    if scene not in ids:
        return None
    before = [entry["id"] for entry in (training.get("start") or {}).get("scenes", ())]
    if scene in before:
        raise CryonetError(
            "the model's start was trained on this scene too",
            scene,
            "Which pixels it had seen is not known: no split of it is a test.",
        )
    if training["config"]["split"] == "given":
        raise CryonetError(
            "the splits of this training were given as maps",
            scene,
            "They are not in the bundle: score it with split all, or with a mask of your own.",
        )
    config = SplitConfig.model_validate(training["config"]["split"])
    generator = np.random.default_rng([training["seed"], ids.index(scene)])
    return split_map(shape, config, generator=generator)
