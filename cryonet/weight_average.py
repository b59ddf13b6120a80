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
        Whose weights are averaged; the first update takes them as they are. On its device
        already: its tensors are looked up once, as walking the modules at every step would
        cost more than the average itself.
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
        pairs = list(zip(_tensors(self.module), _tensors(network), strict=True))
        self._means = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Take the network's present weights into the average."""
        seen = self._updates
        weight = 1 - min(self._decay, (1 + seen) / (10 + seen)) if seen else 1.0
        # All tensors at once: one call each would cost a small network much of its time.
        kept, current = zip(*self._means, strict=True)
        torch._foreach_lerp_(kept, current, weight)
        for old, new in self._counts:
            old.copy_(new)
        self._updates += 1


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
