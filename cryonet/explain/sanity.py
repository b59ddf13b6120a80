"""Sanity checks of an explanation: all that can be asked of it, on request."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from cryonet.bundle import Bundle
from cryonet.errors import ConfigError
from cryonet.explain.attribution import Attribution
from cryonet.explain.baselines import baseline_image
from cryonet.explain.checks import (
    CHECKS,
    SIGMA,
    Check,
    check_agreement,
    check_curves,
    check_random_weights,
    check_stability,
    noisy,
    verdict,
)
from cryonet.explain.curves import Curves, importance_curves
from cryonet.explain.evidence import Evidence, has_gradient
from cryonet.explain.explain import explain
from cryonet.explain.methods import METHODS
from cryonet.explain.task import Task
from cryonet.explain.view import View
from cryonet.progress import SILENT, Progress
from cryonet.runner import pick_device

#: Methods that others are compared with, the faster first; the first two that differ and that
#: the model allows. Our choice: one that follows the gradient, two that take families away.
PEERS = ("integrated gradients", "family occlusion", "family shapley", "layer occlusion")


@dataclass(frozen=True, slots=True)
class Sanity:
    """What the checks of an explanation found.

    Attributes
    ----------
    attribution
        That was checked.
    checks
        In the order of `cryonet.explain.checks.CHECKS`.
    curves
        Deletion and insertion; None if they were not asked for.
    others
        Answers of other methods to the same question.
    seconds
        How long it took.
    """

    attribution: Attribution
    checks: tuple[Check, ...]
    curves: Curves | None
    others: tuple[Attribution, ...]
    seconds: float

    @property
    def verdict(self) -> str:
        """In plain words, with the numbers."""
        return verdict(self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the attributions as plain values; None where undefined."""
        curves = None
        if self.curves is not None:
            curves = {
                "order": list(self.curves.order),
                "deletion": self.curves.deletion.tolist(),
                "insertion": self.curves.insertion.tolist(),
                "random": self.curves.random.tolist(),
                "seed": self.curves.seed,
            }
        return {
            "verdict": self.verdict,
            "checks": [
                {
                    "name": check.name,
                    "asks": CHECKS[check.name],
                    "passed": check.passed,
                    "says": check.says,
                    "numbers": {k: _plain(v) for k, v in check.numbers.items()},
                    "settings": check.settings,
                }
                for check in self.checks
            ],
            "curves": curves,
            "seconds": round(self.seconds, 2),
        }


