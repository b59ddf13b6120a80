"""Baselines: a random forest and thresholds of single pixels, trained and packed as bundles.

They see what a network sees (the same layers, splits, chips and balance) and go the same way
through prediction, scores and calibration, so that what a network adds can be told.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from cryonet.bundle import Bundle
from cryonet.chips import TRAIN
from cryonet.classes import NODATA
from cryonet.config import TrainConfig
from cryonet.errors import ConfigError
from cryonet.layers import build_stack
from cryonet.model_config import ForestConfig, ThresholdConfig
from cryonet.models.forest import Forest, forest_of
from cryonet.models.thresholds import Thresholds
from cryonet.normalise import LayerStatistics, normalise
from cryonet.progress import SILENT, Progress
from cryonet.trained_bundle import trained_bundle, with_calibration
from cryonet.trainset import TrainSet, make_trainset
from cryonet.validation import validate

PACKAGES = ("torch", "numpy", "scikit-learn")

#: Trees that are grown between two words of progress.
_TREES = 10

#: Thresholds that are tried, of each layer, our choice. Ratios lie 2 % apart: snow has 30 and
#: more where short-wave reflectance is near zero.
GRIDS: Mapping[str, NDArray[np.float64]] = {
    "band_ratio": np.geomspace(1, 50, 199),
    "ndsi": np.linspace(0, 0.99, 100),
    "blue": np.linspace(0, 0.8, 81),
    "ndwi": np.linspace(-0.2, 0.99, 120),
}

#: Layers in their own units: nothing is clipped that a threshold could tell apart.
_PLAIN = LayerStatistics(mean=0, std=1, low=-1e6, high=1e6, fill=0)

#: A threshold that no index reaches: the class is not mapped.
_NEVER = 1e9


def train_baseline(
    scenes: Sequence[xr.Dataset], config: TrainConfig, *, progress: Progress = SILENT
) -> Bundle:
    """Return a forest or thresholds, fitted to training pixels and calibrated, as a bundle.

    The configuration in the manifest is `config.settled()`: windows do not overlap, as a
    pixel's class does not depend on them, and thresholds have their own layers. All is done on
    the CPU.

    Parameters
    ----------
    scenes
        Labelled scenes in memory.
    config
        With a `ForestConfig` or `ThresholdConfig` as its model.
    progress
        Told of the trees.

    Raises
    ------
    Cancelled
        From `progress`; nothing is kept.
    ConfigError, SceneError, LayerError
        If the scenes do not fit the configuration.
    """
    started = time.perf_counter()
    fitted = config.settled()
    data = make_trainset(scenes, fitted)
    metrics: dict[str, dict[str, float | None]] = {}
    module: Forest | Thresholds
    if isinstance(config.model, ForestConfig):
        module = _grow(data, fitted, config.model, progress)
    elif isinstance(config.model, ThresholdConfig):
        data = _in_own_units(data, scenes)
        module, metrics["thresholds"] = _fit_thresholds(data, config.model, len(config.classes))
    else:
        raise ConfigError("the model is no baseline", config.model.title, "Use cryonet.train.")
    device = torch.device("cpu")
    figures = validate(module, data, fitted, device=device)
    metrics["validation"] = {k: v if np.isfinite(v) else None for k, v in figures.items()}
    bundle = trained_bundle(
        module,
        data,
        fitted,
        metrics=metrics,
        epochs=(1, 1),
        device="cpu",
        seconds=time.perf_counter() - started,
        packages=PACKAGES,
    )
    return with_calibration(bundle, data, fitted, device=device)


def draw_pixels(
    data: TrainSet, count: int, *, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return training pixels: inputs ``(pixel, layer)`` and class codes ``(pixel,)``.

    For each pixel a chip is drawn with the chance it has in the training of a network, then one
    of its labelled training pixels, with replacement.
    """
    inputs, codes = [], []
    chips = generator.multinomial(count, data.weights)
    for chip, wanted in zip(data.chips, chips, strict=True):
        if wanted == 0:
            continue
        scene, here = data.scene(chip), chip.window.slices
        mine = (scene.splits[here] == TRAIN) & scene.valid[here] & (scene.labels[here] != NODATA)
        picks = generator.choice(np.flatnonzero(mine), size=wanted)
        part = scene.inputs[(slice(None), *here)]
        inputs.append(part.reshape(len(part), -1)[:, picks].T)
        codes.append(scene.labels[here].ravel()[picks])
    return np.concatenate(inputs), np.concatenate(codes)


