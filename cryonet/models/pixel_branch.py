"""The pixel branch: a small network that sees each pixel alone, added to another's logits.

The first stage of every encoder halves the image, so a segmentation network by itself
smooths what is one pixel wide; a class that hangs on a pixel's own brightness needs the
branch. It is our choice and no part of any paper's network.
"""

from __future__ import annotations

from torch import Tensor, nn


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