def check_explanation(
    bundle: Bundle,
    scene: xr.Dataset,
    attribution: Attribution,
    *,
    checks: Sequence[str] = tuple(CHECKS),
    others: Sequence[str] | None = None,
    repeats: int = 3,
    orders: int = 10,
    sigma: float = SIGMA,
    seed: int = 0,
    batch: int | None = None,
    device: str = "cpu",
    view: View | None = None,
    progress: Progress = SILENT,
    **settings: Any,
) -> Sanity:
    """Return what sanity checks say of an attribution of `bundle` and `scene`.

    Layers are computed once. The cost is that of the explanation, times two and `repeats` for
    random weights and `repeats` for stability, that of the other methods, and one evaluation
    for each step of each of `orders` curves.

    Parameters
    ----------
    checks
        From `cryonet.explain.checks.CHECKS`.
    others
        Methods to agree with; two of `PEERS` by default.
    repeats, orders, sigma, seed
        Random networks and noises; random orders; the noise in deviations of the inputs; and
        what all are drawn from.
    batch, device
        As for `cryonet.explain.explain.explain`.
    view
        Of the question's window, if it is at hand.
    settings
        What else `explain` was given, such as ``steps``.

    Raises
    ------
    ConfigError
        If a check or method is unknown, or a number out of range.
    CryonetError
        As `cryonet.explain.explain.explain`.
    Cancelled
        From `progress`.
    """
    started = time.perf_counter()
    _check_settings(checks, sigma)
    seen = view or View.of(bundle, scene, attribution.question.window)
    start = baseline_image(seen, attribution.baseline)
    steps = _Steps(progress, checks, repeats, 2 if others is None else len(others))
    common = {"baseline": attribution.baseline, "batch": batch, "device": device, "progress": steps}

    def again(other: Bundle, inputs: View, *, method: str = "", **given: Any) -> Attribution:
        found = explain(
            other,
            scene,
            attribution.question,
            method=method or attribution.method,
            view=inputs,
            **(common | given),
        )
        steps.next()
        return found

    def shaken(number: int) -> Attribution:
        image = noisy(seen.image, seen.known, sigma=sigma, seed=number)
        return again(bundle, replace(seen, image=image), **settings)

    found: dict[str, Check] = {}
    curves, peers = None, []
    if "random weights" in checks:
        steps.begin("random weights")
        try:
            found["random weights"] = check_random_weights(
                bundle,
                attribution,
                lambda other: again(other, seen, **settings),
                repeats=repeats,
                seed=seed,
            )
        except ConfigError as error:
            if list(bundle.module.parameters()):
                raise
            found["random weights"] = Check("random weights", None, str(error).rstrip("."))
    if "deletion and insertion" in checks:
        steps.begin("deletion and insertion")
        unit = "layers" if attribution.by_layer else "families"
        task = _task(bundle, seen, start, attribution, device, batch, steps)
        curves = importance_curves(
            lambda keep: task.values(keep, "deletion and insertion"),
            attribution.by_layer or attribution.by_family,
            task.layers if attribution.by_layer else task.families,
            orders=orders,
            seed=seed,
        )
        found["deletion and insertion"] = check_curves(curves, unit)
        steps.next()
    if "agreement" in checks:
        names = peers_of(bundle, attribution.method) if others is None else others
        for name in names:
            steps.begin(f"agreement with {name}")
            peers.append(again(bundle, seen, method=name))
        found["agreement"] = check_agreement(attribution, peers)
    if "stability" in checks:
        steps.begin("stability")
        found["stability"] = check_stability(
            attribution, shaken, sigma=sigma, repeats=repeats, seed=seed
        )
    return Sanity(
        attribution,
        tuple(found[name] for name in CHECKS if name in found),
        curves,
        tuple(peers),
        time.perf_counter() - started,
    )


def peers_of(bundle: Bundle, method: str) -> list[str]:
    """Return the methods that one is compared with by default."""
    smooth = has_gradient(bundle.module)
    return [name for name in PEERS if name != method and (smooth or not METHODS[name].gradient)][:2]


def _task(
    bundle: Bundle,
    view: View,
    start: NDArray[np.float32],
    attribution: Attribution,
    device: str,
    batch: int | None,
    progress: Progress,
) -> Task:
    where = pick_device(device)
    network = bundle.module.to(where).eval()
    return Task(
        evidence=Evidence(network, attribution.question, bundle.manifest.classes).to(where),
        image=torch.from_numpy(view.image)[None].to(where),
        baseline=torch.from_numpy(start)[None].to(where),
        layers=view.layers,
        families=view.families,
        batch=batch,
        progress=progress,
    )


def _check_settings(checks: Sequence[str], sigma: float) -> None:
    unknown = [name for name in checks if name not in CHECKS]
    if unknown or not checks:
        rule = f"Give some of {', '.join(CHECKS)}."
        raise ConfigError("there is no such check", ", ".join(unknown) or "none", rule)
    if not sigma > 0:
        raise ConfigError("the noise has no size", sigma, "Give a deviation above 0.")


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


class _Steps:
    """Progress over several explanations, each taken for as long as the next."""

    def __init__(
        self, progress: Progress, checks: Sequence[str], repeats: int, others: int
    ) -> None:
        counts = {
            "random weights": 2 + repeats,
            "deletion and insertion": 1,
            "agreement": others,
            "stability": repeats,
        }
        self._progress, self._done, self._most = progress, 0, 0
        self._parts = max(1, sum(counts[name] for name in set(checks)))
        self._message = ""

    def begin(self, message: str) -> None:
        self._message = f"checking: {message}"

    def next(self) -> None:
        self._done = min(self._done + 1, self._parts - 1)

    def step(self, done: int, total: int, message: str = "") -> None:
        # In thousandths of a part, as their totals differ; a part may count from 0 twice.
        self._most = max(self._most, 1000 * self._done + round(1000 * done / max(1, total)))
        self._progress.step(self._most, 1000 * self._parts, self._message)
