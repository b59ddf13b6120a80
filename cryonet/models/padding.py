"""Padded: run a network on any image size by reflecting its edges."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Padded(nn.Module):
    """A network for sides divisible by `multiple`, made to take any side.

    The image is continued by reflection (by repetition where it is too small to reflect)
    to the right and below, and the output cut back.
    """

    def __init__(self, network: nn.Module, *, multiple: int = 32) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(batch, class, y, x)`` for an image ``(batch, layer, y, x)``."""
        height, width = image.shape[-2:]
        bottom, right = -height % self.multiple, -width % self.multiple
        if bottom or right:
            reflects = bottom < height and right < width
            mode = "reflect" if reflects else "replicate"
            image = F.pad(image, (0, right, 0, bottom), mode=mode)
        logits: Tensor = self.network(image)
        return logits[..., :height, :width]
