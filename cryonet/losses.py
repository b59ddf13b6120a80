"""Losses for training, by name, all of them blind to ignored pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from cryonet.classes import NODATA
from cryonet.errors import ConfigError
from cryonet.models.torchvision_schemas import import_smp

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy over labelled pixels; 0 where there is none.

    Parameters
    ----------
    logits
        Tensor ``(batch, class, y, x)``.
    labels
        Class codes ``(batch, y, x)``, int64; 255 is ignored.
    """
    total = F.cross_entropy(logits, labels, ignore_index=NODATA, reduction="sum")
    return total / (labels != NODATA).sum().clamp(min=1)


def ce_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Return cross-entropy plus Dice loss, of equal weight, over labelled pixels.

    References
    ----------
    Milletari et al. (2016), V-Net, for the Dice loss.
    """
    dice = import_smp().losses.DiceLoss("multiclass", from_logits=True, ignore_index=NODATA)
    value: Tensor = cross_entropy(logits, labels) + dice(logits, labels)
    return value


LOSSES: Mapping[str, Loss] = {"ce_dice": ce_dice, "cross_entropy": cross_entropy}


def pick_loss(name: str) -> Loss:
    """Return the loss called `name`, or raise a ConfigError that lists the known ones."""
    if name not in LOSSES:
        raise ConfigError("the loss is unknown", name, f"Known are: {', '.join(LOSSES)}.")
    return LOSSES[name]
