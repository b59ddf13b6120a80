"""What the validation blocks tell of a model: its scores, and its temperature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import nn

from cryonet.augment import direction_pairs
from cryonet.calibrate import calibrate, labelled
from cryonet.chips import VALIDATION
from cryonet.classes import NODATA
from cryonet.config import TrainConfig
from cryonet.grid import Window
from cryonet.manifest import Calibration
from cryonet.metrics import class_scores, confusion, macro_iou
from cryonet.runner import Runner
from cryonet.stitch import Run, stitch
from cryonet.trainset import TrainScene, TrainSet

_NOTHING = np.empty((0, 0, 0), np.float32)


def validate(
    module: nn.Module,
    data: TrainSet,
    config: TrainConfig,
    *,
    device: torch.device,
    fabric: Fabric | None = None,
) -> dict[str, float]:
    """Return IoU by class and macro IoU over the validation pixels of all scenes.

    The processes of a `fabric` share the scenes out and add up their counts of pixels: the
    figures are the same in each, and those of one process alone.
    """
    classes = len(config.classes)
    matrix = np.zeros((classes, classes), np.int64)
    mine = data.scenes if fabric is None else data.scenes[fabric.global_rank :: fabric.world_size]
    for probabilities, truth in _validation_maps(module, data, mine, config, device):
        known = np.isfinite(probabilities).all(axis=0)
        codes = np.where(known, probabilities.argmax(axis=0), NODATA)
        matrix += confusion(codes, truth, classes)
    if fabric is not None:
        counts = torch.from_numpy(matrix).to(fabric.device)
        total = fabric.all_reduce(counts, reduce_op="sum")
        assert isinstance(total, torch.Tensor)
        matrix = total.cpu().numpy()
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
    # Of a scene the labelled pixels alone are kept: maps of many scenes would be large.
    found = _validation_maps(module, data, data.scenes, config, device)
    maps = [labelled(shares, truth) for shares, truth in found]
    return calibrate([shares for shares, _ in maps], [truth for _, truth in maps])


def _validation_maps(
    module: nn.Module,
    data: TrainSet,
    scenes: Sequence[TrainScene],
    config: TrainConfig,
    device: torch.device,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """Yield each scene's probabilities, NaN off its validation pixels, and its labels."""
    run = Runner(module, device, pairs=direction_pairs(data.specs))
    for scene in scenes:
        yield _validation_map(scene, run, config), scene.labels


def _validation_map(scene: TrainScene, run: Run, config: TrainConfig) -> NDArray[np.float32]:
    wanted = (scene.splits == VALIDATION) & scene.valid

    def read(window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        known = wanted[window.slices]
        # Windows without a validation pixel need neither run nor be read.
        values = scene.inputs[(slice(None), *window.slices)] if known.any() else _NOTHING
        return values, known

    probabilities, _ = stitch(
        read,
        run,
        scene.labels.shape,
        outputs=len(config.classes),
        tile=config.tile,
        overlap=config.overlap,
        batch=config.batch,
    )
    return probabilities
