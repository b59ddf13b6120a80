"""Methods that follow the network's gradient: integrated gradients, gradient × input."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import torch
from torch import Tensor

from cryonet.explain.task import Answer, Task


def integrated_gradients(task: Task) -> Answer:
    """Integrate the gradient of the evidence from the baseline to the inputs.

    ``(x − b) · ∫₀¹ ∇F(b + α (x − b)) dα``, by Gauss–Legendre quadrature with `task.steps`
    nodes, as Captum's IntegratedGradients has it; here the nodes go through the network a
    few at a time, and only their sum is kept.

    References
    ----------
    Sundararajan et al. (2017), Axiomatic attribution for deep networks.
    """
    nodes, shares = np.polynomial.legendre.leggauss(task.steps)
    alphas = torch.from_numpy(0.5 * (1 + nodes)).float().to(task.image.device)
    weights = torch.from_numpy(0.5 * shares).float().to(task.image.device)
    apart = task.image - task.baseline
    total = torch.zeros_like(task.image[0])

    def run(part: slice) -> Tensor:
        place = task.baseline + alphas[part, None, None, None] * apart
        return (_slope(task, place) * weights[part, None, None, None]).sum(dim=0)

    with closing(task.over(task.steps, run, "integrated gradients")) as results:
        for _, slope in results:
            total += slope
    return _answer(task, total.mul_(apart[0]), {"steps": task.steps, "evaluations": task.steps})


def gradient_times_input(task: Task) -> Answer:
    """Multiply the gradient at the inputs by how far they are from the baseline.

    It is what integrated gradients is for a linear network, and its first glance for others.
    """
    task.progress.step(0, 1, "gradient x input")
    slope = _slope(task, task.image.clone())[0]
    task.progress.step(1, 1, "gradient x input")
    return _answer(task, slope * (task.image - task.baseline)[0], {"evaluations": 1})


def _slope(task: Task, place: Tensor) -> Tensor:
    with torch.enable_grad():
        place.requires_grad_()
        (slope,) = torch.autograd.grad(task.evidence(place).sum(), place)
    return slope


def _answer(task: Task, found: Tensor, attrs: dict[str, int]) -> Answer:
    maps = found.cpu().numpy()
    by_layer, by_family = task.totals(maps.sum(axis=(1, 2), dtype=np.float64))
    return Answer(by_layer, by_family, np.ascontiguousarray(maps), dict(attrs))
