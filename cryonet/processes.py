"""The processes of a training run: how they are started, and how they stop together."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType

import torch
import torch.distributed
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from cryonet.config import TrainConfig
from cryonet.errors import ConfigError
from cryonet.progress import SILENT, Cancelled, Progress

#: How long a process waits for another before it gives up. Layers may be written in it.
PATIENCE = timedelta(minutes=60)


def make_fabric(config: TrainConfig) -> Fabric:
    """Return the Fabric of a run, not launched.

    Raises
    ------
    ConfigError
        If this machine cannot do what is asked for; nothing is done in its place.
    """
    gpus = torch.cuda.device_count() if config.accelerator != "cpu" else 0
    if config.accelerator == "cuda" and not gpus:
        raise ConfigError("there is no CUDA device", "accelerator = 'cuda'", "Give cpu or auto.")
    if gpus and config.devices > gpus:
        raise ConfigError(
            "there are too few GPUs", f"devices = {config.devices}", f"Found: {gpus}."
        )
    if config.precision == "16-mixed" and not gpus:
        rule = "Half precision needs a GPU: give bf16-mixed or 32-true."
        raise ConfigError("the CPU cannot train in this precision", config.precision, rule)
    if config.precision == "bf16-mixed" and gpus and not torch.cuda.is_bf16_supported():
        rule = "Give 16-mixed or 32-true."
        raise ConfigError("the GPU cannot train in this precision", config.precision, rule)
    several = DDPStrategy(
        timeout=PATIENCE,
        # smp's U-Net++ holds an attention at its last stage that it never calls.
        find_unused_parameters=True,
        # Each process keeps the statistics of its own share; they are averaged for use.
        broadcast_buffers=False,
    )
    return Fabric(
        accelerator=config.accelerator,
        devices=config.devices,
        precision=config.precision,
        strategy=several if config.devices > 1 else "auto",
    )


class Together:
    """Progress of several processes: the first reports, and all stop at the same step.

    One process alone is stopped at once, by whatever `progress` raises or by Ctrl-C. Of
    several each takes note, and after every step they tell one another: one that left
    alone would keep the others waiting.
    """

    def __init__(self, fabric: Fabric, progress: Progress) -> None:
        self._several = fabric.world_size > 1
        self._progress = progress if fabric.is_global_zero else SILENT
        self._asked = False
        # On the CPU whatever the device: to ask a GPU would make the step wait for it.
        self._group = (
            torch.distributed.new_group(backend="gloo", timeout=PATIENCE) if self._several else None
        )

    def step(self, done: int, total: int, message: str = "") -> None:
        """Report a step that every process has finished; raise `Cancelled` in all or none."""
        if not self._several:
            self._progress.step(done, total, message)
            return
        try:
            self._progress.step(done, total, message)
        except (Cancelled, KeyboardInterrupt):
            self._asked = True
        asked = torch.tensor(int(self._asked))
        torch.distributed.all_reduce(asked, group=self._group)
        if asked:
            raise Cancelled("the run was stopped")

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Take note of Ctrl-C until the step is done, where there are several processes."""
        if not self._several or threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: FrameType | None) -> None:
            self._asked = True

        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
