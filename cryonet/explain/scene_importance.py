"""Importance of families over a scene, by three ways, and why these disagree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import rankdata

from cryonet.bundle import Bundle
from cryonet.errors import ConfigError
from cryonet.explain.class_shapley import ClassShapley, class_shapley
from cryonet.explain.correlation import spearman
from cryonet.explain.held import HeldView
from cryonet.explain.permutation import Permutation, permutation_importance
from cryonet.explain.retraining import Retraining
from cryonet.explain.shared_information import Link, Shared, shared_information
from cryonet.grid import Window
from cryonet.progress import SILENT, Progress

#: The ways, and what each asks.
WAYS: Mapping[str, str] = MappingProxyType(
    {
        "retraining": "the fall of IoU where a model is trained anew without the family",
        "permutation": "the fall of IoU where this model sees the family's pixels shuffled",
        "shapley": "the mean size of the family's share in a pixel's evidence, log-odds",
    }
)

#: Layers whose correlation is at least this large can stand in for each other; ranks that lie
#: so many places apart are said to disagree. Our choice.
STRONG, APART = 0.8, 2


@dataclass(frozen=True, slots=True)
class SceneImportance:
    """What the families of a model are worth over a scene.

    Attributes
    ----------
    families
        In the order of the manifest.
    permutation, shapley, retraining
        The ways; no retraining if no experiment was given.
    shared
        What the families have in common.
    classes
        Names of the model's classes.
    """

    families: tuple[str, ...]
    permutation: Permutation
    shapley: ClassShapley
    retraining: Retraining | None
    shared: Shared
    classes: tuple[str, ...]

    def values(self, of: str = "macro") -> dict[str, dict[str, float]]:
        """Return, by way and family, the importance overall or for one class; NaN if unknown.

        Raises
        ------
        ConfigError
            If there is no such class.
        """
        if of not in ("macro", *self.classes):
            rule = f"Give one of macro, {', '.join(self.classes)}."
            raise ConfigError("there is no such score", of, rule)
        found = {}
        if self.retraining is not None:
            found["retraining"] = {f: self.retraining.mean(f, of) for f in self.families}
        found["permutation"] = self.permutation.means(of)
        found["shapley"] = self.shapley.overall() if of == "macro" else self.shapley.sizes[of]
        return found

    def ranks(self, of: str = "macro") -> dict[str, dict[str, float]]:
        """Return, by way and family, the rank; 1 is the most important, ties share a mean.

        A way that does not know all families ranks those it knows.
        """
        found = {}
        for way, values in self.values(of).items():
            known = {name: value for name, value in values.items() if not np.isnan(value)}
            ranks = rankdata([-value for value in known.values()]) if known else []
            found[way] = {name: float(rank) for name, rank in zip(known, ranks, strict=True)}
        return found

    def correlations(self, of: str = "macro") -> dict[tuple[str, str], float]:
        """Return the rank correlation of each two ways over the families that both know."""
        values = self.values(of)
        found = {}
        for one, two in combinations(values, 2):
            pairs = [(values[one][f], values[two][f]) for f in self.families]
            known = np.array([pair for pair in pairs if not np.isnan(pair).any()]).reshape(-1, 2)
            found[one, two] = spearman(*known.T)
        return found

    def table(self, of: str = "macro") -> pd.DataFrame:
        """Return a row a family: each way's value and rank, spreads, and what others tell.

        Columns ``retraining_low`` and ``retraining_high`` are the ends of the interval of 95 %,
        ``permutation_spread`` the standard deviation over repeats, ``told_by_others`` the share
        of variance of `cryonet.explain.shared_information.Shared`.
        """
        values, ranks = self.values(of), self.ranks(of)
        spreads = self.permutation.spreads(of)
        rows = []
        for family in self.families:
            row: dict[str, Any] = {"family": family}
            for way in values:
                row[way] = values[way][family]
                row[f"{way}_rank"] = ranks[way].get(family, np.nan)
            row["permutation_spread"] = spreads[family]
            if self.retraining is not None:
                ends = self.retraining.falls.get(family, {}).get(of, (None, None, None))
                row["retraining_low"], row["retraining_high"] = (
                    np.nan if end is None else end for end in ends[1:]
                )
            row["told_by_others"] = self.shared.told[family]
            rows.append(row)
        return pd.DataFrame(rows).set_index("family")

    def why(self, of: str = "macro") -> list[str]:
        """Return sentences: how far the ways agree, where they do not, and what explains it."""
        return [*self._agreement(of), *self._disagreements(of)]

    def _agreement(self, of: str) -> Iterator[str]:
        about = "overall" if of == "macro" else f"for {of}"
        for (one, two), value in self.correlations(of).items():
            said = "cannot be compared" if np.isnan(value) else f"agree to {value:.2f}"
            yield f"The ranks by {one} and {two} {said} {about} (rank correlation)."

    def _disagreements(self, of: str) -> Iterator[str]:
        ranks = self.ranks(of)
        for family in self.families:
            mine = {way: row[family] for way, row in ranks.items() if family in row}
            if not mine or max(mine.values()) - min(mine.values()) < APART:
                continue
            low, high = max(mine, key=mine.__getitem__), min(mine, key=mine.__getitem__)
            start = (
                f"{family} is number {mine[high]:g} of {len(ranks[high])} by {high}, but "
                f"{mine[low]:g} of {len(ranks[low])} by {low}"
            )
            chance = self._chance(family, of) if "retraining" in (low, high) else ""
            strong = [x for x in self.shared.of(family) if abs(x.correlation) >= STRONG]
            told = self.shared.told[family]
            others = f"; all other families together tell {told:.0%} of its variance"
            if np.isnan(told):
                others = ""
            if strong:
                named = ", ".join(_other_side(link, family) for link in strong[:3])
                yield f"{start}: its layers go with {named}{others}; {_meaning(low, high)}{chance}."
            else:
                links = self.shared.of(family)
                nearest = f" (nearest: {_other_side(links[0], family)})" if links else ""
                yield (
                    f"{start}: no layer of another family goes with its own at {STRONG:g} or "
                    f"more{nearest}{others}, so that pairs of layers do not explain it{chance}."
                )

    def _chance(self, family: str, of: str) -> str:
        if self.retraining is None:
            return ""
        _, low, high = self.retraining.falls.get(family, {}).get(of, (None, None, None))
        if low is None or high is None or not low <= 0 <= high:
            return ""
        return f"; its fall by retraining may be chance, from {low:.3f} to {high:.3f}"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; None where undefined."""
        tables = {
            of: {
                str(family): {str(k): _plain(v) for k, v in row.items()}
                for family, row in self.table(of).to_dict("index").items()
            }
            for of in ("macro", *self.classes)
        }
        correlations = {
            of: {f"{a}, {b}": _plain(v) for (a, b), v in self.correlations(of).items()}
            for of in ("macro", *self.classes)
        }
        return {
            "ways": dict(WAYS),
            "tables": tables,
            "correlations": correlations,
            "why": {of: self.why(of) for of in ("macro", *self.classes)},
            "links": [
                {
                    "families": link.families,
                    "layers": link.layers,
                    "correlation": link.correlation,
                    "kind": link.kind,
                }
                for link in self.shared.links
            ],
            "permutation": self.permutation.to_dict(),
            "shapley": self.shapley.to_dict(),
            "retraining": None if self.retraining is None else self.retraining.title,
        }


