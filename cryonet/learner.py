"""Learner: a network with its optimiser, schedule and weight average, a step at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from cryonet.batches import Batch
from cryonet.config import TrainConfig
from cryonet.losses import pick_loss
from cryonet.weight_average import WeightAverage


class Learner:
    """Trains a network on batches, in one process or several.

    A step sees `config.accumulate` batches of `config.batch` chips in each process, and its
    gradient is the mean of theirs. For a network without batch statistics and a loss that is a
    mean over pixels, all of them labelled, this is the gradient of all the chips at once. Batch
    normalisation takes its statistics from each batch alone, in each process, and a loss that
    is no such mean (Dice, Lovász), or a mean over differing numbers of labelled pixels, is
    one of each batch: the mean of them is what is learned from.

    Parameters
    ----------
    fabric
        Launched.
    network
        With random or given weights; trained in place.
    """

    def __init__(self, fabric: Fabric, network: nn.Module, config: TrainConfig) -> None:
        self._fabric, self._config = fabric, config
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        total = config.epochs * config.steps_per_epoch
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: learning_rate_factor(step, total, config.warmup_share)
        )
        self._model, self._optimiser = fabric.setup(network, optimiser)
        self._average = WeightAverage(network, config.weight_average)
        self._loss = pick_loss(config.loss)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self._schedule.get_last_lr()[0])

    def train(self) -> None:
        """Bring the network into training mode."""
        self._model.train()

    def step(self, batches: Iterator[Batch]) -> Tensor:
        """Take the batches of one step and do it; return its loss, on the device.

        The loss is this process's, and a scalar that nobody has waited for.
        """
        count = self._config.accumulate
        total = torch.zeros((), device=self._fabric.device)
        for place in range(count):
            images, labels = (
                part.to(self._fabric.device, non_blocking=True) for part in next(batches)
            )
            # Processes exchange gradients once a step, with those of the last batch.
            with self._fabric.no_backward_sync(self._model, enabled=place < count - 1):
                loss = self._loss(self._model(images).float(), labels) / count
                self._fabric.backward(loss)
            total += loss.detach()
        # In half precision a gradient may overflow now and then: the scaler skips that step.
        self._fabric.clip_gradients(
            self._model,
            self._optimiser,
            max_norm=self._config.clip_norm,
            error_if_nonfinite=False,
        )
        self._optimiser.step()
        self._optimiser.zero_grad()
        self._schedule.step()
        self._average.update()
        return total

    def mean_over_processes(self, value: Tensor) -> float:
        """Return the mean of a scalar over the processes."""
        mean = self._fabric.all_reduce(value, reduce_op="mean")
        assert isinstance(mean, Tensor)
        return float(mean)

    def averaged(self) -> nn.Module:
        """Return the network with averaged weights, the same in all processes.

        The weights are the same anyway. The running statistics of batch normalisation are
        those of each process's chips: their mean over the processes takes their place.
        """
        module = self._average.module
        if self._fabric.world_size > 1:
            for buffer in module.buffers():
                if buffer.is_floating_point():
                    mean = self._fabric.all_reduce(buffer.clone(), reduce_op="mean")
                    assert isinstance(mean, Tensor)
                    buffer.copy_(mean)
        return module


def learning_rate_factor(step: int, total: int, warmup_share: float) -> float:
    """Return the factor on the peak learning rate: linear warm-up, then a cosine to zero."""
    warmup = max(1, round(total * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
