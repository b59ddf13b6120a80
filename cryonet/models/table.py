"""The architectures by name, and how one is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from cryonet.config import ModelConfig
from cryonet.errors import ConfigError
from cryonet.models.cryonet import cryonet
from cryonet.models.padding import Padded

Build = Callable[[ModelConfig, int, int], nn.Module]

MODELS: Mapping[str, Build] = {"cryonet": cryonet}


def build_model(
    config: ModelConfig, *, layers: int, classes: int, seed: int | None = None
) -> nn.Module:
    """Return a network from ``(batch, layer, y, x)`` to logits ``(batch, class, y, x)``.

    Nothing is downloaded: weights are random, drawn with `seed` (torch's generator is left
    as it was).

    Raises
    ------
    ConfigError
        If the architecture or the encoder is unknown.
    """
    if config.architecture not in MODELS:
        known = ", ".join(MODELS)
        raise ConfigError("the architecture is unknown", config.architecture, f"Known: {known}.")
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        try:
            network = MODELS[config.architecture](config, layers, classes)
        except (KeyError, RuntimeError, ValueError) as error:
            raise ConfigError(
                "the network cannot be built",
                f"{config.architecture} with encoder {config.encoder}",
                f"segmentation-models-pytorch says: {error}.",
            ) from error
    return Padded(network)


def parameter_count(module: nn.Module) -> int:
    """Return the number of parameters of `module`."""
    return sum(parameter.numel() for parameter in module.parameters())
