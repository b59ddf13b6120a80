"""Extra outputs: what a network gives beyond the classes, in training only."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class FirstOutputs(nn.Module):
    """A network that shows its first `count` outputs only."""

    def __init__(self, network: nn.Module, count: int) -> None:
        super().__init__()
        self.network = network
        self.count = count

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(batch, class, y, x)``."""
        outputs: Tensor = self.network(image)
        return outputs[:, : self.count]


def first_outputs(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights `state` with the filters cut off that `wanted` has no place for.

    Both belong to one architecture, built for more and for fewer outputs: they differ in
    the first dimension of the layers that make the outputs. Those are convolutions, which
    make every output on its own, so the others stay what they were.
    """
    return {
        name: state[name][: tensor.shape[0]] if tensor.ndim else state[name]
        for name, tensor in wanted.items()
    }
