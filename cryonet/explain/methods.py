"""The methods that explain by input layers, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cryonet.explain.gradients import gradient_times_input, integrated_gradients
from cryonet.explain.occlusion import family_occlusion, layer_occlusion
from cryonet.explain.shapley import family_shapley, layer_shapley
from cryonet.explain.task import Answer, Task


@dataclass(frozen=True, slots=True)
class Method:
    """How evidence is shared out over layers or families.

    Attributes
    ----------
    name, meaning
        What it is called, and what its numbers say.
    run
        Does it.
    gradient
        Whether it needs the network's gradient.
    maps
        Whether it answers pixel by pixel, and not in totals only.
    complete
        Whether its totals should add up to the difference from the baseline.
    steps
        Nodes or permutations by default; 0 if it has none.
    """

    name: str
    meaning: str
    run: Callable[[Task], Answer]
    gradient: bool = False
    maps: bool = False
    complete: bool = False
    steps: int = 0


_ROWS = (
    Method(
        "integrated gradients",
        "the gradient along the straight way from the baseline, added up: pixel by pixel, and "
        "in all what the evidence gains over the baseline",
        integrated_gradients,
        gradient=True,
        maps=True,
        complete=True,
        steps=50,
    ),
    Method(
        "gradient x input",
        "the gradient at the inputs times their distance from the baseline: a first glance",
        gradient_times_input,
        gradient=True,
        maps=True,
    ),
    Method(
        "layer occlusion",
        "what the evidence loses when a layer alone is put to the baseline",
        layer_occlusion,
    ),
    Method(
        "family occlusion",
        "what the evidence loses when a family as a whole is put to the baseline",
        family_occlusion,
    ),
    Method(
        "family shapley",
        "the gain over the baseline, shared out fairly over families, over all their orders",
        family_shapley,
        complete=True,
        steps=32,
    ),
    Method(
        "layer shapley",
        "the gain over the baseline, shared out fairly over layers, over some of their orders",
        layer_shapley,
        complete=True,
        steps=16,
    ),
)

#: Methods by name.
METHODS: Mapping[str, Method] = MappingProxyType({row.name: row for row in _ROWS})
