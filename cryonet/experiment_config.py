"""What an experiment compares, as read from TOML."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cryonet.config import FeatureConfig, PretrainedConfig, SplitConfig, TrainConfig
from cryonet.errors import ConfigError
from cryonet.importance import Ablation, ImportanceConfig
from cryonet.model_config import AnyModelConfig, ModelConfig, ThresholdConfig, key_of
from cryonet.transfer_config import TransferConfig

#: How a scene is parted. ``tiles`` gives random tiles of one chip to the test, side by side
#: with those trained on: it flatters every model, and stands here to show by how much.
Fold = Literal["blocks", "west", "east", "north", "south", "tiles"]

#: The stack of thresholds, which have layers of their own. No stack can be given this name.
OWN_STACK = "_own"

#: Keys of `TrainConfig` that the experiment sets itself.
_OWN_KEYS = {
    *("scenes", "out", "features", "model", "pretrained", "seed", "learning_rate", "start")
}

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class ExperimentConfig(BaseModel):
    """Models × stacks × folds × seeds, all with the same budget and the same search.

    Attributes
    ----------
    title, out
        What it is called; folder of its results.
    scenes
        Folders of labelled scenes.
    models, stacks
        By the name they have in the table. A model with the architecture ``forest`` sees each
        stack; one with ``threshold`` has layers of its own, and is fitted once a fold and seed.
    folds, seeds
        Ways to part the scenes, and seeds of split, weights and batches.
    learning_rates, sweep_epochs
        Tried for each model, stack and fold with the first seed, that many epochs each; the
        best on validation blocks is used for all seeds. Baselines have none, and no sweep.
    pretrained
        What the encoder of a model, by its name, starts from; at random if not given.
    flips
        Test maps are the mean over the eight flips and rotations.
    samples
        Times test blocks are drawn anew for the intervals of paired differences.
    train
        Keys of `TrainConfig` that all runs share. A baseline leaves aside those that it does
        not read, as steps and losses; each must be read by some model.
    importance
        Stacks made by leaving families of layers out, or keeping one alone.
    transfer
        Another region to map. It takes the place of the folds: the source is trained on
        whole, less its validation blocks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    out: Path
    scenes: Annotated[tuple[Path, ...], Field(min_length=1)]
    models: Annotated[dict[Name, AnyModelConfig], Field(min_length=1)]
    stacks: Annotated[dict[Name, str | tuple[str, ...]], Field(min_length=1)]
    folds: Annotated[tuple[Fold, ...], Field(min_length=1)] = ("blocks",)
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0, 1, 2)
    learning_rates: Annotated[tuple[float, ...], Field(min_length=1)] = (1e-3,)
    sweep_epochs: Annotated[int, Field(ge=1)] = 2
    pretrained: dict[Name, PretrainedConfig] = {}
    flips: bool = False
    samples: Annotated[int, Field(ge=100)] = 2000
    train: dict[str, Any] = {}
    importance: ImportanceConfig | None = None
    transfer: TransferConfig | None = None

    @model_validator(mode="after")
    def _shared(self) -> ExperimentConfig:
        varied = _OWN_KEYS & set(self.train)
        if varied:
            raise ValueError(f"the experiment itself sets {', '.join(sorted(varied))}")
        if len(set(self.seeds)) < len(self.seeds) or len(set(self.folds)) < len(self.folds):
            raise ValueError("a seed or fold comes twice")
        networks = {n for n, model in self.models.items() if isinstance(model, ModelConfig)}
        if not set(self.pretrained) <= networks:
            strange = ", ".join(sorted(set(self.pretrained) - networks))
            raise ValueError(f"pretrained names {strange}, which is no network here")
        unread = set(self.train).intersection(*(m.unread for m in self.models.values()))
        if unread:
            raise ValueError(f"no model here reads {', '.join(sorted(unread))}")
        if self.importance and self.importance.stack not in self.stacks:
            raise ValueError(f"importance.stack {self.importance.stack} is not among the stacks")
        if self.transfer and (self.importance or self.folds != ("blocks",)):
            raise ValueError("transfer goes with neither importance nor folds")
        if self.transfer and (self.flips or len(networks) < len(self.models)):
            raise ValueError("transfer maps without flips, and by networks alone")
        for fold in self.folds:
            self.run(next(iter(self.models)), next(iter(self.stacks)), fold, self.seeds[0])
        return self

    def combinations(self) -> list[tuple[str, str, Fold]]:
        """Return model, stack and fold of all there is to train, thresholds once a fold."""
        return [
            (model, stack, fold)
            for model, config in self.models.items()
            for stack, fold in itertools.product(
                [OWN_STACK] if isinstance(config, ThresholdConfig) else self.stacks, self.folds
            )
        ]

    def rates(self, model: str) -> tuple[float, ...]:
        """Return the learning rates that are tried for a model: of a baseline none."""
        return self.learning_rates if isinstance(self.models[model], ModelConfig) else ()

    def run(
        self,
        model: str,
        stack: str,
        fold: Fold | Literal["none"],
        seed: int,
        *,
        learning_rate: float | None = None,
        epochs: int | None = None,
    ) -> TrainConfig:
        """Return the training configuration of one run."""
        layers = "full" if stack == OWN_STACK else self.stacks[stack]
        shared = {"title": self.title, **self.train}
        base = TrainConfig.model_validate({**shared, "scenes": self.scenes, "out": self.out})
        changes = {
            "features": FeatureConfig(stack=layers),
            "model": self.models[model],
            "pretrained": self.pretrained.get(model, base.pretrained),
            "split": _split(base, fold),
            "seed": seed,
            "learning_rate": learning_rate or self.learning_rates[0],
            "epochs": epochs or base.epochs,
        }
        return base.model_copy(update=changes).settled()

    @property
    def importance_stack(self) -> str | tuple[str, ...]:
        """The stack that families are left out of; the full one without importance."""
        return self.stacks[self.importance.stack] if self.importance else "full"

    def ablated(self, made: Sequence[Ablation]) -> ExperimentConfig:
        """Return the experiment with the stacks of `made` beside its own."""
        twice = sorted({ablation.name for ablation in made} & set(self.stacks))
        if twice:
            rule = "Call the stacks otherwise."
            raise ConfigError("importance makes a stack of this name", ", ".join(twice), rule)
        more = {ablation.name: ablation.layers for ablation in made}
        return self.model_copy(update={"stacks": {**self.stacks, **more}})


