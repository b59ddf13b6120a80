"""Train a model: a plain loop on Lightning Fabric."""

from __future__ import annotations

import contextlib
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from cryonet.baselines import train_baseline
from cryonet.batches import Batch, batch_numbers, draw_batch
from cryonet.bundle import Bundle
from cryonet.config import TrainConfig
from cryonet.errors import ConfigError, CryonetError
from cryonet.learner import Learner
from cryonet.losses import EXTRA_OUTPUTS
from cryonet.manifest import ThroughputRecord
from cryonet.model_config import ModelConfig
from cryonet.models import build_model
from cryonet.models.extra_outputs import FirstOutputs, first_outputs
from cryonet.models.pretrained import Start, start_encoder
from cryonet.prefetch import Prefetch
from cryonet.processes import Together, make_fabric
from cryonet.progress import SILENT, Cancelled, Progress
from cryonet.throughput import Throughput
from cryonet.trained_bundle import trained_bundle, with_calibration
from cryonet.trainset import TrainSet, make_trainset
from cryonet.validation import validate
from cryonet.warm_start import load_start, start_record

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
    throughput: ThroughputRecord | None = None


def train(
    scenes: Sequence[xr.Dataset],
    config: TrainConfig,
    *,
    start: Bundle | None = None,
    splits: Sequence[NDArray[np.uint8]] | None = None,
    on_best: Callable[[Bundle], object] | None = None,
    log: Log | None = None,
    progress: Progress = SILENT,
) -> Bundle:
    """Return the bundle of the epoch with the highest mean IoU on the validation blocks.

    Of equal ones it is the latest.

    Its probabilities are calibrated on the validation blocks as well, at the end. A baseline
    has no epochs: see `cryonet.baselines.train_baseline`.

    Parameters
    ----------
    scenes
        Labelled scenes, all with the layers of `config.features`; lazy ones may be larger
        than memory where `config.memory` is ``disk``.
    start
        A bundle whose weights, layers and fits are taken over, and whose statistics unless
        ``config.start`` says otherwise. It counts as epoch 0: if no epoch does better on the
        validation blocks, its weights stay.
    splits
        Split codes ``(y, x)`` a scene, instead of those that ``config.split`` draws; the
        manifest then says ``given``.
    on_best
        Given a bundle whenever validation improves, to keep it, uncalibrated as yet.
    log
        Given the figures of each epoch, with its throughput.
    progress
        Told of every step, with the throughput of the epoch. If it raises `Cancelled`, or
        Ctrl-C is pressed, the best bundle so far is returned, marked as interrupted.

    With ``config.devices`` above 1 the script that calls this is run once more for each further
    process, by Fabric. All of them return the same weights; `on_best`, `log` and `progress`
    are called in the first one only, and only that one is to write: see `is_first_process`.

    Raises
    ------
    Cancelled
        If training is stopped before the first validation.
    CryonetError
        If the weights are no longer numbers.
    ConfigError, SceneError
        If the scenes do not fit the configuration.
    """
    if not isinstance(config.model, ModelConfig):
        return train_baseline(scenes, config, progress=progress)
    started = time.perf_counter()
    if config.start.bundle and start is None:
        rule = "Load it, and give it as start."
        raise ConfigError("the bundle to start from was not given", config.start.bundle, rule)
    fabric = make_fabric(config)
    fabric.launch()
    if config.threads:
        torch.set_num_threads(config.threads)
    with _layers_folder(fabric, config) as folder:
        # On disk layers are written once: the others wait for the first process.
        with fabric.rank_zero_first() if folder else contextlib.nullcontext():
            data = make_trainset(scenes, config, start=start, splits=splits, folder=folder)
        return _trained(fabric, data, config, start, on_best, log, progress, started)


def _trained(
    fabric: Fabric,
    data: TrainSet,
    config: TrainConfig,
    start: Bundle | None,
    on_best: Callable[[Bundle], object] | None,
    log: Log | None,
    progress: Progress,
    started: float,
) -> Bundle:
    network, encoder = _start(data, config, start)
    best = _Best(start=encoder)

    def bundle(*, interrupted: bool) -> Bundle:
        module = build_model(config.model, layers=len(data.specs), classes=len(config.classes))
        module.load_state_dict(first_outputs(best.state, module.state_dict()))
        return trained_bundle(
            module,
            data,
            config,
            start=best.start,
            origin=start_record(start, config) if start else None,
            metrics={"validation": best.metrics},
            epochs=(best.epoch, config.epochs),
            device=str(fabric.device),
            seconds=time.perf_counter() - started,
            packages=PACKAGES,
            throughput=best.throughput,
            interrupted=interrupted,
        )

    interrupted = False
    try:
        with _own_randomness(fabric, config.seed):
            if start is not None:
                shown = FirstOutputs(network, len(config.classes))
                before = validate(shown, data, config, device=fabric.device, fabric=fabric)
                _keep(best, 0, before, network, None)
            learner = Learner(fabric, network, config)
            epochs = _epochs(fabric, learner, data, config, best, log, progress)
            with contextlib.closing(epochs):
                for epoch in epochs:
                    if best.epoch == epoch and on_best is not None and fabric.is_global_zero:
                        on_best(bundle(interrupted=False))
    except (KeyboardInterrupt, Cancelled) as stop:
        if not best.state:
            raise Cancelled("stopped before the first validation") from stop
        interrupted = True
    return _calibrated(bundle(interrupted=interrupted), fabric, data, config)


