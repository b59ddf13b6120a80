"""Toy pretrained encoders, and networks that start from them."""

from __future__ import annotations

import torch

from cryonet.config import ModelConfig, PretrainedConfig
from cryonet.models import build_model
from cryonet.models.pretrained import start_encoder
from cryonet.models.torchvision_schemas import import_smp

RGB = ("red", "green", "blue")
LAYERS = ("slope", "blue", "ndsi", "red", "coherence", "green")


def encoder_of(name="resnet18", *, bands=3, seed=11):
    """A toy pretrained encoder: random, with norms that have seen something."""
    torch.manual_seed(seed)
    encoder = import_smp().encoders.get_encoder(name, in_channels=bands, weights=None)
    for _ in range(2):
        encoder.train()(torch.randn(4, bands, 64, 64) + 0.5)
    return encoder.eval()


def started(file, *, layers=LAYERS, model=None, **changes):
    model = model or ModelConfig(
        architecture="unet", encoder="resnet18", decoder_channels=(16, 16, 16, 16, 16)
    )
    network = build_model(model, layers=len(layers), classes=3, seed=2)
    config = PretrainedConfig(source=str(file), **changes)
    return network.eval(), start_encoder(network, config, model=model, layers=layers)
