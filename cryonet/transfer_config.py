"""What a transfer compares: a model of one region, applied to another, as read from TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cryonet.config import SplitConfig

#: Which region's pixels the layers are normalised by.
Statistics = Literal["source", "target"]


class TransferConfig(BaseModel):
    """From the experiment's own scenes, the source, to others, the target.

    Attributes
    ----------
    target
        Folders of labelled scenes of the other region.
    blocks
        How many labelled target blocks a variant gets: 0, or 2 and more, since one of them
        at least is for validation.
    statistics
        ``source``: layers are normalised as in training. ``target``: by statistics of all
        target pixels outside its test blocks, without labels.
    fine_tune_epochs, fine_tune_rate
        Length of a fine-tuning, with the steps an epoch of `ExperimentConfig.train`, and its
        peak learning rate.
    target_only
        Train from random weights on the same blocks too, as long as the source was.
    split, split_seed
        How the target's test is drawn, once for all models, seeds and variants.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: Annotated[tuple[Path, ...], Field(min_length=1)]
    blocks: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0, 2, 4)
    statistics: Annotated[tuple[Statistics, ...], Field(min_length=1)] = ("source", "target")
    fine_tune_epochs: Annotated[int, Field(ge=1)] = 5
    fine_tune_rate: Annotated[float, Field(gt=0)] = 3e-4
    target_only: bool = True
    split: SplitConfig = SplitConfig()
    split_seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _can_be_done(self) -> TransferConfig:
        if len(set(self.blocks)) < len(self.blocks) or len(set(self.statistics)) < len(
            self.statistics
        ):
            raise ValueError("a number of blocks or a choice of statistics comes twice")
        if 1 in self.blocks:
            raise ValueError("of one block none is left for validation: give 0, or 2 and more")
        if self.split.test == "none":
            raise ValueError("the target needs a test: give split.test")
        return self


class Variant(BaseModel):
    """One way to map the target: what it starts from, whose statistics, how many blocks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: Literal["source", "none"]
    statistics: Statistics
    blocks: int

    @property
    def name(self) -> str:
        """Its name in tables and files."""
        if self.start == "none":
            return f"target-only-{self.blocks}"
        if not self.blocks:
            return "as-is" if self.statistics == "source" else "target-statistics"
        kind = "" if self.statistics == "source" else "-target-statistics"
        return f"fine-tuned-{self.blocks}{kind}"


#: The source's model, with its own statistics and without fine-tuning.
AS_IS = Variant(start="source", statistics="source", blocks=0)


def variants(config: TransferConfig) -> list[Variant]:
    """Return the variants of a transfer; the first is always `AS_IS`, which others stand against.

    From random weights there is but one choice of statistics, those of the blocks trained on.
    """
    made = [
        Variant(start="source", statistics=statistics, blocks=blocks)
        for blocks in config.blocks
        for statistics in config.statistics
    ]
    if config.target_only:
        some = [blocks for blocks in config.blocks if blocks]
        made += [Variant(start="none", statistics="target", blocks=blocks) for blocks in some]
    return [AS_IS, *(variant for variant in made if variant != AS_IS)]
