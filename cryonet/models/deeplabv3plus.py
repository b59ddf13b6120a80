"""DeepLabV3+: a dilated encoder and pooling over several distances."""

from __future__ import annotations

from torch import nn

from cryonet.model_config import ModelConfig
from cryonet.models.torchvision_schemas import import_smp


def deeplabv3plus(config: ModelConfig, layers: int, classes: int) -> nn.Module:
    """Return an untrained DeepLabV3+ for `layers` input layers and `classes` classes.

    The last stage of the encoder is dilated instead of strided, so that its features stand
    at a sixteenth of the image's side; encoders that shrink by pooling cannot be and are
    refused by segmentation-models-pytorch. Dilated by 12, 24 and 36, the branches of the
    pyramid reach beyond a window of 256 pixels, where they see its edge. The one width in
    `config.decoder_channels` is that of the pyramid and the decoder; the paper's is 256.

    References
    ----------
    Chen et al. (2018), Encoder-decoder with atrous separable convolution, arXiv 1802.02611.
    """
    network: nn.Module = import_smp().DeepLabV3Plus(
        encoder_name=config.encoder,
        encoder_weights=None,
        decoder_channels=config.decoder_channels[0],
        in_channels=layers,
        classes=classes,
    )
    return network
