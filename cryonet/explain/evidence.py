"""Evidence: the number of a network that a question asks about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cryonet.errors import ConfigError
from cryonet.explain.question import Question
from cryonet.models.forest import Forest
from cryonet.models.thresholds import Thresholds

#: Probabilities of pixel models are 0 and 1 at times; as evidence they count as this much and
#: one less it, our choice: log-odds of ±9.2.
LEAST = 1e-4


def has_gradient(network: nn.Module) -> bool:
    """Return whether a network's outputs change smoothly: a forest's and thresholds' do not."""
    return not isinstance(network, Forest | Thresholds)


def class_code(name: str, classes: Sequence[str]) -> int:
    """Return the code of a class.

    Raises
    ------
    ConfigError
        If the model has no such class.
    """
    if name not in classes:
        raise ConfigError("the model has no such class", name, f"It has {', '.join(classes)}.")
    return list(classes).index(name)


class Evidence(nn.Module):
    """A network and a question, as a function from inputs to one number each.

    The log-odds of a class with logits z are ``z_c − ln Σ_{k≠c} exp z_k``; of one class
    against another ``z_c − z_k``. They are weighted by the question's weights and added, in
    double precision, so that differences of them keep their digits.

    Parameters
    ----------
    network
        From ``(batch, layer, y, x)`` to logits ``(batch, class, y, x)``.
    question
        With weights on the window that is put in.
    classes
        Names of the classes, by code.

    Raises
    ------
    ConfigError
        If the network lacks a class of the question, or both are the same.
    """

    places: Tensor
    weights: Tensor

    def __init__(self, network: nn.Module, question: Question, classes: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.target = class_code(question.target, classes)
        self.against = class_code(question.against, classes) if question.against else None
        if self.against == self.target:
            rule = "Give two classes, or one against all others."
            raise ConfigError("a class is held against itself", question.target, rule)
        rows, cols = np.nonzero(question.weights)
        self.register_buffer("places", torch.from_numpy(np.stack([rows, cols])))
        self.register_buffer("weights", torch.from_numpy(question.weights[rows, cols]))
        self._clips = not has_gradient(network)

    def forward(self, image: Tensor) -> Tensor:
        """Return the evidence ``(batch,)``, float64, of inputs ``(batch, layer, y, x)``."""
        logits = self.network(image.contiguous(memory_format=torch.channels_last))
        rows, cols = self.places
        found = logits[:, :, rows, cols].double()
        if self._clips:
            # Here log(p) and log(1 − p): both ends are held off from infinity.
            shares = found.softmax(dim=1).clamp(LEAST, 1 - LEAST)
            mine = shares[:, self.target]
            other = 1 - mine if self.against is None else shares[:, self.against]
            odds = mine.log() - other.log()
        elif self.against is None:
            rest = [code for code in range(found.shape[1]) if code != self.target]
            odds = found[:, self.target] - found[:, rest].logsumexp(dim=1)
        else:
            odds = found[:, self.target] - found[:, self.against]
        total: Tensor = (odds * self.weights).sum(dim=1)
        return total
