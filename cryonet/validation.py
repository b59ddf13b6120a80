"""What the validation blocks tell of a model: its scores, and its temperature."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cryonet.augment import direction_pairs
from cryonet.calibrate import calibrate
from cryonet.chips import VALIDATION
from cryonet.classes import NODATA
from cryonet.config import TrainConfig
from cryonet.manifest import Calibration
from cryonet.metrics import class_scores, confusion, macro_iou
from cryonet.predict import runner
from cryonet.stitch import Run, stitch
from cryonet.trainset import TrainScene, TrainSet


def validate(
    module: nn.Module, data: TrainSet, config: TrainConfig, *, device: torch.device
) -> dict[str, float]:
    """Return IoU by class and macro IoU over the validation pixels of all scenes."""
    classes = len(config.classes)
    matrix = np.zeros((classes, classes), np.int64)
    for probabilities, truth in _validation_maps(module, data, config, device):
        known = np.isfinite(probabilities).all(axis=0)
        codes = np.where(known, probabilities.argmax(axis=0), NODATA)
        matrix += confusion(codes, truth, classes)
    iou = class_scores(matrix)["iou"]
    figures = {f"iou_{name}": float(iou[code]) for code, name in enumerate(config.classes)}
    figures["macro_iou"] = macro_iou(matrix)
    return figures


def calibrate_on_validation(
    module: nn.Module, data: TrainSet, config: TrainConfig, *, device: torch.device
) -> Calibration | None:
    """Return the calibration on the labelled validation pixels of all scenes, if there are any.

    Windows and blending are those of prediction, without flips.
    """
    maps = list(_validation_maps(module, data, config, device))
    return calibrate([shares for shares, _ in maps], [truth for _, truth in maps])


def _validation_maps(
    module: nn.Module, data: TrainSet, config: TrainConfig, device: torch.device
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """Yield each scene's probabilities, NaN off its validation pixels, and its labels."""
    run = runner(module.to(device).eval(), device, pairs=direction_pairs(data.specs))
    for scene in data.scenes:
        yield _validation_map(scene, run, config), scene.labels


def _validation_map(scene: TrainScene, run: Run, config: TrainConfig) -> NDArray[np.float32]:
    wanted = (scene.splits == VALIDATION) & scene.valid
    # Windows without a validation pixel need not run: they pass for empty ones.
    probabilities, _ = stitch(
        lambda w: (scene.inputs[(slice(None), *w.slices)], wanted[w.slices]),
        run,
        scene.labels.shape,
        outputs=len(config.classes),
        tile=config.tile,
        overlap=config.overlap,
        batch=config.batch,
    )
    return probabilities
