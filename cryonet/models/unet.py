"""U-Net, the baseline that most glacier mapping is held against."""

from __future__ import annotations

from torch import nn

from cryonet.model_config import ModelConfig
from cryonet.models.torchvision_schemas import import_smp


def unet(config: ModelConfig, layers: int, classes: int) -> nn.Module:
    """Return an untrained U-Net for `layers` input layers and `classes` classes.

    An encoder and a decoder joined by plain skip connections, without attention. Each of
    `config.decoder_channels` is the width of one stage of the decoder.

    References
    ----------
    Ronneberger et al. (2015), U-Net.
    """
    network: nn.Module = import_smp().Unet(
        encoder_name=config.encoder,
        encoder_depth=len(config.decoder_channels),
        encoder_weights=None,
        decoder_channels=config.decoder_channels,
        in_channels=layers,
        classes=classes,
    )
    return network
