"""WeightAverage: the exponential average of a network's weights while it is trained."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class WeightAverage:
    """An exponential average of parameters and buffers, kept as a network of its own.

    Parameters
    ----------
    network
        Whose weights are averaged; the first update takes them as they are.
    decay
        The share of the old average that stays in an update. Young averages keep less, at
        most (1 + n) / (10 + n) after n updates: the random start would linger in them.

    Attributes
    ----------
    module
        The network with the averaged weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(network)
        self._decay, self._updates = decay, 0
        self._network = network

    @torch.no_grad()
    def update(self) -> None:
        """Take the network's present weights into the average."""
        seen = self._updates
        weight = 1 - min(self._decay, (1 + seen) / (10 + seen)) if seen else 1.0
        old, new = _tensors(self.module), _tensors(self._network)
        means = [(o, n) for o, n in zip(old, new, strict=True) if o.is_floating_point()]
        # All tensors at once: one call each would cost a small network much of its time.
        torch._foreach_lerp_([o for o, _ in means], [n for _, n in means], weight)
        for kept, current in zip(old, new, strict=True):
            if not kept.is_floating_point():
                kept.copy_(current)
        self._updates += 1


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
