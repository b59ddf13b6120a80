"""Run an experiment: every model, stack, fold and seed, with equal budget and equal search."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from cryonet.bundle import Bundle
from cryonet.calibrate import labelled
from cryonet.chips import TEST, split_map
from cryonet.classes import NODATA
from cryonet.config import TrainConfig
from cryonet.evaluate import score_probabilities
from cryonet.experiment_config import ExperimentConfig, Fold
from cryonet.experiment_runs import Runs, block_result, digest_of, opened
from cryonet.importance import Ablation, ablations, common_layers, complete_only
from cryonet.model_config import ModelConfig
from cryonet.predict import predict_scene
from cryonet.progress import SILENT, Cancelled, Progress
from cryonet.train import train
from cryonet.transfer import run_transfer

#: Side, in pixels, of the blocks that paired differences are drawn by, if there are none.
BLOCK = 64


@dataclass(frozen=True, slots=True)
class Run:
    """One training: what it is of, and where its result stands."""

    model: str
    stack: str
    fold: Fold
    seed: int
    rate: float | None = None

    @property
    def name(self) -> str:
        """Its file's name, without suffix."""
        rate = "" if self.rate is None else f"-rate{self.rate:g}"
        return f"{self.model}-{self.stack}-{self.fold}-seed{self.seed}{rate}"


def run_experiment(
    config: ExperimentConfig, *, overwrite: bool = False, progress: Progress = SILENT
) -> list[dict[str, Any]]:
    """Run whatever of an experiment has no result yet; return all results.

    For each network, stack and fold every learning rate is tried with the first seed and the
    short budget; the one with the highest mean IoU on validation blocks is then used for
    all seeds. No test pixel takes part in that choice. Baselines have no learning rate. Each
    result is a JSON file in ``<out>/runs``, written when its run is finished: stopped, the
    same call goes on.

    Parameters
    ----------
    overwrite
        Run again what has a result of another configuration, scene or version.

    Raises
    ------
    ConfigError
        If a result stands there that was made otherwise, and may not be replaced.
    """
    if config.transfer is not None:
        return run_transfer(config, overwrite=overwrite, progress=progress)
    scenes = opened(config.scenes)
    made: list[Ablation] = []
    if config.importance is not None:
        made = ablations(config.importance, config.importance_stack, scenes)
    runs = Runs(config.out / "runs", overwrite, progress)
    return list(_Bench(config.ablated(made), scenes, runs, made).results())


