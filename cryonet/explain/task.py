"""Task: what every method is given, and the answer it gives back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryonet.explain.evidence import Evidence
from cryonet.progress import SILENT, Progress

#: Pixels that a network is run on at once, unless a window is larger. Our choice.
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
        Images that the network sees at once; None for as many as `PIXELS_AT_ONCE` holds.
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
        """How many images the network sees at once."""
        pixels = self.image.shape[-2] * self.image.shape[-1]
        return self.batch or max(1, PIXELS_AT_ONCE // pixels)

    def parts(self, count: int) -> Iterator[slice]:
        """Yield the batches of `count` images, as slices."""
        for start in range(0, count, self.at_once):
            yield slice(start, min(start + self.at_once, count))

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
        self.progress.step(0, len(keep), message)
        with torch.inference_mode():
            for part in self.parts(len(keep)):
                mixed = torch.where(chosen[part], self.image, self.baseline)
                found[part] = self.evidence(mixed).cpu().numpy()
                self.progress.step(part.stop, len(keep), message)
        return found

    def totals(self, found: NDArray[np.floating]) -> tuple[dict[str, float], dict[str, float]]:
        """Return totals by layer and by family from those of the layers, in order."""
        by_layer = {name: float(v) for name, v in zip(self.layers, found, strict=True)}
        by_family = dict.fromkeys(self.families, 0.0)
        for family, value in zip(self.families, found, strict=True):
            by_family[family] += float(value)
        return by_layer, by_family
