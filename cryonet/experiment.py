"""Run an experiment: every model, stack, fold and seed, with equal budget and equal search."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from cryonet import __version__
from cryonet.atomic import whole_file
from cryonet.bundle import Bundle
from cryonet.calibrate import classwise_ece, labelled, temper, top_label
from cryonet.chips import TEST, split_map
from cryonet.classes import NODATA
from cryonet.comparison import block_confusions
from cryonet.config import TrainConfig
from cryonet.errors import ConfigError
from cryonet.experiment_config import ExperimentConfig, Fold
from cryonet.model_config import ModelConfig
from cryonet.predict import predict_scene
from cryonet.progress import SILENT, Cancelled, Progress
from cryonet.scene import open_scene
from cryonet.train import train
from cryonet.trainset import scene_record

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
    scenes = [open_scene(path) for path in config.scenes]
    for scene, path in zip(scenes, config.scenes, strict=True):
        scene.attrs.setdefault("id", path.name)
    bench = _Bench(config, scenes, overwrite, progress)
    return list(bench.results())


@dataclass(slots=True)
class _Bench:
    config: ExperimentConfig
    scenes: list[xr.Dataset]
    overwrite: bool
    progress: Progress
    done: int = 0

    def results(self) -> Iterator[dict[str, Any]]:
        plan = self.config.combinations()
        sweeps = [len(self.config.rates(model)) for model, *_ in plan]
        total = len(plan) * len(self.config.seeds) + sum(n for n in sweeps if n > 1)
        for model, stack, fold in plan:
            rate = self._best_rate(model, stack, fold, total)
            for seed in self.config.seeds:
                run = Run(model, stack, fold, seed)
                settings = self.config.run(model, stack, fold, seed, learning_rate=rate)
                yield self._result(run, settings, total)
        self.progress.step(total, total, "all runs are finished")

    def _best_rate(self, model: str, stack: str, fold: Fold, total: int) -> float | None:
        rates = self.config.rates(model)
        if len(rates) < 2:
            return rates[0] if rates else None
        scores = {}
        for rate in rates:
            run = Run(model, stack, fold, self.config.seeds[0], rate)
            settings = self.config.run(
                model, stack, fold, run.seed, learning_rate=rate, epochs=self.config.sweep_epochs
            )
            found = self._result(run, settings, total)
            score = found["validation"]["macro_iou"]
            scores[rate] = -math.inf if score is None else score
        return max(scores, key=lambda rate: (scores[rate], -rate))

    def _result(self, run: Run, settings: TrainConfig, total: int) -> dict[str, Any]:
        file = self.config.out / "runs" / f"{run.name}.json"
        digest = self._digest(settings)
        kept = _kept(file, digest, overwrite=self.overwrite)
        if kept is None:
            kept = {"digest": digest, **self._made(run, settings, total)}
            with whole_file(file) as work:
                work.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        self.done += 1
        self.progress.step(self.done, total, run.name)
        return kept

    def _digest(self, settings: TrainConfig) -> str:
        """Return a hash of all that a result depends on."""
        left_out = {"scenes", "out", "title", "threads"}
        # An option that came later changes no result while it stands at its default.
        told = settings.model_dump(mode="json", exclude=left_out, exclude_defaults=True)
        records = [scene_record(scene).model_dump() for scene in self.scenes]
        text = json.dumps([told, records, __version__], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _made(self, run: Run, settings: TrainConfig, total: int) -> dict[str, Any]:
        started = time.perf_counter()
        bundle = train(self.scenes, settings, progress=_Within(self, run.name, total))
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
            found |= self._tested(bundle, settings)
        return found

    def _tested(self, bundle: Bundle, settings: TrainConfig) -> dict[str, Any]:
        blocks, known, pixels, seconds = [], [], 0, 0.0
        block = settings.split.block if settings.split.test == "blocks" else BLOCK
        for index, scene in enumerate(self.scenes):
            labels = np.asarray(scene["labels"].values)
            generator = np.random.default_rng([settings.seed, index])
            shape = (int(labels.shape[0]), int(labels.shape[1]))
            test = split_map(shape, settings.split, generator=generator) == TEST
            made = predict_scene(bundle, scene, device=settings.accelerator)
            seconds += float(made.attrs["seconds"])
            pixels += labels.size
            codes = np.asarray(made["classes"].values)
            count = len(settings.classes)
            blocks.append(block_confusions(codes, labels, test, block=block, classes=count))
            shares = np.asarray(made["probabilities"].values)
            known.append(labelled(shares, np.where(test, labels, NODATA)))
        return {
            "blocks": np.concatenate(blocks).tolist(),
            "calibration": _calibration(known, float(made.attrs["temperature"])),
            "megapixels_a_second": round(pixels / seconds / 1e6, 4),
        }


@dataclass(slots=True)
class _Within:
    """Progress of one run within the experiment's."""

    bench: _Bench
    name: str
    total: int

    def step(self, done: int, total: int, message: str = "") -> None:
        text = f"{self.name}: {done} of {total}, {message}"
        self.bench.progress.step(self.bench.done, self.total, text)


def _calibration(
    known: list[tuple[NDArray[np.floating], NDArray[np.integer]]], temperature: float
) -> dict[str, float]:
    """Return the calibration errors of the test pixels of all scenes, as given and at T = 1."""
    shares = np.concatenate([pair[0] for pair in known], axis=1)
    codes = np.concatenate([pair[1] for pair in known])
    plain = temper(shares, 1 / temperature)
    return {
        "temperature": round(temperature, 4),
        "ece": round(top_label(shares, codes).ece, 5),
        "classwise_ece": round(classwise_ece(shares, codes), 5),
        "ece_uncalibrated": round(top_label(plain, codes).ece, 5),
    }


def _kept(file: Path, digest: str, *, overwrite: bool) -> dict[str, Any] | None:
    """Return a result that stands already and was made the same way."""
    if not file.is_file():
        return None
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        stored = {}
    if stored.get("digest") == digest:
        return dict(stored)
    if overwrite:
        return None
    rule = "Choose another folder, or allow overwriting: it is then run again."
    raise ConfigError("a result was made with other settings, scenes or version", file.name, rule)


def megaflop(bundle: Bundle) -> float:
    """Return the millions of floating-point operations a pixel takes, a multiply-add being two."""
    side = bundle.manifest.tile
    image = torch.zeros(1, len(bundle.manifest.layers), side, side)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        bundle.module(image)
    return float(counter.get_total_flops()) / side**2 / 1e6
