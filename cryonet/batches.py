"""The chips of a training run, in their order: drawn, cut, turned and brightened.

The k-th chip of a run is a function of the seed and of k alone, with everything that is
random about it. So a run sees the same chips whether they are cut by one process or by
several, at once or ahead in the background, from memory or from disk, and however many
batches make a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cryonet.augment import DIHEDRALS, brighten, direction_pairs, drop_families, turn
from cryonet.chips import TEST, TRAIN
from cryonet.classes import NODATA
from cryonet.config import TrainConfig
from cryonet.grid import Window
from cryonet.trainset import TrainScene, TrainSet

#: Inputs ``(batch, layer, y, x)``, float32, and labels ``(batch, y, x)``, int64.
Batch = tuple[Tensor, Tensor]

#: Families made of reflectance: haze and light change them all, ratios included.
SPECTRAL = ("optical", "indices", "pca", "tasseled_cap")


def batch_numbers(index: int, config: TrainConfig, *, rank: int, processes: int) -> range:
    """Return the numbers of the chips in one process's share of the run's batch `index`.

    A batch has `config.batch` chips for each process. The processes take turns.
    """
    size = config.batch * processes
    return range(index * size + rank, (index + 1) * size, processes)


def draw_batch(data: TrainSet, config: TrainConfig, numbers: Iterable[int]) -> Batch:
    """Return the chips of a run that have these numbers: inputs and labels.

    Labels of pixels that belong to another split, or where a layer is missing, are 255.
    """
    pairs = direction_pairs(data.specs)
    spectral = np.array([spec.family in SPECTRAL for spec in data.specs])
    reached = np.cumsum(data.weights)
    images, targets = [], []
    for number in numbers:
        # One more: a list that ends in 0 draws the same as one without it.
        generator = np.random.default_rng([config.seed, 1, number + 1])
        pick = np.searchsorted(reached, generator.random() * reached[-1], side="right")
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
        images.append(drop_families(image, data.specs, config.augment, generator=generator))
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
    image = torch.from_numpy(np.ascontiguousarray(scene.inputs[(slice(None), *rows_cols)]))
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