def scene_importance(
    bundle: Bundle,
    scene: xr.Dataset,
    *,
    retraining: Retraining | None = None,
    window: Window | None = None,
    repeats: int = 3,
    pixels: int = 200,
    tiles: int = 1,
    baseline: str = "training mean",
    seed: int = 0,
    device: str = "cpu",
    progress: Progress = SILENT,
) -> SceneImportance:
    """Return what the families of a model are worth over a labelled scene, three ways.

    Parameters
    ----------
    retraining
        From `cryonet.explain.retraining.read_retraining`: of the same kind of model and scene,
        which only the caller can know.
    window
        With labels; all of the scene by default. Memory holds its inputs twice.
    repeats
        See `cryonet.explain.permutation.permutation_importance`.
    pixels, tiles, baseline
        See `cryonet.explain.class_shapley.class_shapley`.
    seed, device
        Of both.
    progress
        Told of every batch; each of the two steps counts for half.

    Raises
    ------
    ConfigError, SceneError, BundleError, GridError, Cancelled
        From those.
    """
    windows = None if window is None else [window]
    falls = permutation_importance(
        bundle,
        scene,
        windows=windows,
        repeats=repeats,
        seed=seed,
        device=device,
        progress=_Half(progress, 0),
    )
    shapley = class_shapley(
        bundle,
        scene,
        window=window,
        pixels=pixels,
        tiles=tiles,
        baseline=baseline,
        seed=seed,
        device=device,
        progress=_Half(progress, 1),
    )
    view = HeldView(bundle, scene, window, device=device)
    layers = bundle.manifest.layers
    shared = shared_information(
        view.image,
        view.valid,
        [layer.name for layer in layers],
        [layer.family for layer in layers],
        seed=seed,
    )
    manifest = bundle.manifest
    return SceneImportance(
        manifest.families, falls, shapley, retraining, shared, tuple(manifest.classes)
    )


def _other_side(link: Link, family: str) -> str:
    mine = link.families.index(family)
    return (
        f"{link.families[1 - mine]} ({link.layers[mine]} with {link.layers[1 - mine]}, "
        f"{link.kind} {link.correlation:.2f})"
    )


def _meaning(low: str, high: str) -> str:
    if low == "retraining":
        return "a model trained anew can take from those what this model takes from it"
    if high == "retraining":
        return "this model shares its work with those, and any one of them counts for less"
    return "with layers that tell the same, each way divides the credit otherwise"


def _plain(value: Any) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


class _Half:
    """Progress of one of two halves, in thousandths."""

    def __init__(self, progress: Progress, number: int) -> None:
        self._progress, self._number = progress, number

    def step(self, done: int, total: int, message: str = "") -> None:
        part = round(1000 * done / max(1, total))
        self._progress.step(1000 * self._number + part, 2000, message)
