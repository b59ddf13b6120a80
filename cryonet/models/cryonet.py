"""CryoNet: a U-Net++ with scSE attention."""

from __future__ import annotations

from torch import nn

from cryonet.model_config import ModelConfig
from cryonet.models.torchvision_schemas import import_smp


def cryonet(config: ModelConfig, layers: int, classes: int) -> nn.Module:
    """Return an untrained CryoNet for `layers` input layers and `classes` classes.

    An encoder and a decoder joined by nested skip connections, with concurrent spatial and
    channel squeeze-and-excitation in the decoder, after the abstract of Barzegar et al.
    (2026), whose encoder is ResNet101. Decoder widths are our choice.

    References
    ----------
    Zhou et al. (2018), UNet++; Roy et al. (2018), scSE; Barzegar et al. (2026),
    arXiv 2605.21527.
    """
    network: nn.Module = import_smp().UnetPlusPlus(
        encoder_name=config.encoder,
        encoder_depth=len(config.decoder_channels),
        encoder_weights=None,
        decoder_channels=config.decoder_channels,
        decoder_attention_type="scse",
        in_channels=layers,
        classes=classes,
    )
    return network
