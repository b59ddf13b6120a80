"""Layer importance by retraining: stacks without a family of layers, and with it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, model_validator

from cryonet.classes import NODATA
from cryonet.errors import ConfigError
from cryonet.layers import LAYERS, build_stack, fit_layers, select_layers
from cryonet.layers.fits import FIT_NAMES, fits_of
from cryonet.layers.spec import Family

#: Families that say much the same, by name. ``spectral`` are functions of a pixel's bands,
#: ``imagery`` has texture besides, which is a function of one band's neighbourhood; ``insar``
#: comes from pairs of radar images. What one member holds, the others tell too, so leaving
#: out one alone says little.
GROUPS: Mapping[str, tuple[Family, ...]] = {
    "spectral": ("optical", "indices", "pca", "tasseled_cap"),
    "imagery": ("optical", "indices", "pca", "tasseled_cap", "texture"),
    "insar": ("coherence", "phase"),
}

GroupName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.]*$")]


class ImportanceConfig(BaseModel):
    """Which families of a stack are left out, and which stand alone.

    Attributes
    ----------
    stack
        The stack families are taken from, by its name in the experiment.
    without, only
        Train without each family or group, and with it alone.
    families, groups
        Single families, and named groups of them. If not given: every family of the stack,
        and those of `GROUPS` that are more than one family of it and less than all.
    search
        ``shared``: the learning rate that the sweep found for the whole stack serves all.
        ``each``: a sweep for each stack, which costs that many runs more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stack: str = "full"
    without: bool = True
    only: bool = True
    families: Annotated[tuple[Family, ...], Field(min_length=1)] | None = None
    groups: dict[GroupName, Annotated[tuple[Family, ...], Field(min_length=1)]] | None = None
    search: Literal["shared", "each"] = "shared"

    @model_validator(mode="after")
    def _asks(self) -> ImportanceConfig:
        if not (self.without or self.only):
            raise ValueError("without and only are both false: nothing is left to do")
        names = [*(self.families or ()), *(self.groups or ())]
        if len(set(names)) < len(names):
            raise ValueError("a family or group comes twice")
        return self


@dataclass(frozen=True, slots=True)
class Ablation:
    """A stack made of another: what is left out of it or kept, and the layers it then has."""

    kind: Literal["without", "only"]
    group: str
    layers: tuple[str, ...]

    @property
    def name(self) -> str:
        """The stack's name."""
        return f"{self.kind}-{self.group}"


def ablations(
    config: ImportanceConfig, stack: str | Sequence[str], scenes: Sequence[xr.Dataset]
) -> list[Ablation]:
    """Return the stacks to train beside `stack`, group by group.

    Parameters
    ----------
    stack
        The name of a stack, or names of layers.
    scenes
        They tell which layers of the stack there are.

    Raises
    ------
    ConfigError
        If a family or group asked for is not in the stack, or is all of it.
    LayerError
        If a scene cannot give the stack.
    """
    present = common_layers(stack, scenes)
    made = []
    for group, families in _groups(config, present).items():
        kept = tuple(name for name in present if LAYERS[name].family in families)
        rest = tuple(name for name in present if name not in kept)
        if not kept or not rest:
            what = "is not in the stack" if not kept else "is the whole stack"
            held = ", ".join(dict.fromkeys(LAYERS[name].family for name in present))
            raise ConfigError(f"the group {what}", group, f"The stack holds {held}.")
        if config.without:
            made.append(Ablation("without", group, rest))
        if config.only:
            made.append(Ablation("only", group, kept))
    return made


def common_layers(stack: str | Sequence[str], scenes: Sequence[xr.Dataset]) -> list[str]:
    """Return the layers of a stack that the scenes give, all the same.

    Raises
    ------
    ConfigError
        If one scene gives others than the next.
    """
    found = [[s.name for s in select_layers(sc, stack, fits=FIT_NAMES)[0]] for sc in scenes]
    for names in found[1:]:
        differ = set(names) ^ set(found[0])
        if differ:
            rule = "Name the layers that all scenes have."
            raise ConfigError("the scenes differ in layers", sorted(differ), rule)
    return found[0]


def _groups(config: ImportanceConfig, present: Sequence[str]) -> dict[str, tuple[Family, ...]]:
    """Return the families of each group, those asked for or those that suit the layers."""
    held = dict.fromkeys(LAYERS[name].family for name in present)
    singles = tuple(held) if config.families is None else config.families
    groups: dict[str, tuple[Family, ...]] = {family: (family,) for family in singles}
    if config.groups is not None:
        return groups | config.groups
    seen: list[set[Family]] = []
    for name, families in GROUPS.items():
        members = {family for family in families if family in held}
        if 1 < len(members) < len(held) and members not in seen:
            seen.append(members)
            groups[name] = families
    return groups


def complete_only(scene: xr.Dataset, layers: Sequence[str]) -> xr.Dataset:
    """Return `scene` with labels only where every layer has a value.

    Layers have holes, and a stack of fewer layers has fewer of them. So that stacks learn from
    the same pixels and are tested on the same, the labels of the others are left out.
    """
    specs = [LAYERS[name] for name in layers]
    # The fits move values, not holes: any will do.
    stack = build_stack(scene, list(layers), fits=fit_layers([scene], names=fits_of(specs)))
    known = np.ones(scene["labels"].shape, bool)
    for name in layers:
        known &= np.isfinite(stack[name].values)
    labels = scene["labels"].copy(data=np.where(known, scene["labels"].values, NODATA))
    return scene.assign(labels=labels)
