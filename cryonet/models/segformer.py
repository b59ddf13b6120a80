"""SegFormer: a decoder of linear layers over features of all scales."""

from __future__ import annotations

from torch import nn

from cryonet.model_config import ModelConfig
from cryonet.models.torchvision_schemas import import_smp


def segformer(config: ModelConfig, layers: int, classes: int) -> nn.Module:
    """Return an untrained SegFormer for `layers` input layers and `classes` classes.

    The paper's encoders are ``mit_b0`` to ``mit_b5``, transformers without position codes,
    which take windows of any size; convolutional encoders work too. Logits are made at a
    quarter of the image's side and enlarged bilinearly. The one width in
    `config.decoder_channels` is that of the decoder; the paper's are 256 (b0, b1) and 768.

    References
    ----------
    Xie et al. (2021), SegFormer, arXiv 2105.15203.
    """
    network: nn.Module = import_smp().Segformer(
        encoder_name=config.encoder,
        encoder_weights=None,
        decoder_segmentation_channels=config.decoder_channels[0],
        in_channels=layers,
        classes=classes,
    )
    return network
