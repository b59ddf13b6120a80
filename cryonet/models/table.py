"""The architectures by name, and how one is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from cryonet.errors import ConfigError
from cryonet.model_config import AnyModelConfig, ModelConfig
from cryonet.models.cryonet import cryonet
from cryonet.models.deeplabv3plus import deeplabv3plus
from cryonet.models.forest import Forest
from cryonet.models.padding import Padded
from cryonet.models.pixel_branch import Sum, pixel_branch
from cryonet.models.segformer import segformer
from cryonet.models.stochastic_depth import RatesOnCpu
from cryonet.models.thresholds import Thresholds
from cryonet.models.unet import unet

Build = Callable[[ModelConfig, int, int], nn.Module]

MODELS: Mapping[str, Build] = {
    "cryonet": cryonet,
    "unet": unet,
    "deeplabv3plus": deeplabv3plus,
    "segformer": segformer,
}

#: Baselines that see single pixels. They hold no parameters that gradients train, but tables.
PIXEL_MODELS: Mapping[str, Callable[[Any, int, int], nn.Module]] = {
    "forest": Forest,
    "threshold": Thresholds,
}

#: What libraries raise for an encoder that is unknown, or that the architecture cannot use.
_BUILD_ERRORS = (AssertionError, KeyError, RuntimeError, TypeError, ValueError)


def build_model(
    config: AnyModelConfig, *, layers: int, classes: int, seed: int | None = None
) -> nn.Module:
    """Return a network from ``(batch, layer, y, x)`` to logits ``(batch, class, y, x)``.

    Nothing is downloaded: weights are random, drawn with `seed` (torch's generator is left
    as it was). The network is tried once on a small window, unless it is on torch's device
    ``meta``: some encoders can be built but take windows of one size only. The tables of a
    baseline are empty, whatever the seed.

    Raises
    ------
    ConfigError
        If the architecture or the encoder is unknown, or the two do not go together, or
        thresholds are given other layers than theirs.
    """
    if not isinstance(config, ModelConfig):
        return PIXEL_MODELS[config.architecture](config, layers, classes)
    if config.architecture not in MODELS:
        known = ", ".join(MODELS)
        raise ConfigError("the architecture is unknown", config.architecture, f"Known: {known}.")
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        try:
            with RatesOnCpu():
                network = MODELS[config.architecture](config, layers, classes)
            if config.pixel_branch:
                network = Sum(network, pixel_branch(layers, config.pixel_branch, classes))
            _try(network, layers, classes)
        except _BUILD_ERRORS as error:
            raise ConfigError(
                "the network cannot be built",
                f"{config.architecture} with encoder {config.encoder}",
                f"segmentation-models-pytorch says: {error}.",
            ) from error
    return Padded(network)


def _try(network: nn.Module, layers: int, classes: int) -> None:
    # smp makes the first convolution on the CPU, whatever device is asked for.
    if any(weight.is_meta for weight in network.parameters()):
        return
    image = torch.zeros(1, layers, 32, 64)
    network.eval()
    with torch.no_grad():
        shape = tuple(network(image).shape)
    network.train()
    if shape != (1, classes, 32, 64):
        raise ValueError(f"a window of (32, 64) gives logits of shape {shape}")


def parameter_count(module: nn.Module) -> int:
    """Return the number of parameters of `module`."""
    return sum(parameter.numel() for parameter in module.parameters())
