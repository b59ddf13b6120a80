"""Losses for training, by name, all of them blind to ignored pixels.

Every loss takes logits ``(batch, class, y, x)`` and class codes ``(batch, y, x)``, int64,
where 255 is ignored. It gives 0 where nothing is labelled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cryonet.classes import NODATA
from cryonet.errors import ConfigError
from cryonet.models.torchvision_schemas import import_smp
from cryonet.signed_distance import signed_distances

Loss = Callable[[Tensor, Tensor], Tensor]

#: Distances beyond this count as this to the distance head, in pixels; our choice.
DISTANCE_LIMIT = 20.0


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy over labelled pixels."""
    total = F.cross_entropy(logits, labels, ignore_index=NODATA, reduction="sum")
    return total / _count(labels)


def ce_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Return cross-entropy plus Dice loss, of equal weight, over labelled pixels.

    References
    ----------
    Milletari et al. (2016), V-Net, for the Dice loss.
    """
    dice = import_smp().losses.DiceLoss("multiclass", from_logits=True, ignore_index=NODATA)
    value: Tensor = cross_entropy(logits, labels) + dice(logits, labels)
    return value


def focal(logits: Tensor, labels: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Return the mean focal loss over labelled pixels: −(1 − p)^γ log p.

    p is the probability of the true class. At γ = 0 it is the cross-entropy; other
    values should not be below 1, where the gradient at p = 1 is infinite. 2 is the paper's
    choice. Classes are not weighted.

    References
    ----------
    Lin et al. (2017), Focal loss for dense object detection, equation 4.
    """
    surprise = F.cross_entropy(logits, labels, ignore_index=NODATA, reduction="none")
    return (-torch.expm1(-surprise)).pow(gamma).mul(surprise).sum() / _count(labels)


def tversky(logits: Tensor, labels: Tensor, *, alpha: float = 0.3, beta: float = 0.7) -> Tensor:
    """Return the Tversky loss, the mean over classes; a class no pixel shows counts 0.

    `alpha` weighs false positives and `beta` false negatives; with 0.5 for both it is the
    Dice loss. The paper found 0.3 and 0.7 best: misses cost more than false alarms.

    References
    ----------
    Salehi et al. (2017), Tversky loss function for image segmentation.
    """
    loss = import_smp().losses.TverskyLoss(
        "multiclass", from_logits=True, ignore_index=NODATA, alpha=alpha, beta=beta
    )
    value: Tensor = loss(logits, labels)
    return value


def lovasz(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the Lovász-Softmax loss: the mean over the classes that are in the batch.

    It is a smooth extension of 1 − IoU, over all labelled pixels of the batch together.

    References
    ----------
    Berman et al. (2018), The Lovász-Softmax loss.
    """
    if not (labels != NODATA).any():
        return logits.sum() * 0
    value: Tensor = import_smp().losses.LovaszLoss("multiclass", ignore_index=NODATA)(
        logits, labels
    )
    return value


def boundary(logits: Tensor, labels: Tensor, *, weight: float = 0.01) -> Tensor:
    """Return cross-entropy plus Dice plus `weight` times the boundary loss.

    The boundary loss is the mean over labelled pixels of the sum over classes of φ (p − g),
    φ being the signed distance to the boundary of a class in pixels, p its probability and
    g whether it is the truth: an error costs the more the farther from the boundary it
    lies. The paper leaves g out, which shifts the loss by a constant; with it a perfect map
    costs 0. 0.01 is the weight that the paper begins with; we keep it. Distances are
    computed on the CPU, image by image: about half a second for 8 chips of 256 pixels.

    References
    ----------
    Kervadec et al. (2019), Boundary loss for highly unbalanced segmentation, MIDL,
    arXiv 1812.07032.
    """
    distances = _distances(logits, labels)
    surplus = logits.softmax(dim=1) - _one_hot(labels, logits.shape[1])
    term = (distances * surplus).sum() / _count(labels)
    return ce_dice(logits, labels) + weight * term


def distance_head(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return cross-entropy plus Dice plus the error of a predicted distance to the boundary.

    The last output is not a class: it is to be the distance of a pixel to the boundary of
    its own class, in units of 20 pixels and at most 1. What it misses by counts as
    smoothed absolute error (Huber's, with its bend at 1), a mean over the labelled pixels
    of images that show a boundary. The output serves training only and is cut off
    afterwards. Limit and weight are our choice.

    References
    ----------
    Bischke et al. (2019), Multi-task learning for segmentation of building footprints, for
    the idea of distance as a second task.
    """
    logits, predicted = outputs[:, :-1], outputs[:, -1]
    distances = _distances(logits, labels)
    own = -(distances * _one_hot(labels, logits.shape[1])).sum(dim=1)
    known = own > 0  # at least half a pixel where there is a boundary, else 0
    target = (own / DISTANCE_LIMIT).clamp(max=1)
    error = F.smooth_l1_loss(predicted, target, reduction="none")
    return ce_dice(logits, labels) + (error * known).sum() / known.sum().clamp(min=1)


LOSSES: Mapping[str, Loss] = {
    "ce_dice": ce_dice,
    "cross_entropy": cross_entropy,
    "focal": focal,
    "tversky": tversky,
    "lovasz": lovasz,
    "boundary": boundary,
    "distance_head": distance_head,
}

#: How many outputs beyond the classes a loss wants, in training only.
EXTRA_OUTPUTS: Mapping[str, int] = {"distance_head": 1}


def pick_loss(name: str) -> Loss:
    """Return the loss called `name`, or raise a ConfigError that lists the known ones."""
    if name not in LOSSES:
        raise ConfigError("the loss is unknown", name, f"Known are: {', '.join(LOSSES)}.")
    return LOSSES[name]


def _count(labels: Tensor) -> Tensor:
    return (labels != NODATA).sum().clamp(min=1)


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    """Return ``(batch, class, y, x)``: 1 at the class of each labelled pixel, else 0."""
    known = labels != NODATA
    spread = F.one_hot(labels.where(known, 0), classes).movedim(-1, 1)
    return spread * known[:, None]


def _distances(logits: Tensor, labels: Tensor) -> Tensor:
    maps = [signed_distances(image, logits.shape[1]) for image in labels.cpu().numpy()]
    return torch.from_numpy(np.stack(maps)).to(logits.device)
