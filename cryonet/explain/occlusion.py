"""Occlusion: what the evidence loses when a layer or a family is put to the baseline."""

from __future__ import annotations

import numpy as np

from cryonet.explain.task import Answer, Task


def layer_occlusion(task: Task) -> Answer:
    """Put each layer to the baseline by itself.

    Totals by family are sums over their layers. What several layers tell alike counts little
    there: each is missed by itself, and the others still tell it.
    """
    found, evaluations = _losses(task, task.layers)
    by_layer, by_family = task.totals(np.array([found[name] for name in task.layers]))
    return Answer(by_layer, by_family, attrs={"evaluations": evaluations})


def family_occlusion(task: Task) -> Answer:
    """Put each family to the baseline as a whole; answers for families only."""
    found, evaluations = _losses(task, task.families)
    return Answer({}, found, attrs={"evaluations": evaluations})


def _losses(task: Task, names: tuple[str, ...]) -> tuple[dict[str, float], int]:
    members = task.members(names)
    keep = ~np.array([np.zeros(len(task.layers), bool), *members.values()])
    values = task.values(keep, "occlusion")
    found = dict.fromkeys(names, 0.0)
    found |= {name: float(values[0] - v) for name, v in zip(members, values[1:], strict=True)}
    return found, len(keep)
