"""From a bundle and a scene to classes, probabilities and confidence, in memory."""

from __future__ import annotations

import time

import xarray as xr

from cryonet.bundle import Bundle
from cryonet.grid import Window
from cryonet.map_strips import collect, map_strips
from cryonet.model_pass import ModelPass
from cryonet.progress import SILENT, Progress


def predict_scene(
    bundle: Bundle,
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
    """Return classes, probabilities and confidence for a scene, or a window of it.

    Families that the model was trained to do without may be missing from the scene or from
    some of its pixels; see `cryonet.scene_inputs.SceneInputs`.

    Parameters
    ----------
    overlap
        Share of a window that its neighbour covers too, 0 to 0.5; the bundle's own by
        default.
    batch
        Windows run at once.
    blend
        How windows are weighted where they overlap: cosine, linear or constant.
    flips
        Average over the eight flips and rotations: slower, mostly a little better. The
        temperature was fitted without them.
    calibrated
        Bring the probabilities, blended and averaged, to the bundle's temperature, if it
        has one. The classes are the same without.
    window
        Predict only this part. What lies round it in the scene is still seen.
    backend
        torch; onnxruntime, for the CPU, which converts the network on first use and keeps that;
        or auto, which takes it where it is faster: see `cryonet.backend.engine_for`.
    precision
        fp32; or bf16 or fp16, mixed precision by torch, meant for a GPU. The first batch is then
        run both ways, and the attribute ``precision_check`` says how far they differ.

    Returns
    -------
    Dataset with ``classes`` ``(y, x)`` uint8 (255 where a layer is missing),
    ``probabilities`` ``(class, y, x)`` and ``confidence`` ``(y, x)``, 1 − entropy / ln n,
    both float32 and NaN where missing. The attribute ``temperature`` is 1 if uncalibrated.
    Of a model with optional families the attributes ``missing_families`` and
    ``filled_pixels`` say which the scene lacks, and at how many pixels each group was filled.

    Raises
    ------
    BundleError
        If the scene lacks a variable that a layer of the model needs: named.
    GridError
        If the scene's grid does not fit the model.
    ConfigError, CryonetError
        If the device or the backend cannot be had.
    Cancelled
        From `progress`.
    """
    started = time.perf_counter()
    one = ModelPass(
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
    result = collect(map_strips([one], progress=progress), one.geobox, bundle.manifest.classes)
    (filled,) = result.attrs.pop("filled")
    result.attrs = one.attrs | {"seconds": round(time.perf_counter() - started, 2)}
    if bundle.manifest.optional_families:
        result.attrs["filled_pixels"] = filled
    return result
