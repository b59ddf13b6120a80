"""Train a model: a plain loop on Lightning Fabric."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import xarray as xr
from lightning_fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel

from cryonet.bundle import Bundle
from cryonet.config import TrainConfig
from cryonet.losses import EXTRA_OUTPUTS, pick_loss
from cryonet.models import build_model
from cryonet.models.extra_outputs import FirstOutputs, first_outputs
from cryonet.models.pretrained import Start, start_encoder
from cryonet.progress import SILENT, Cancelled, Progress
from cryonet.trained_bundle import trained_bundle, with_calibration
from cryonet.trainset import TrainSet, draw_batch, make_trainset
from cryonet.validation import validate

PACKAGES = ("torch", "numpy", "segmentation-models-pytorch", "timm", "lightning-fabric")

#: Told after every epoch: its number, and its figures by name.
Log = Callable[[int, dict[str, float]], None]


@dataclass
class _Best:
    """The best weights so far, what they started from, and what is said of them."""

    start: Start | None = None
    score: float = -math.inf
    epoch: int = 0
    state: dict[str, torch.Tensor] = field(default_factory=dict)
    metrics: dict[str, float | None] = field(default_factory=dict)


def train(
    scenes: Sequence[xr.Dataset],
    config: TrainConfig,
    *,
    on_best: Callable[[Bundle], object] | None = None,
    log: Log | None = None,
    progress: Progress = SILENT,
) -> Bundle:
    """Return the bundle of the epoch with the highest mean IoU on the validation blocks.

    Its probabilities are calibrated on the validation blocks as well, at the end.

    Parameters
    ----------
    scenes
        Labelled scenes in memory, all with the layers of `config.features`.
    on_best
        Given a bundle whenever validation improves, to keep it, uncalibrated as yet.
    log
        Given the figures of each epoch.
    progress
        Told of every step. If it raises `Cancelled`, or Ctrl-C is pressed, the best bundle
        so far is returned, marked as interrupted.

    Raises
    ------
    Cancelled
        If training is stopped before the first validation.
    ConfigError, SceneError
        If the scenes do not fit the configuration.
    """
    started = time.perf_counter()
    if config.threads:
        torch.set_num_threads(config.threads)
    fabric = Fabric(
        accelerator=config.accelerator,
        devices=config.devices,
        precision=config.precision,
        # smp's U-Net++ holds an attention at its last stage that it never calls.
        strategy="ddp_find_unused_parameters_true" if config.devices > 1 else "auto",
    )
    fabric.launch()
    data = make_trainset(scenes, config)
    network, start = _start(data, config)
    best = _Best(start=start)

    def bundle(*, interrupted: bool) -> Bundle:
        module = build_model(config.model, layers=len(data.specs), classes=len(config.classes))
        module.load_state_dict(first_outputs(best.state, module.state_dict()))
        return trained_bundle(
            module,
            data,
            config,
            start=best.start,
            metrics={"validation": best.metrics},
            epochs=(best.epoch, config.epochs),
            device=str(fabric.device),
            seconds=time.perf_counter() - started,
            packages=PACKAGES,
            interrupted=interrupted,
        )

    interrupted = False
    try:
        with _own_randomness(fabric, config.seed):
            for epoch in _epochs(fabric, network, data, config, best, log, progress):
                if best.epoch == epoch and on_best is not None and fabric.is_global_zero:
                    on_best(bundle(interrupted=False))
    except (KeyboardInterrupt, Cancelled) as stop:
        if not best.state:
            raise Cancelled("stopped before the first validation") from stop
        interrupted = True
    return with_calibration(bundle(interrupted=interrupted), data, config, device=fabric.device)


def _start(data: TrainSet, config: TrainConfig) -> tuple[nn.Module, Start | None]:
    """Return the network before training, and what its encoder started from."""
    outputs = len(config.classes) + EXTRA_OUTPUTS.get(config.loss, 0)
    network = build_model(config.model, layers=len(data.specs), classes=outputs, seed=config.seed)
    names = [spec.name for spec in data.specs]
    start = start_encoder(network, config.pretrained, model=config.model, layers=names)
    return network, start


@contextlib.contextmanager
def _own_randomness(fabric: Fabric, seed: int) -> Iterator[None]:
    """Draw dropout and stochastic depth from the seed; leave torch's generators as they were."""
    devices = [fabric.device] if fabric.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        # Each process sees other chips and drops other units.
        torch.manual_seed(seed + fabric.global_rank)
        yield


def _epochs(
    fabric: Fabric,
    network: nn.Module,
    data: TrainSet,
    config: TrainConfig,
    best: _Best,
    log: Log | None,
    progress: Progress,
) -> Any:
    """Train, validate and keep the best; yield the number of each finished epoch."""
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    total = config.epochs * config.steps_per_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: learning_rate_factor(step, total, config.warmup_share)
    )
    average = AveragedModel(
        network, multi_avg_fn=_average(config.weight_average), use_buffers=True
    ).to(fabric.device)
    model, prepared = fabric.setup(network, optimiser)
    loss_of = pick_loss(config.loss)
    # One stream of chips for all processes: each takes its own share of every batch.
    generator = np.random.default_rng([config.seed, 1])
    done = 0
    for epoch in range(1, config.epochs + 1):
        model.train()
        losses = []
        for _ in range(config.steps_per_epoch):
            images, labels = draw_batch(
                data, config, config.batch * fabric.world_size, generator=generator
            )
            mine = slice(fabric.global_rank, None, fabric.world_size)
            images = images[mine].to(fabric.device, memory_format=torch.channels_last)
            loss = loss_of(model(images).float(), labels[mine].to(fabric.device))
            fabric.backward(loss)
            fabric.clip_gradients(model, prepared, max_norm=config.clip_norm)
            prepared.step()
            prepared.zero_grad()
            schedule.step()
            average.update_parameters(network)
            losses.append(float(loss.detach()))
            done += 1
            progress.step(done, total, f"epoch {epoch}, loss {np.mean(losses):.3f}")
        shown = FirstOutputs(average.module, len(config.classes))
        figures = validate(shown, data, config, device=fabric.device)
        figures["loss"] = float(np.mean(losses))
        figures["learning_rate"] = float(schedule.get_last_lr()[0])
        _keep(best, epoch, figures, average.module)
        if log is not None and fabric.is_global_zero:
            log(epoch, figures)
        yield epoch


def learning_rate_factor(step: int, total: int, warmup_share: float) -> float:
    """Return the factor on the peak learning rate: linear warm-up, then a cosine to zero."""
    warmup = max(1, round(total * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def _average(decay: float) -> Callable[[Any, Any, Any], None]:
    @torch.no_grad()
    def update(averaged: Any, current: Any, count: Any) -> None:
        # Young averages forget faster, or the random start would linger in them.
        seen = float(count)
        weight = 1 - min(decay, (1 + seen) / (10 + seen))
        for old, new in zip(averaged, current, strict=True):
            if old.is_floating_point():
                old.lerp_(new, weight)
            else:
                old.copy_(new)

    return update


def _keep(best: _Best, epoch: int, figures: dict[str, float], module: nn.Module) -> None:
    if not figures["macro_iou"] > best.score:
        return
    best.score, best.epoch = figures["macro_iou"], epoch
    best.state = {k: v.detach().cpu().clone() for k, v in module.state_dict().items()}
    best.metrics = {k: v if math.isfinite(v) else None for k, v in figures.items()}
