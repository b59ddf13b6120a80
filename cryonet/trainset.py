"""What a training run learns from: normalised stacks, split labels, chips to draw."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from cryonet.augment import DIHEDRALS, brighten, direction_pairs, turn
from cryonet.chips import TEST, TRAIN, Chip, chip_weights, make_chips, split_map
from cryonet.classes import CLASSES, NODATA
from cryonet.config import TrainConfig
from cryonet.errors import ConfigError, SceneError
from cryonet.grid import Window, geobox_of
from cryonet.layers import Fits, build_stack, fit_layers, select_layers
from cryonet.layers.fits import FIT_NAMES, fits_of
from cryonet.layers.spec import LayerSpec
from cryonet.manifest import SceneRecord
from cryonet.normalise import LayerStatistics, fit_statistics, normalise

#: Families made of reflectance: haze and light change them all, ratios included.
SPECTRAL = ("optical", "indices", "pca", "tasseled_cap")


@dataclass(frozen=True, slots=True)
class TrainScene:
    """One scene, ready: inputs ``(layer, y, x)``, labels, valid mask and split codes."""

    record: SceneRecord
    inputs: NDArray[np.float32]
    labels: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    splits: NDArray[np.uint8]
    resolution: float


@dataclass(frozen=True, slots=True)
class TrainSet:
    """All scenes with the layers, what they learned, the training chips and their weights."""

    scenes: tuple[TrainScene, ...]
    specs: tuple[LayerSpec, ...]
    fits: Fits
    statistics: tuple[LayerStatistics, ...]
    chips: tuple[Chip, ...]
    weights: NDArray[np.float64]

    def scene(self, chip: Chip) -> TrainScene:
        """Return the scene a chip lies in."""
        return next(s for s in self.scenes if s.record.id == chip.scene)


def scene_record(scene: xr.Dataset) -> SceneRecord:
    """Return the scene's id with a hash over its names, arrays and grid."""
    digest = hashlib.sha256()
    for name in sorted(str(n) for n in scene.data_vars):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(scene[name].values).tobytes())
    digest.update(repr(geobox_of(scene)).encode())
    return SceneRecord(
        id=str(scene.attrs.get("id", "scene")),
        sha256=digest.hexdigest(),
        synthetic=bool(scene.attrs.get("synthetic", False)),
    )


def make_trainset(scenes: Sequence[xr.Dataset], config: TrainConfig) -> TrainSet:
    """Return the training set of some labelled scenes.

    Splits are drawn from the seed; fits come from the pixels of the training split, and
    statistics from those of them in training chips, and from nothing else.

    Raises
    ------
    ConfigError
        If scenes differ in resolution or layers, share an id, a class of the labels is not
        among `config.classes`, or there is no training chip.
    SceneError
        If a scene has no labels.
    """
    chosen = _common_layers(scenes, config)
    truths = [_labels(scene, config) for scene in scenes]
    maps = [
        split_map(truth.shape, config.split, generator=np.random.default_rng([config.seed, index]))
        for index, truth in enumerate(truths)
    ]
    fits = fit_layers(scenes, masks=[codes == TRAIN for codes in maps], names=fits_of(chosen))
    raw, chips, parts = [], [], []
    for scene, labels, splits in zip(scenes, truths, maps, strict=True):
        stack = build_stack(scene, [spec.name for spec in chosen], fits=fits)
        raw.append(np.stack([stack[spec.name].values for spec in chosen]))
        record = scene_record(scene)
        valid = np.isfinite(raw[-1]).all(axis=0)
        found = make_chips(
            np.where(valid, labels, NODATA).astype(np.uint8),
            splits,
            scene=record.id,
            split="train",
            size=config.chip,
            stride=config.stride,
            classes=len(config.classes),
        )
        chips += found
        parts.append((record, labels, splits, found))
    _check_ids([record for record, *_ in parts])
    if not chips:
        raise ConfigError(
            "there is no training chip", f"chip {config.chip}", "Give smaller chips or gaps."
        )
    statistics = fit_statistics(
        [
            np.concatenate([raw[i][c][_train_mask(p[2], p[3])] for i, p in enumerate(parts)])
            for c in range(len(chosen))
        ],
        chosen,
    )
    ready = []
    for scene, values, (record, labels, splits, _) in zip(scenes, raw, parts, strict=True):
        inputs, valid = normalise(values, statistics)
        cell = abs(geobox_of(scene).resolution.x)
        ready.append(TrainScene(record, inputs, labels, valid, splits, cell))
    return TrainSet(
        tuple(ready),
        tuple(chosen),
        fits,
        tuple(statistics),
        tuple(chips),
        chip_weights(chips, balance=config.balance),
    )