def _calibrated(bundle: Bundle, fabric: Fabric, data: TrainSet, config: TrainConfig) -> Bundle:
    """Return the bundle with its calibration, which the first process finds for all."""
    if fabric.is_global_zero:
        bundle = with_calibration(bundle, data, config, device=fabric.device)
    found = fabric.broadcast(bundle.manifest.calibration)
    manifest = bundle.manifest.model_copy(update={"calibration": found})
    return Bundle(bundle.module.cpu().eval(), manifest)


@contextlib.contextmanager
def _layers_folder(fabric: Fabric, config: TrainConfig) -> Iterator[Path | None]:
    """Give the folder for normalised layers, the same in all processes; None for memory.

    One that was not named lies beside the output, and is removed at the end.
    """
    if config.memory == "ram":
        yield None
        return
    if config.cache is not None:
        yield config.cache
        return
    made = ""
    if fabric.is_global_zero:
        config.out.parent.mkdir(parents=True, exist_ok=True)
        made = tempfile.mkdtemp(prefix=f".{config.out.name}.layers.", dir=config.out.parent)
    try:
        yield Path(fabric.broadcast(made))
    finally:
        # Its own name alone: the others may not know it, and need not remove it.
        if made:
            shutil.rmtree(made, ignore_errors=True)


def _start(
    data: TrainSet, config: TrainConfig, given: Bundle | None
) -> tuple[nn.Module, Start | None]:
    """Return the network before training, and what its encoder started from."""
    assert isinstance(config.model, ModelConfig)  # baselines have their own training
    outputs = len(config.classes) + EXTRA_OUTPUTS.get(config.loss, 0)
    network = build_model(config.model, layers=len(data.specs), classes=outputs, seed=config.seed)
    if given is not None:
        load_start(network, given)
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
    learner: Learner,
    data: TrainSet,
    config: TrainConfig,
    best: _Best,
    log: Log | None,
    progress: Progress,
) -> Generator[int]:
    """Train, validate and keep the best; yield the number of each finished epoch."""
    together = Together(fabric, progress)
    pace = Throughput()

    def batch(index: int) -> Batch:
        numbers = batch_numbers(index, config, rank=fabric.global_rank, processes=fabric.world_size)
        images, labels = draw_batch(data, config, numbers)
        images = images.contiguous(memory_format=torch.channels_last)
        if fabric.device.type == "cuda":
            return images.pin_memory(), labels.pin_memory()
        return images, labels

    count = config.epochs * config.steps_per_epoch * config.accumulate
    with Prefetch(batch, count, ahead=config.prefetch) as batches, together.interruptible():
        for epoch in range(1, config.epochs + 1):
            here = Throughput()
            loss = run_steps(fabric, learner, batches, config, epoch, (here, pace), together)
            module = learner.averaged()
            _check_finite(module, config)
            shown = FirstOutputs(module, len(config.classes))
            figures = validate(shown, data, config, device=fabric.device, fabric=fabric)
            figures["loss"] = learner.mean_over_processes(loss)
            figures["learning_rate"] = learner.learning_rate
            _keep(best, epoch, figures, module, pace.record())
            if log is not None and fabric.is_global_zero:
                log(epoch, figures | here.record().model_dump())
            yield epoch


def run_steps(
    fabric: Fabric,
    learner: Learner,
    batches: Prefetch[Batch],
    config: TrainConfig,
    epoch: int,
    paces: tuple[Throughput, ...],
    together: Together,
) -> Tensor:
    """Do the steps of one epoch, counted by `paces`; return the mean of their losses."""
    learner.train()
    total = config.epochs * config.steps_per_epoch
    chips = config.batch * config.accumulate * fabric.world_size
    losses = torch.zeros((), device=fabric.device)
    shown, read = math.nan, -math.inf
    for pace in paces:
        pace.start()
    for step in range(1, config.steps_per_epoch + 1):
        before = batches.waited
        losses += learner.step(batches)
        # To read the loss is to wait for the GPU: once a second is enough to look at.
        if step == config.steps_per_epoch or time.perf_counter() - read > 1:
            shown, read = float(losses) / step, time.perf_counter()
        for pace in paces:
            pace.add(chips, chips * config.chip**2, waited=batches.waited - before)
        done = (epoch - 1) * config.steps_per_epoch + step
        together.step(done, total, f"epoch {epoch}, loss {shown:.3f}, {paces[0]}")
    return losses / config.steps_per_epoch


def _check_finite(module: nn.Module, config: TrainConfig) -> None:
    """Refuse to go on with weights that are no numbers."""
    if not all(bool(torch.isfinite(weights).all()) for weights in module.parameters()):
        raise CryonetError(
            "the training has diverged",
            f"learning_rate = {config.learning_rate:g}",
            "The weights are no longer numbers: give a lower rate, or another precision.",
        )


def _keep(
    best: _Best,
    epoch: int,
    figures: dict[str, float],
    module: nn.Module,
    throughput: ThroughputRecord | None = None,
) -> None:
    best.throughput = throughput
    score = figures["macro_iou"]
    # Of epochs that do equally well the later has learned more; a start stays until beaten.
    if not (score > best.score or (score == best.score and best.epoch > 0)):
        return
    best.score, best.epoch = score, epoch
    best.state = {k: v.detach().cpu().clone() for k, v in module.state_dict().items()}
    best.metrics = {k: v if math.isfinite(v) else None for k, v in figures.items()}
