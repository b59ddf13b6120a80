"""CryoNet: a U-Net++ with scSE attention."""

from __future__ import annotations

from torch import Tensor, nn

from cryonet.config import ModelConfig
from cryonet.models.torchvision_schemas import import_smp


def cryonet(config: ModelConfig, layers: int, classes: int) -> nn.Module:
    """Return an untrained CryoNet for `layers` input layers and `classes` classes.

    An encoder and a decoder joined by nested skip connections, with concurrent spatial and
    channel squeeze-and-excitation in the decoder, after the abstract of Barzegar et al.
    (2026), whose encoder is ResNet101. Decoder widths are our choice.

    With `config.pixel_branch`, the logits of a small network that sees each pixel alone are
    added. The first stage of every encoder halves the image, so the U-Net++ by itself
    smooths what is one pixel wide; a class that hangs on a pixel's own brightness needs
    the branch. It is our choice and no part of the paper's network.

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
    if config.pixel_branch == 0:
        return network
    return Sum(network, pixel_branch(layers, config.pixel_branch, classes))


class Sum(nn.Module):
    """Two networks whose outputs are added."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, image: Tensor) -> Tensor:
        """Return the sum of both outputs."""
        total: Tensor = self.first(image) + self.second(image)
        return total


def pixel_branch(layers: int, width: int, classes: int) -> nn.Module:
    """Return a network of 1×1 convolutions: two hidden layers of `width`."""
    return nn.Sequential(
        nn.Conv2d(layers, width, 1),
        nn.ReLU(),
        nn.Conv2d(width, width, 1),
        nn.ReLU(),
        nn.Conv2d(width, classes, 1),
    )