@dataclass(slots=True)
class _Bench:
    config: ExperimentConfig
    scenes: list[xr.Dataset]
    runs: Runs
    ablations: list[Ablation]
    rates: dict[tuple[str, str, Fold], float | None] = field(default_factory=dict)
    complete: list[xr.Dataset] = field(default_factory=list)

    def results(self) -> Iterator[dict[str, Any]]:
        plan = self.config.combinations()
        searched = [(model, stack) for model, stack, _ in plan if self._searched(stack)]
        sweeps = [len(self.config.rates(model)) for model, _ in searched]
        self.runs.total = len(plan) * len(self.config.seeds) + sum(n for n in sweeps if n > 1)
        for model, stack, fold in plan:
            rate = self._rate(model, stack, fold)
            for seed in self.config.seeds:
                run = Run(model, stack, fold, seed)
                settings = self.config.run(model, stack, fold, seed, learning_rate=rate)
                yield self._result(run, settings)
        self.runs.progress.step(self.runs.total, self.runs.total, "all runs are finished")

    def _searched(self, stack: str) -> bool:
        """Return whether the stack has a sweep of its own."""
        chosen = self.config.importance
        shared = chosen is not None and chosen.search == "shared"
        return not (shared and self._is_ablated(stack))

    def _is_ablated(self, stack: str) -> bool:
        return any(ablation.name == stack for ablation in self.ablations)

    def _scenes(self, stack: str) -> list[xr.Dataset]:
        """Return the scenes, for an ablated stack with the labels that the whole one uses."""
        if not self._is_ablated(stack):
            return self.scenes
        if not self.complete:
            layers = common_layers(self.config.importance_stack, self.scenes)
            self.complete = [complete_only(scene, layers) for scene in self.scenes]
        return self.complete

    def _rate(self, model: str, stack: str, fold: Fold) -> float | None:
        chosen = self.config.importance
        if chosen is not None and not self._searched(stack):
            stack = chosen.stack
        if (model, stack, fold) not in self.rates:
            self.rates[model, stack, fold] = self._best_rate(model, stack, fold)
        return self.rates[model, stack, fold]

    def _best_rate(self, model: str, stack: str, fold: Fold) -> float | None:
        rates = self.config.rates(model)
        if len(rates) < 2:
            return rates[0] if rates else None
        scores = {}
        for rate in rates:
            run = Run(model, stack, fold, self.config.seeds[0], rate)
            settings = self.config.run(
                model, stack, fold, run.seed, learning_rate=rate, epochs=self.config.sweep_epochs
            )
            found = self._result(run, settings)
            score = found["validation"]["macro_iou"]
            scores[rate] = -math.inf if score is None else score
        return max(scores, key=lambda rate: (scores[rate], -rate))

    def _result(self, run: Run, settings: TrainConfig) -> dict[str, Any]:
        # Older results tell no places, which importance needs.
        more = ["places"] if self.config.importance else []
        more += ["flips"] if self.config.flips else []
        digest = digest_of(settings, self._scenes(run.stack), *more)
        return self.runs.result(run.name, digest, lambda inner: self._made(run, settings, inner))

    def _made(self, run: Run, settings: TrainConfig, inner: Progress) -> dict[str, Any]:
        started = time.perf_counter()
        scenes = self._scenes(run.stack)
        bundle = train(scenes, settings, progress=inner)
        seconds = time.perf_counter() - started
        manifest = bundle.manifest
        if manifest.training.interrupted:
            raise Cancelled("the runs that were finished are kept")
        network = isinstance(settings.model, ModelConfig)
        found: dict[str, Any] = {
            **{key: getattr(run, key) for key in ("model", "stack", "fold", "seed")},
            "learning_rate": settings.learning_rate if network else None,
            "epochs": settings.epochs if network else None,
            "classes": list(settings.classes),
            "synthetic": {scene.id: scene.synthetic for scene in manifest.training.scenes},
            "layers": len(manifest.layers),
            "parameters": manifest.parameters if network else None,
            "mflop_a_pixel": round(megaflop(bundle), 4) if network else None,
            "train_seconds": round(seconds, 1),
            "device": manifest.training.device,
            "validation": dict(manifest.training.metrics["validation"]),
        }
        if run.rate is None:
            found |= self._tested(bundle, settings, scenes)
        return found

    def _tested(
        self, bundle: Bundle, settings: TrainConfig, scenes: Sequence[xr.Dataset]
    ) -> dict[str, Any]:
        maps, tests, known, pixels, seconds = [], [], [], 0, 0.0
        block = settings.split.block if settings.split.test == "blocks" else BLOCK
        for index, scene in enumerate(scenes):
            labels = np.asarray(scene["labels"].values)
            generator = np.random.default_rng([settings.seed, index])
            shape = (int(labels.shape[0]), int(labels.shape[1]))
            tests.append(split_map(shape, settings.split, generator=generator) == TEST)
            made = predict_scene(
                bundle, scene, device=settings.accelerator, flips=self.config.flips
            )
            seconds += float(made.attrs["seconds"])
            pixels += labels.size
            maps.append(np.asarray(made["classes"].values))
            shares = np.asarray(made["probabilities"].values)
            known.append(labelled(shares, np.where(tests[-1], labels, NODATA)))
        return {
            **block_result(maps, scenes, tests, block=block, classes=len(settings.classes)),
            "calibration": _calibration(known, float(made.attrs["temperature"])),
            "megapixels_a_second": round(pixels / seconds / 1e6, 4),
        }


def _calibration(
    known: list[tuple[NDArray[np.floating], NDArray[np.integer]]], temperature: float
) -> dict[str, float]:
    """Return the calibration errors of the test pixels of all scenes, as given and at T = 1."""
    shares = np.concatenate([pair[0] for pair in known], axis=1)
    codes = np.concatenate([pair[1] for pair in known])
    rows = score_probabilities(shares, codes, temperature=temperature)
    errors = [(row.table.ece, row.classwise_ece) for row in rows] or [(math.nan, math.nan)]
    (plain, _), (ece, classwise) = errors[0], errors[-1]
    return {
        "temperature": round(temperature, 4),
        "ece": round(ece, 5),
        "classwise_ece": round(classwise, 5),
        "ece_uncalibrated": round(plain, 5),
    }


def megaflop(bundle: Bundle) -> float:
    """Return the millions of floating-point operations a pixel takes, a multiply-add being two."""
    side = bundle.manifest.tile
    image = torch.zeros(1, len(bundle.manifest.layers), side, side)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        bundle.module(image)
    return float(counter.get_total_flops()) / side**2 / 1e6
