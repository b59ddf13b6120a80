"""What a training run learns from: normalised layers, split labels, training chips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cryonet.bundle import Bundle
from cryonet.chips import TRAIN, Chip, chip_weights, make_chips, split_map
from cryonet.classes import CLASSES, NODATA
from cryonet.config import TrainConfig
from cryonet.errors import ConfigError, SceneError
from cryonet.grid import geobox_of
from cryonet.layers import Fits, fit_layers, select_layers
from cryonet.layers.fits import FIT_NAMES, fits_of
from cryonet.layers.spec import LayerSpec
from cryonet.manifest import SceneRecord
from cryonet.normalise import LayerStatistics
from cryonet.scene_record import scene_record
from cryonet.training_layers import (
    INDEX,
    Inputs,
    Layers,
    Room,
    in_memory,
    inputs_key,
    normalise_layers,
    raw_layers,
    read_inputs,
    store_inputs,
)
from cryonet.warm_start import started


@dataclass(frozen=True, slots=True)
class TrainScene:
    """One scene, ready: inputs ``(layer, y, x)``, labels, valid mask and split codes.

    The inputs lie in memory or on disk, and are read by ``(slice(None), *window.slices)``.
    """

    record: SceneRecord
    inputs: Layers
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
    drawn: bool = True  # whether the splits were drawn after the configuration

    def scene(self, chip: Chip) -> TrainScene:
        """Return the scene a chip lies in."""
        return next(s for s in self.scenes if s.record.id == chip.scene)


def make_trainset(
    scenes: Sequence[xr.Dataset],
    config: TrainConfig,
    *,
    start: Bundle | None = None,
    splits: Sequence[NDArray[np.uint8]] | None = None,
    folder: Path | None = None,
) -> TrainSet:
    """Return the training set of some labelled scenes.

    Splits are drawn from the seed; fits come from the pixels of the training split, and
    statistics from those of them in training chips, and from nothing else.

    Parameters
    ----------
    scenes
        In memory or lazy. Whatever they are, labels, splits and validity stay in memory,
        three bytes a pixel.
    start
        A bundle whose layers, fits and statistics are taken instead; see
        `cryonet.warm_start.started`.
    splits
        Split codes ``(y, x)`` a scene, instead of those drawn.
    folder
        Where the normalised layers are to lie on disk, four bytes a layer and pixel, in a
        folder named by the hash of all they depend on: found there, they are not made
        again. None keeps them in memory. The values are the same.

    Raises
    ------
    ConfigError
        If scenes differ in resolution or layers, share an id, a class of the labels is not
        among `config.classes`, there is no training chip, or the start does not fit.
    SceneError
        If a scene has no labels, or the layers cannot be written.
    """
    chosen = _common_layers(scenes, config)
    truths = [_labels(scene, config) for scene in scenes]
    maps = _given(splits, truths) if splits else _drawn(truths, config)
    if start is not None:
        start, chosen = started(start, config, scenes, layers=chosen, splits=maps)
    parts = [
        _Part(scene, scene_record(scene), labels, splits)
        for scene, labels, splits in zip(scenes, truths, maps, strict=True)
    ]
    _check_ids([part.record for part in parts])
    if folder is None:
        inputs = _inputs(parts, chosen, config, start, in_memory)
    else:
        target = folder / _key(parts, chosen, config, start)
        if not (target / INDEX).is_file():
            shapes = [(len(chosen), *part.labels.shape) for part in parts]
            store_inputs(target, shapes, lambda room: _inputs(parts, chosen, config, start, room))
        inputs = read_inputs(target)
    chips = _chips(parts, inputs.valid, config)
    ready = [
        TrainScene(p.record, layers, p.labels, valid, p.splits, p.cell)
        for p, layers, valid in zip(parts, inputs.layers, inputs.valid, strict=True)
    ]
    return TrainSet(
        tuple(ready),
        tuple(chosen),
        inputs.fits,
        inputs.statistics,
        tuple(chain.from_iterable(chips)),
        chip_weights(list(chain.from_iterable(chips)), balance=config.balance),
        drawn=not splits,
    )


def _drawn(truths: Sequence[NDArray[np.uint8]], config: TrainConfig) -> list[NDArray[np.uint8]]:
    return [
        split_map(truth.shape, config.split, generator=np.random.default_rng([config.seed, index]))
        for index, truth in enumerate(truths)
    ]


def _key(
    parts: Sequence[_Part], chosen: Sequence[LayerSpec], config: TrainConfig, start: Bundle | None
) -> str:
    given = (start.manifest.fits, start.manifest.statistics) if start else None
    records, splits = [part.record for part in parts], [part.splits for part in parts]
    return inputs_key(records, chosen, config, splits=splits, given=given)


@dataclass(frozen=True, slots=True)
class _Part:
    """A scene before its layers are known."""

    scene: xr.Dataset
    record: SceneRecord
    labels: NDArray[np.uint8]
    splits: NDArray[np.uint8]

    @property
    def cell(self) -> float:
        return float(abs(geobox_of(self.scene).resolution.x))


def _inputs(
    parts: Sequence[_Part],
    chosen: Sequence[LayerSpec],
    config: TrainConfig,
    start: Bundle | None,
    room: Room,
) -> Inputs:
    scenes = [part.scene for part in parts]
    masks = [part.splits == TRAIN for part in parts]
    fits = start.manifest.fits if start else fit_layers(scenes, masks=masks, names=fits_of(chosen))
    layers, valid = raw_layers(scenes, chosen, fits, room=room)
    chips = _chips(parts, valid, config)
    seen = [_train_mask(part.splits, found) for part, found in zip(parts, chips, strict=True)]
    given = start.manifest.statistics if start else None
    statistics = normalise_layers(layers, seen, chosen, given=given)
    return Inputs(fits, tuple(statistics), tuple(layers), tuple(valid))


def _chips(
    parts: Sequence[_Part], valid: Sequence[NDArray[np.bool_]], config: TrainConfig
) -> list[list[Chip]]:
    """Return the training chips of each scene."""
    chips = [
        make_chips(
            np.where(known, part.labels, NODATA).astype(np.uint8),
            part.splits,
            scene=part.record.id,
            split="train",
            size=config.chip,
            stride=config.stride,
            classes=len(config.classes),
        )
        for part, known in zip(parts, valid, strict=True)
    ]
    if not any(chips):
        raise ConfigError(
            "there is no training chip", f"chip {config.chip}", "Give smaller chips or gaps."
        )
    return chips


def _given(
    splits: Sequence[NDArray[np.uint8]], truths: Sequence[NDArray[np.uint8]]
) -> list[NDArray[np.uint8]]:
    """Return split maps that were given, if they fit the scenes."""
    shapes, wanted = [codes.shape for codes in splits], [truth.shape for truth in truths]
    if shapes != wanted:
        raise ConfigError("the splits do not fit the scenes", shapes, f"They are {wanted}.")
    return list(splits)


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
