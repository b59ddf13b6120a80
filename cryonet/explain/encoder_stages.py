"""Taps: the encoder stages of a network, made modules that Captum can look at."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from cryonet.errors import ConfigError


class _Tapped(nn.Module):
    """An encoder whose features go through a module each, which changes nothing."""

    def __init__(self, encoder: nn.Module, stages: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.taps = nn.ModuleList(nn.Identity() for _ in range(stages))

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            # Decoders ask encoders for their stride.
            return getattr(super().__getattr__("encoder"), name)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features of an image, stage by stage."""
        features = self.encoder(image)
        return [tap(feature) for tap, feature in zip(self.taps, features, strict=True)]


def tapped(network: nn.Module, *, layers: int, side: int) -> tuple[nn.Module, dict[str, nn.Module]]:
    """Return a network like the given one, and its encoder stages as modules, by name.

    The weights are shared and the given network stays as it is. A stage is named after its
    number and the share of the image's side that its features have: ``"encoder stage 3 (1/8)"``.
    Stage 0, the inputs themselves, is none, nor is one without features.

    Parameters
    ----------
    layers, side
        Of an image to try.

    Raises
    ------
    ConfigError
        If the network has no encoder with stages.
    """
    path = next((n for n, _ in network.named_modules() if n.split(".")[-1] == "encoder"), None)
    if path is None:
        raise ConfigError(
            "the network has no encoder stages",
            type(network).__name__,
            "Explain it by its input layers.",
        )
    encoder = network.get_submodule(path)
    weight = next(network.parameters())
    image = torch.zeros(1, layers, side, side, device=weight.device)
    with torch.inference_mode():
        features = encoder(image)
    made = _Tapped(encoder, len(features)).to(weight.device).eval()
    stages: dict[str, nn.Module] = {}
    for number, (feature, tap) in enumerate(zip(features, made.taps, strict=True)):
        if number and feature.numel():
            share = round(side / feature.shape[-1])
            stages[f"encoder stage {number} (1/{share})"] = tap
    return _replaced(network, path.split("."), made), stages


def _replaced(module: nn.Module, path: list[str], new: nn.Module) -> nn.Module:
    """Return a shallow copy of a module with another one at a path inside it."""
    if not path:
        return new
    found = copy.copy(module)
    own = module._modules
    child = own[path[0]]
    assert child is not None
    found._modules = {**own, path[0]: _replaced(child, path[1:], new)}
    return found
