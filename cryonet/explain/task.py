"""Task: what every method is given, and the answer it gives back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryonet.explain.evidence import Evidence
from cryonet.progress import SILENT, Progress
from cryonet.side_by_side import run_in_order

T = TypeVar("T")

#: Pixels that a thread runs a network on at once, unless a window is larger. Our choice.
PIXELS_AT_ONCE = 2**17


@dataclass(frozen=True, slots=True)
class Answer:
    """What a method found, in log-odds.

    Attributes
    ----------
    maps
        ``(layer, y, x)`` float32, or None.
    by_layer, by_family
        Signed totals.
    attrs
        How it was done.
    """

    by_layer: dict[str, float]
    by_family: dict[str, float]
    maps: NDArray[np.float32] | None = None
    attrs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """Inputs, baseline, and the evidence between which they are compared.

    Attributes
    ----------
    evidence
        From inputs ``(batch, layer, y, x)`` to a number each.
    image, baseline
        ``(1, layer, y, x)`` float32 on the device of the network.
    layers, families
        Names of the layers, and of the family of each.
    steps
        Of the path of integrated gradients, or permutations of a sampled method.
    seed
        Of what is drawn.
    batch
        Images that a thread puts through the network at once; None for as many as
        `PIXELS_AT_ONCE` holds.
    """

    evidence: Evidence
    image: Tensor
    baseline: Tensor
    layers: tuple[str, ...]
    families: tuple[str, ...]
    steps: int = 0
    seed: int = 0
    batch: int | None = None
    progress: Progress = SILENT

    @property
    def at_once(self) -> int:
        """How many images a thread puts through the network at once, at most."""
        pixels = self.image.shape[-2] * self.image.shape[-1]
        return self.batch or max(1, PIXELS_AT_ONCE // pixels)

    def over(
        self, count: int, run: Callable[[slice], T], message: str
    ) -> Generator[tuple[slice, T]]:
        """Yield batches of `count` images in order, and what `run` gives for each.

        On CPUs each thread runs batches of its own. To be closed if it is not used up.
        """
        workers = 1
        if self.image.device.type == "cpu":
            workers = max(1, min(torch.get_num_threads(), count))
        size = max(1, min(self.at_once, -(-count // workers)))
        parts = [slice(n, min(n + size, count)) for n in range(0, count, size)]
        self.progress.step(0, count, message)
        results = run_in_order(parts.__getitem__, run, len(parts), ahead=0, workers=workers)
        with closing(results):
            for part, result in zip(parts, results, strict=True):
                yield part, result
                self.progress.step(part.stop, count, message)

    def members(self, names: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
        """Return for each name, of a layer or family each, which layers it holds.

        Those whose inputs are the baseline everywhere, as missing ones are, are left out:
        they explain nothing, exactly.
        """
        changed = (self.image != self.baseline).flatten(2).any(dim=2)[0].cpu().numpy()
        every = {name: np.array([name == own for own in names]) for name in dict.fromkeys(names)}
        return {name: mask for name, mask in every.items() if (mask & changed).any()}

    def values(self, keep: NDArray[np.bool_], message: str) -> NDArray[np.float64]:
        """Return the evidence of mixtures of inputs and baseline.

        Parameters
        ----------
        keep
            ``(mixture, layer)``: where true, the layer is the scene's, else the baseline's.
        """
        found = np.empty(len(keep))
        chosen = torch.from_numpy(keep).to(self.image.device)[:, :, None, None]

        def run(part: slice) -> NDArray[np.float64]:
            with torch.inference_mode():
                mixed = torch.where(chosen[part], self.image, self.baseline)
                odds: NDArray[np.float64] = self.evidence(mixed).cpu().numpy()
            return odds

        with closing(self.over(len(keep), run, message)) as results:
            for part, odds in results:
                found[part] = odds
        return found

    def totals(self, found: NDArray[np.floating]) -> tuple[dict[str, float], dict[str, float]]:
        """Return totals by layer and by family from those of the layers, in order."""
        by_layer = {name: float(v) for name, v in zip(self.layers, found, strict=True)}
        by_family = dict.fromkeys(self.families, 0.0)
        for family, value in zip(self.families, found, strict=True):
            by_family[family] += float(value)
        return by_layer, by_family