def _grow(data: TrainSet, config: TrainConfig, model: ForestConfig, progress: Progress) -> Forest:
    from sklearn.ensemble import RandomForestClassifier

    generator = np.random.default_rng([config.seed, 1])
    inputs, codes = draw_pixels(data, model.samples, generator=generator)
    grown = RandomForestClassifier(
        n_estimators=0,
        max_leaf_nodes=model.leaves,
        min_samples_leaf=model.leaf_pixels,
        n_jobs=max(1, config.threads),
        random_state=config.seed,
        warm_start=True,
    )
    for done in range(0, model.trees, _TREES):
        progress.step(done, model.trees, "trees")
        grown.set_params(n_estimators=min(done + _TREES, model.trees)).fit(inputs, codes)
    progress.step(model.trees, model.trees, "trees")
    return forest_of(grown, model, classes=len(config.classes))


def _in_own_units(data: TrainSet, scenes: Sequence[xr.Dataset]) -> TrainSet:
    statistics = (_PLAIN,) * len(data.specs)
    ready = []
    for part, scene in zip(data.scenes, scenes, strict=True):
        stack = build_stack(scene, [spec.name for spec in data.specs])
        values = np.stack([stack[spec.name].values for spec in data.specs])
        ready.append(replace(part, inputs=normalise(values, statistics)[0]))
    return replace(data, scenes=tuple(ready), statistics=statistics)


def _fit_thresholds(
    data: TrainSet, model: ThresholdConfig, classes: int
) -> tuple[Thresholds, dict[str, float | None]]:
    """Return the thresholds with the highest IoU of lakes, then of clean ice outside them."""
    masks = [(s.splits == TRAIN) & s.valid & (s.labels != NODATA) for s in data.scenes]
    values = np.concatenate(
        [np.asarray(s.inputs)[:, mine] for s, mine in zip(data.scenes, masks, strict=True)], axis=1
    )
    codes = np.concatenate([s.labels[mine] for s, mine in zip(data.scenes, masks, strict=True)])
    if not (codes == 1).any():
        rule = "Give scenes with some, or a larger training split."
        raise ConfigError("no training pixel is clean ice", f"{codes.size:,} pixels", rule)
    dry = np.ones(codes.shape, bool)
    found: dict[str, float] = {}
    if len(values) == 3:
        # Without one labelled lake there is nothing to fit: then none is mapped.
        water = best_thresholds(values[2:], codes == 3, ["ndwi"])[0] if 3 in codes else _NEVER
        found["ndwi"], dry = water, values[2] < np.float32(water)
    ice = best_thresholds(np.where(dry, values[:2], -np.inf), codes == 1, [model.index, "blue"])
    found |= {model.index: ice[0], "blue": ice[1]}
    module = Thresholds(model, len(values), classes)
    for tensor, name in (("ice", model.index), ("blue", "blue"), ("water", "ndwi")):
        if name in found:
            getattr(module, tensor).fill_(found[name])
    return module, {spec.name: found[spec.name] for spec in data.specs}


def best_thresholds(
    values: NDArray[np.floating], wanted: NDArray[np.bool_], names: Sequence[str]
) -> tuple[float, ...]:
    """Return the thresholds of `GRIDS` at which pixels not below any have the highest IoU.

    Of equal ones the lowest. All combinations are counted in one pass: a pixel passes every
    combination up to the highest it reaches.

    Parameters
    ----------
    values
        ``(layer, pixel)``, compared as float32.
    wanted
        Whether a pixel is of the class ``(pixel,)``.
    names
        The layers, rows of `GRIDS`.
    """
    grids = [GRIDS[name].astype(np.float32) for name in names]
    rows = zip(grids, values, strict=True)
    reach = [np.searchsorted(g, v.astype(np.float32), side="right") for g, v in rows]
    shape = tuple(len(grid) + 1 for grid in grids)
    place = np.ravel_multi_index(tuple(reach), shape)
    hits = np.bincount(place[wanted], minlength=int(np.prod(shape))).reshape(shape)
    passed = np.bincount(place, minlength=int(np.prod(shape))).reshape(shape)
    for axis in range(len(shape)):
        hits, passed = (
            np.flip(np.flip(n, axis).cumsum(axis), axis).take(range(1, shape[axis]), axis)
            for n in (hits, passed)
        )
    iou = hits / (passed + wanted.sum() - hits)
    best = np.unravel_index(int(iou.argmax()), iou.shape)
    return tuple(float(grid[i]) for grid, i in zip(grids, best, strict=True))
