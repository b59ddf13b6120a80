"""From a bundle and a scene to classes, probabilities and confidence."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from torch import nn

from cryonet.augment import DIHEDRALS, direction_pairs, turn
from cryonet.bundle import Bundle
from cryonet.calibrate import temper
from cryonet.classes import NODATA
from cryonet.errors import ConfigError, GridError
from cryonet.grid import Window, geobox_of
from cryonet.manifest import Manifest
from cryonet.progress import SILENT, Progress
from cryonet.scene_inputs import SceneInputs
from cryonet.stitch import Run, overlap_pixels, stitch


def pick_device(name: str = "auto") -> torch.device:
    """Return the device called ``auto``, ``cpu`` or ``cuda``; auto prefers the GPU.

    Raises
    ------
    ConfigError
        If the name is unknown, or there is no GPU to use.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError("the device is unknown", name, "Give auto, cpu or cuda.")
    present = torch.cuda.is_available()
    if name == "cuda" and not present:
        raise ConfigError("there is no CUDA device", name, "Give cpu, or install a CUDA torch.")
    return torch.device("cuda" if present and name != "cpu" else "cpu")


def runner(
    module: nn.Module,
    device: torch.device,
    *,
    flips: bool = False,
    pairs: Sequence[tuple[int, int]] = (),
) -> Run:
    """Return a function from inputs ``(batch, layer, y, x)`` to class probabilities.

    With `flips` the probabilities are the mean over the eight flips and rotations, with
    the layers that are directions (channel numbers in `pairs`) turned as well.
    """
    chosen = DIHEDRALS if flips else DIHEDRALS[:1]

    def run(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        image = torch.from_numpy(inputs).to(device)
        with torch.inference_mode():
            total = torch.zeros((), device=device)
            for dihedral in chosen:
                turned = turn(image, dihedral, pairs)
                turned = turned.contiguous(memory_format=torch.channels_last)
                share = module(turned).float().softmax(dim=1)
                total = total + turn(share, dihedral.inverse)
            mean: NDArray[np.float32] = (total / len(chosen)).cpu().numpy()
        return mean

    return run


def check_fits(manifest: Manifest, geobox: GeoBox) -> None:
    """Refuse a scene whose grid is not what the model was trained on.

    Raises
    ------
    GridError
        If the grid is geographic, or its resolution differs by more than the manifest's
        tolerance.
    """
    if geobox.crs is not None and geobox.crs.geographic:
        raise GridError("the scene's grid is geographic", str(geobox.crs), "Warp it to metres.")
    cell = abs(geobox.resolution.x)
    if abs(cell / manifest.resolution - 1) > manifest.resolution_tolerance:
        raise GridError(
            "the scene has another resolution than the model",
            f"{cell:g} m",
            f"The model was trained at {manifest.resolution:g} m; resample the scene.",
        )


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
    Cancelled
        From `progress`.
    """
    started = time.perf_counter()
    manifest = bundle.manifest
    geobox = geobox_of(scene)
    check_fits(manifest, geobox)
    inputs = SceneInputs(manifest, scene)
    chosen = pick_device(device)
    share = manifest.overlap if overlap is None else overlap
    shape = (int(geobox.shape[0]), int(geobox.shape[1]))
    target = window or Window(0, 0, *shape)
    outer = _context(target, shape, manifest.tile, overlap_pixels(manifest.tile, share))
    module = bundle.module.to(chosen).eval()
    probabilities, _ = stitch(
        lambda w: inputs[w.moved(outer.row, outer.col)],
        runner(module, chosen, flips=flips, pairs=direction_pairs(manifest.layers)),
        (outer.height, outer.width),
        outputs=len(manifest.classes),
        tile=manifest.tile,
        overlap=share,
        blend=blend,
        batch=batch,
        progress=progress,
    )
    temperature = manifest.temperature if calibrated else 1.0
    result = as_prediction(
        probabilities[(slice(None), *target.within(outer).slices)],
        geobox[target.slices],
        manifest.classes,
        temperature=temperature,
    )
    result.attrs = {
        "device": str(chosen),
        "tile": manifest.tile,
        "overlap": share,
        "blend": blend,
        "flips": int(flips),
        "temperature": temperature,
        "seconds": round(time.perf_counter() - started, 2),
        "model": manifest.title,
        "weights_sha256": manifest.weights_sha256,
        "scene": str(scene.attrs.get("id", "")),
        "datetime": str(scene.attrs.get("datetime", "")),
        "synthetic": int(bool(scene.attrs.get("synthetic")) or manifest.synthetic),
    }
    if manifest.optional_families:
        result.attrs["missing_families"] = list(inputs.missing)
        known = result["classes"].values != NODATA
        result.attrs["filled_pixels"] = inputs.filled(target, known)
    return result


def _context(window: Window, shape: tuple[int, int], tile: int, margin: int) -> Window:
    # The model should see as much round a small window as it saw in training.
    height, width = shape
    if not (
        0 <= window.row < window.row + window.height <= height
        and 0 <= window.col < window.col + window.width <= width
    ):
        raise GridError("the window is not inside the scene", window, f"The scene is {shape}.")
    grow = max(margin, (tile - min(window.height, window.width) + 1) // 2)
    return window.expand(grow, shape)


def as_prediction(
    probabilities: NDArray[np.float32],
    geobox: GeoBox,
    classes: Sequence[str],
    *,
    temperature: float = 1.0,
) -> xr.Dataset:
    """Return classes, probabilities and confidence from probabilities ``(class, y, x)``.

    Probabilities and confidence are brought to `temperature` (`cryonet.calibrate.temper`).
    """
    known = np.isfinite(probabilities).all(axis=0)
    # The classes come first: rounding may make two tempered probabilities equal.
    codes = np.where(known, probabilities.argmax(axis=0), NODATA).astype(np.uint8)
    probabilities = temper(probabilities, temperature)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(probabilities > 0, probabilities * np.log(probabilities), 0).sum(axis=0)
    confidence = np.where(known, 1 - entropy / np.log(len(classes)), np.nan).astype(np.float32)
    layers = {
        "classes": wrap_xr(codes, geobox, nodata=NODATA),
        "confidence": wrap_xr(confidence, geobox),
        "probabilities": wrap_xr(
            probabilities, geobox, axis=1, dims=("class", "y", "x")
        ).assign_coords({"class": list(classes)}),
    }
    return xr.Dataset(layers)