def _split(base: TrainConfig, fold: Fold | Literal["none"]) -> SplitConfig:
    if fold != "tiles":
        return base.split.model_copy(update={"test": fold})
    tiles = {"test": "blocks", "block": base.chip, "gap": 0, "validation_gap": 0}
    return base.split.model_copy(update=tiles)


def load_experiment(path: str | Path) -> ExperimentConfig:
    """Return the experiment in the TOML file `path`; its paths are taken from the file's folder.

    Raises
    ------
    ConfigError
        If the file is missing or not TOML, has an unknown key or breaks a rule.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError("the experiment does not exist", str(file), "Give a TOML file.")
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
        config = ExperimentConfig.model_validate(raw)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("the experiment is not TOML", str(file), f"{error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = key_of(first["loc"]) or "the experiment"
        shown = repr(first.get("input"))[:120]
        raise ConfigError(f"{key} is not valid", shown, f"{first['msg']}.") from error
    scenes = tuple(file.parent / scene for scene in config.scenes)
    changes: dict[str, Any] = {"scenes": scenes, "out": file.parent / config.out}
    changes["pretrained"] = {
        name: start.placed(file.parent) for name, start in config.pretrained.items()
    }
    if config.transfer:
        target = tuple(file.parent / scene for scene in config.transfer.target)
        changes["transfer"] = config.transfer.model_copy(update={"target": target})
    return config.model_copy(update=changes)
