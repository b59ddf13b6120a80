"""A trained network with the record of its training and its calibration: a bundle."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cryonet.augment import optional_families
from cryonet.bundle import Bundle, weights_bytes
from cryonet.config import TrainConfig
from cryonet.manifest import (
    LayerEntry,
    Manifest,
    PretrainedRecord,
    StartRecord,
    ThroughputRecord,
    TrainingRecord,
)
from cryonet.models import parameter_count
from cryonet.models.pretrained import Start
from cryonet.trainset import TrainSet
from cryonet.validation import calibrate_on_validation


def trained_bundle(
    module: nn.Module,
    data: TrainSet,
    config: TrainConfig,
    *,
    start: Start | None = None,
    origin: StartRecord | None = None,
    metrics: Mapping[str, Mapping[str, float | None]],
    epochs: tuple[int, int],
    device: str,
    seconds: float,
    packages: Sequence[str],
    throughput: ThroughputRecord | None = None,
    interrupted: bool = False,
) -> Bundle:
    """Return the bundle of a network, uncalibrated.

    Parameters
    ----------
    start
        What its encoder started from, if not from random weights.
    origin
        The bundle that all its weights started from, if there was one.
    metrics
        Figures by name, for each split.
    epochs
        The epoch whose weights these are, and how many there were to be.
    device, seconds
        Where it was trained, and for how long.
    packages
        Names of the packages whose versions are recorded.
    throughput
        How fast it saw chips, up to now.
    """
    entries = [LayerEntry.of(s, f) for s, f in zip(data.specs, data.statistics, strict=True)]
    training = TrainingRecord(
        config=_recorded(config) if data.drawn else {**_recorded(config), "split": "given"},
        pretrained=PretrainedRecord(**asdict(start)) if start else None,
        start=origin,
        seed=config.seed,
        scenes=tuple(scene.record for scene in data.scenes),
        epoch=epochs[0],
        epochs=epochs[1],
        interrupted=interrupted,
        seconds=round(seconds, 1),
        device=device,
        versions={name: importlib.metadata.version(name) for name in packages},
        metrics={split: dict(figures) for split, figures in metrics.items()},
        throughput=throughput,
    )
    manifest = Manifest(
        title=config.title,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=config.model,
        layers=tuple(entries),
        fits=data.fits,
        classes=config.classes,
        optional_families=optional_families(data.specs, config.augment),
        resolution=data.scenes[0].resolution,
        tile=config.tile,
        overlap=config.overlap,
        parameters=parameter_count(module),
        weights_sha256=hashlib.sha256(weights_bytes(module)).hexdigest(),
        training=training,
    )
    return Bundle(module.eval(), manifest)


def _recorded(config: TrainConfig) -> dict[str, Any]:
    """Return the configuration without the places of files, which differ between machines."""
    record = config.model_dump(mode="json", exclude={"scenes", "out", "cache"})
    if config.pretrained.file:
        record["pretrained"]["source"] = config.pretrained.file.name
    if config.start.bundle:
        record["start"]["bundle"] = Path(config.start.bundle).name
    return record


def with_calibration(
    bundle: Bundle, data: TrainSet, config: TrainConfig, *, device: torch.device
) -> Bundle:
    """Return `bundle` with the temperature of its validation blocks, if they have labels."""
    found = calibrate_on_validation(bundle.module, data, config, device=device)
    manifest = bundle.manifest.model_copy(update={"calibration": found})
    return Bundle(bundle.module.cpu().eval(), manifest)
