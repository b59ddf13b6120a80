"""Attribution: what each layer adds to the evidence, pixel by pixel or as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import xarray as xr

from cryonet.explain.question import Question


@dataclass(frozen=True, slots=True)
class Attribution:
    """An answer to a `Question`, in log-odds.

    Attributes
    ----------
    question
        What was asked.
    method, baseline
        Names from the tables `METHODS` and `BASELINES`.
    layers, families
        Names of the input layers in order, and of the family of each.
    by_layer
        Signed totals by layer; empty if the method answers for families only.
    by_family
        Signed totals by family, in the order in which families first come.
    maps
        ``(layer, y, x)`` float32 on the window's grid, with coordinate ``layer``; None if the
        method gives totals only.
    value, base
        The evidence of the inputs, and of the baseline.
    seconds
        How long it took.
    attrs
        Settings, and whatever else is worth telling: steps, evaluations, missing families.
    """

    question: Question
    method: str
    baseline: str
    layers: tuple[str, ...]
    families: tuple[str, ...]
    by_layer: dict[str, float]
    by_family: dict[str, float]
    maps: xr.DataArray | None
    value: float
    base: float
    seconds: float
    attrs: dict[str, Any] = field(default_factory=dict)

    @property
    def difference(self) -> float:
        """The evidence of the inputs less that of the baseline: what is to be shared out."""
        return self.value - self.base

    @property
    def gap(self) -> float:
        """Completeness: by how much the totals miss the difference, as a share of it.

        ``|sum - difference| / |difference|``; NaN if the difference is 0.
        """
        if self.difference == 0:
            return float("nan")
        return abs(sum(self.by_family.values()) - self.difference) / abs(self.difference)