def _common_layers(scenes: Sequence[xr.Dataset], config: TrainConfig) -> list[LayerSpec]:
    chosen, _ = select_layers(scenes[0], config.features.stack, fits=FIT_NAMES)
    cells = {round(abs(geobox_of(scene).resolution.x), 6) for scene in scenes}
    if len(cells) > 1:
        raise ConfigError("the scenes differ in resolution", sorted(cells), "Bring them to one.")
    for scene in scenes[1:]:
        here, _ = select_layers(scene, config.features.stack, fits=FIT_NAMES)
        differ = {s.name for s in chosen} ^ {s.name for s in here}
        if differ:
            raise ConfigError(
                "the scenes differ in layers",
                sorted(differ),
                "Name the layers that all scenes have.",
            )
    return chosen


def _labels(scene: xr.Dataset, config: TrainConfig) -> NDArray[np.uint8]:
    name = scene.attrs.get("id", "scene")
    if "labels" not in scene:
        raise SceneError("the scene has no labels", name, "Training needs them.")
    order = [c.name for c in CLASSES]
    if list(config.classes) != order[: len(config.classes)]:
        raise ConfigError(
            "the classes are not in order", list(config.classes), f"They start {order}."
        )
    labels = np.asarray(scene["labels"].values)
    surplus = np.setdiff1d(np.unique(labels), [*range(len(config.classes)), NODATA])
    if surplus.size:
        names = [order[int(c)] if c < len(order) else int(c) for c in surplus]
        raise ConfigError(
            f"labels of {name} hold classes the model lacks", names, "Add them to classes."
        )
    return labels


def _check_ids(records: Sequence[SceneRecord]) -> None:
    ids = [record.id for record in records]
    if len(set(ids)) < len(ids):
        raise ConfigError("two scenes have one id", ids, "Give each scene its own id.")


def _train_mask(splits: NDArray[np.uint8], chips: Sequence[Chip]) -> NDArray[np.bool_]:
    covered = np.zeros(splits.shape, bool)
    for chip in chips:
        covered[chip.window.slices] = True
    mask: NDArray[np.bool_] = covered & (splits == TRAIN)
    return mask


def draw_batch(
    data: TrainSet, config: TrainConfig, count: int, *, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return `count` random chips: inputs ``(batch, layer, y, x)`` and labels.

    Labels of pixels that belong to another split, or where a layer is missing, are 255.
    """
    pairs = direction_pairs(data.specs)
    spectral = np.array([spec.family in SPECTRAL for spec in data.specs])
    images, targets = [], []
    for pick in generator.choice(len(data.chips), size=count, p=data.weights):
        chip = data.chips[int(pick)]
        image, label = _cut(data.scene(chip), chip.window, config, generator)
        if config.augment.dihedral:
            dihedral = DIHEDRALS[int(generator.integers(len(DIHEDRALS)))]
            image, label = turn(image, dihedral, pairs), turn(label[None], dihedral)[0]
        image = brighten(
            image,
            spectral,
            gain=config.augment.gain,
            shift=config.augment.shift,
            generator=generator,
        )
        images.append(image)
        targets.append(label)
    return torch.stack(images), torch.stack(targets)


def _cut(
    scene: TrainScene, window: Window, config: TrainConfig, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Cut one chip out, at a scale drawn from `config.augment.zoom`."""
    where = window
    if config.augment.zoom:
        side = round(window.height * math.exp(generator.uniform(-1, 1) * config.augment.zoom))
        where = _zoomed(scene, window, side, generator)
    rows_cols = where.slices
    image = torch.from_numpy(scene.inputs[(slice(None), *rows_cols)])
    mine = (scene.splits[rows_cols] == TRAIN) & scene.valid[rows_cols]
    label = torch.from_numpy(np.where(mine, scene.labels[rows_cols], NODATA).astype(np.int64))
    if where.height != window.height or where.width != window.width:
        size = (window.height, window.width)
        image = F.interpolate(image[None], size, mode="bilinear", align_corners=False)[0]
        shown = label[None, None].float()
        label = F.interpolate(shown, size, mode="nearest-exact")[0, 0].long()
    return image, label


def _zoomed(scene: TrainScene, window: Window, side: int, generator: np.random.Generator) -> Window:
    """Return a square of `side` inside `window`, or round it when larger.

    A larger one that would leave the scene or show a test pixel is not taken.
    """
    row, col = (
        int(start + generator.integers(min(0, length - side), max(0, length - side) + 1))
        for start, length in ((window.row, window.height), (window.col, window.width))
    )
    height, width = scene.labels.shape
    if row < 0 or col < 0 or row + side > height or col + side > width:
        return window
    found = Window(row, col, side, side)
    return window if (scene.splits[found.slices] == TEST).any() else found
