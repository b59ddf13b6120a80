"""Run a transfer: a model of one region on another, as it is, adapted and fine-tuned."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cryonet.bundle import Bundle, load_bundle, read_manifest, save_bundle
from cryonet.chips import GAP, TEST, TRAIN, VALIDATION, make_chips, split_map
from cryonet.config import FeatureConfig, PretrainedConfig, StartConfig, TrainConfig
from cryonet.errors import BundleError, ConfigError
from cryonet.experiment_config import ExperimentConfig
from cryonet.experiment_runs import Runs, block_result, digest_of, opened
from cryonet.predict import predict_scene
from cryonet.progress import SILENT, Cancelled, Progress
from cryonet.train import train
from cryonet.transfer_config import TransferConfig, Variant, variants
from cryonet.warm_start import with_statistics_of

#: A block is worth labelling when two classes or more cover this share of it. Our choice: a
#: person who has few blocks to label takes some that show ice.
SHARE = 0.01

#: A block of a target scene: the scene's place in the list, and its number row by row.
Place = tuple[int, int]


def run_transfer(
    config: ExperimentConfig, *, overwrite: bool = False, progress: Progress = SILENT
) -> list[dict[str, Any]]:
    """Run whatever of a transfer has no result yet; return the results of all variants.

    The source's models are trained on all of its scenes, less validation blocks, which choose
    the learning rate too; they are kept as bundles in ``<out>/bundles``. The target's test is
    drawn once. Blocks to label are drawn with each seed from those that show two classes or
    more; those for four blocks hold those for two.

    Raises
    ------
    ConfigError
        If the experiment has no transfer, the target has too few blocks to label, or a result
        stands there that was made otherwise, and may not be replaced.
    """
    if config.transfer is None:
        raise ConfigError("the experiment has no transfer", config.title, "Give [transfer].")
    source, target = opened(config.scenes), opened(config.transfer.target)
    tests = target_tests(target, config.transfer)
    runs = Runs(config.out / "runs", overwrite, progress)
    return list(_Transfer(config, config.transfer, source, target, tests, runs).results())


def target_tests(target: Sequence[xr.Dataset], config: TransferConfig) -> list[NDArray[np.uint8]]:
    """Return for each scene where its TEST and the GAP round it are; TRAIN is free."""
    # Without a gap round validation blocks, every gap is one round the test.
    split = config.split.model_copy(update={"validation_gap": 0})
    found = []
    for index, scene in enumerate(target):
        height, width = scene["labels"].shape
        generator = np.random.default_rng([config.split_seed, index])
        codes = split_map((height, width), split, generator=generator)
        found.append(np.where(codes == VALIDATION, TRAIN, codes).astype(np.uint8))
    return found


def draw_blocks(
    labels: Sequence[NDArray[np.uint8]],
    tests: Sequence[NDArray[np.uint8]],
    *,
    block: int,
    chip: int,
    stride: int,
    classes: int,
    generator: np.random.Generator,
) -> list[Place]:
    """Return the blocks worth labelling, in random order.

    More than half of each is free, in its free part two classes or more cover `SHARE` of it
    each, and it gives a training chip of side `chip`, on a lattice of `stride`.
    """
    found: list[Place] = []
    for index, (truth, codes) in enumerate(zip(labels, tests, strict=True)):
        across = -(-truth.shape[1] // block)
        for number in range(across * -(-truth.shape[0] // block)):
            part = _window(number, across, block)
            free = codes[part] == TRAIN
            counts = np.bincount(truth[part][free], minlength=256)[:classes]
            if free.mean() <= 0.5 or (counts >= SHARE * free.size).sum() < 2:
                continue
            alone = np.where(codes == TEST, TEST, GAP).astype(np.uint8)
            alone[part][free] = TRAIN
            size = {"size": chip, "stride": stride, "classes": classes}
            if make_chips(truth, alone, scene="", split="train", **size):
                found.append((index, number))
    return [found[place] for place in generator.permutation(len(found))]


def labelled_splits(
    tests: Sequence[NDArray[np.uint8]],
    blocks: Sequence[Place],
    *,
    block: int,
    validation_share: float,
) -> list[NDArray[np.uint8]]:
    """Return split maps in which only `blocks`, and the test, are in a split.

    The first block is for training; then come those for validation, `validation_share` of all
    and at least one; the rest is for training too.
    """
    count = max(1, round(validation_share * len(blocks)))
    maps = [np.where(codes == TEST, TEST, GAP).astype(np.uint8) for codes in tests]
    for rank, (index, number) in enumerate(blocks):
        part = _window(number, -(-tests[index].shape[1] // block), block)
        code = VALIDATION if 1 <= rank <= count else TRAIN
        maps[index][part][tests[index][part] == TRAIN] = code
    return maps


def _window(number: int, across: int, block: int) -> tuple[slice, slice]:
    top, left = (number // across) * block, (number % across) * block
    return slice(top, top + block), slice(left, left + block)


@dataclass(frozen=True, slots=True)
class _Origin:
    """A model of the source: what it is called, how it was trained, and the bundle."""

    model: str
    stack: str
    settings: TrainConfig
    bundle: Bundle

    @property
    def name(self) -> str:
        return f"{self.model}-{self.stack}-seed{self.settings.seed}"


@dataclass(slots=True)
class _Transfer:
    config: ExperimentConfig
    transfer: TransferConfig
    source: list[xr.Dataset]
    target: list[xr.Dataset]
    tests: list[NDArray[np.uint8]]
    runs: Runs

    def results(self) -> Iterator[dict[str, Any]]:
        plan = list(itertools.product(self.config.models, self.config.stacks))
        chosen, rates = variants(self.transfer), self.config.learning_rates
        each = len(self.config.seeds) * (1 + len(chosen)) + (len(rates) if len(rates) > 1 else 0)
        self.runs.total = len(plan) * each
        for seed in self.config.seeds:
            self._blocks(seed, max(self.transfer.blocks))
        for model, stack in plan:
            rate = self._best_rate(model, stack)
            for seed in self.config.seeds:
                settings = self.config.run(model, stack, "none", seed, learning_rate=rate)
                origin = _Origin(model, stack, settings, self._source(model, stack, settings))
                for variant in chosen:
                    yield self._result(origin, variant)
        self.runs.progress.step(self.runs.total, self.runs.total, "all runs are finished")

    def _best_rate(self, model: str, stack: str) -> float:
        rates = self.config.learning_rates
        if len(rates) == 1:
            return rates[0]
        scores = {}
        seed, epochs = self.config.seeds[0], self.config.sweep_epochs
        for rate in rates:
            settings = self.config.run(
                model, stack, "none", seed, learning_rate=rate, epochs=epochs
            )
            name = f"{model}-{stack}-seed{seed}-source-rate{rate:g}"
            found = self.runs.result(
                name,
                digest_of(settings, self.source),
                lambda inner, s=settings: _described(self._trained(self.source, s, inner)),  # type: ignore[misc]
            )
            score = found["validation"]["macro_iou"]
            scores[rate] = -math.inf if score is None else score
        return max(scores, key=lambda rate: (scores[rate], -rate))

    def _source(self, model: str, stack: str, settings: TrainConfig) -> Bundle:
        """Return the source's model, trained unless its bundle is there."""
        name = f"{model}-{stack}-seed{settings.seed}-source"
        folder = self.config.out / "bundles" / name

        def made(inner: Progress) -> dict[str, Any]:
            bundle = self._trained(self.source, settings, inner)
            save_bundle(bundle, folder, overwrite=True)
            return _described(bundle)

        digest = digest_of(settings, self.source)
        found = self.runs.result(name, digest, made)
        try:
            same = read_manifest(folder).weights_sha256 == found["weights_sha256"]
        except BundleError:
            same = False
        if not same:
            rule = f"Remove runs/{name}.json: it is then trained again."
            raise ConfigError("the bundle of a result is missing or another", folder.name, rule)
        return load_bundle(folder)

    def _result(self, origin: _Origin, variant: Variant) -> dict[str, Any]:
        settings = self._settings(origin, variant)
        more = [
            variant.model_dump(),
            origin.bundle.manifest.weights_sha256,
            self.transfer.model_dump(mode="json", include={"split", "split_seed"}),
        ]
        digest = digest_of(settings, self.target, *more)
        name = f"{origin.name}-{variant.name}"
        return self.runs.result(
            name, digest, lambda inner: self._made(origin, variant, settings, inner)
        )

    def _settings(self, origin: _Origin, variant: Variant) -> TrainConfig:
        """Return the training configuration of a variant on the target."""
        layers = FeatureConfig(stack=origin.bundle.manifest.layer_names)
        base = origin.settings.model_copy(update={"features": layers})
        if variant.start == "none":
            return base
        own = variant.statistics == "source"
        changes = {
            "start": StartConfig(statistics="bundle" if own else "scenes"),
            "pretrained": PretrainedConfig(),
            "epochs": self.transfer.fine_tune_epochs,
            "learning_rate": self.transfer.fine_tune_rate,
        }
        return base.model_copy(update=changes)

    def _made(
        self, origin: _Origin, variant: Variant, settings: TrainConfig, inner: Progress
    ) -> dict[str, Any]:
        started = time.perf_counter()
        bundle = origin.bundle
        if variant.blocks:
            splits = labelled_splits(
                self.tests,
                self._blocks(settings.seed, variant.blocks),
                block=self.transfer.split.block,
                validation_share=settings.split.validation_share,
            )
            start = bundle if variant.start == "source" else None
            bundle = self._trained(self.target, settings, inner, start=start, splits=splits)
        elif variant.statistics == "target":
            masks = [codes != TEST for codes in self.tests]
            bundle = with_statistics_of(bundle, self.target, masks=masks)
        return {
            "model": origin.model,
            "stack": origin.stack,
            "seed": settings.seed,
            "variant": variant.name,
            "labelled_blocks": variant.blocks,
            "statistics": variant.statistics,
            "source_weights_sha256": origin.bundle.manifest.weights_sha256,
            "classes": list(settings.classes),
            "train_seconds": round(time.perf_counter() - started, 1),
            **(_described(bundle) if variant.blocks else {}),
            **self._tested(bundle, settings),
        }

    def _blocks(self, seed: int, count: int) -> list[Place]:
        """Return the first `count` blocks that are labelled with a seed."""
        model, stack = next(iter(self.config.models)), next(iter(self.config.stacks))
        settings = self.config.run(model, stack, "none", seed)
        found = draw_blocks(
            [np.asarray(scene["labels"].values) for scene in self.target],
            self.tests,
            block=self.transfer.split.block,
            chip=settings.chip,
            stride=settings.stride,
            classes=len(settings.classes),
            generator=np.random.default_rng([seed, self.transfer.split_seed]),
        )
        if len(found) < count:
            rule = f"{count} are wanted that show two classes and give a chip without test pixels."
            raise ConfigError("the target has too few blocks to label", len(found), rule)
        return found[:count]

    def _trained(
        self, scenes: list[xr.Dataset], settings: TrainConfig, inner: Progress, **given: Any
    ) -> Bundle:
        bundle = train(scenes, settings, progress=inner, **given)
        if bundle.manifest.training.interrupted:
            raise Cancelled("the runs that were finished are kept")
        return bundle

    def _tested(self, bundle: Bundle, settings: TrainConfig) -> dict[str, Any]:
        maps = [
            np.asarray(predict_scene(bundle, s, device=settings.accelerator)["classes"].values)
            for s in self.target
        ]
        return block_result(
            maps,
            self.target,
            [codes == TEST for codes in self.tests],
            block=self.transfer.split.block,
            classes=len(settings.classes),
        )


def _described(bundle: Bundle) -> dict[str, Any]:
    """Return what a result says of a training."""
    training = bundle.manifest.training
    return {
        "weights_sha256": bundle.manifest.weights_sha256,
        "epoch": training.epoch,
        "epochs": training.epochs,
        "learning_rate": training.config["learning_rate"],
        "device": training.device,
        "validation": dict(training.metrics["validation"]),
    }
