"""The same network with random weights, for an explanation that must then come out otherwise."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn

from cryonet.bundle import Bundle
from cryonet.errors import ConfigError

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


def randomised(bundle: Bundle, *, seed: int, share: float = 1.0) -> Bundle:
    """Return a bundle whose network has forgotten what it learned, from its output upwards.

    Of the modules with weights, in the order in which the network names them, the last `share`
    get new ones: normal with variance 2 / fan-in (He et al. 2015), so that signals neither die
    nor explode; biases 0; normalisation 1, 0 and without running statistics. With growing
    shares it is the cascade of Adebayo et al. (2018), Sanity checks for saliency maps.

    Raises
    ------
    ConfigError
        If the share is out of range, or the model has no weights.
    """
    if not 0 < share <= 1:
        raise ConfigError("the share of random weights is out of range", share, "Give over 0 to 1.")
    module = copy.deepcopy(bundle.module)
    owners = [part for part in module.modules() if list(part.parameters(recurse=False))]
    if not owners:
        raise ConfigError(
            "the model has no weights to make random",
            bundle.manifest.model.architecture,
            "Leave this check out.",
        )
    generator = torch.Generator().manual_seed(seed)
    count = max(1, round(share * len(owners)))
    with torch.no_grad():
        for part in owners[len(owners) - count :]:
            _renew(part, generator)
    return replace(bundle, module=module.eval())


def _renew(part: nn.Module, generator: torch.Generator) -> None:
    if isinstance(part, _NORMS):
        part.reset_parameters()
        return
    for name, weights in part.named_parameters(recurse=False):
        if weights.ndim < 2:
            # A bias; anything else that is one number a channel scales, and keeps its size.
            weights.fill_(0.0 if "bias" in name else float(weights.mean()))
            continue
        fan_in = weights[0].numel()
        drawn = torch.randn(weights.shape, generator=generator) * (2 / fan_in) ** 0.5
        weights.copy_(drawn)
