"""Turn and flip chips, directions with them; brighten them; leave families of layers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryonet.config import AugmentConfig
from cryonet.errors import ConfigError, LayerError
from cryonet.layers.spec import Family


class Directed(Protocol):
    """A layer's name and direction: a `LayerSpec` or a manifest's layer entry."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def direction(self) -> str: ...  # noqa: D102
    @property
    def vector(self) -> str: ...  # noqa: D102


class OfFamily(Protocol):
    """A layer's family: a `LayerSpec` or a manifest's layer entry."""

    @property
    def family(self) -> Family: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Dihedral:
    """One of the eight ways to lay a square: `turns` counter-clockwise, then `flip`.

    `flip` mirrors east and west.
    """

    turns: int
    flip: bool

    @property
    def inverse(self) -> Dihedral:
        """The way back: a flipped turn is its own inverse."""
        return self if self.flip else Dihedral(-self.turns % 4, False)


#: All eight, the identity first.
DIHEDRALS = tuple(Dihedral(turns, flip) for flip in (False, True) for turns in range(4))


def direction_pairs(layers: Sequence[Directed]) -> list[tuple[int, int]]:
    """Return the channel numbers (east, north) of each direction among `layers`.

    Raises
    ------
    LayerError
        If a direction has only one of its components: it could not be turned.
    """
    found: dict[str, dict[str, int]] = {}
    for index, layer in enumerate(layers):
        if layer.direction != "scalar":
            found.setdefault(layer.vector, {})[layer.direction] = index
    for vector, parts in found.items():
        if set(parts) != {"east", "north"}:
            raise LayerError(
                f"the direction {vector} lacks a component",
                [layers[i].name for i in parts.values()],
                "Take both components or neither.",
            )
    return [(parts["east"], parts["north"]) for parts in found.values()]


def turn(image: Tensor, dihedral: Dihedral, pairs: Sequence[tuple[int, int]] = ()) -> Tensor:
    """Return `image` turned and flipped, its directions with it.

    Parameters
    ----------
    image
        Tensor ``(..., channel, y, x)``, north up.
    pairs
        Channels (east, north) of each direction, from `direction_pairs`. The two must be
        on one scale with zero as zero.
    """
    if dihedral == DIHEDRALS[0]:
        return image
    turned = torch.rot90(image, dihedral.turns, (-2, -1))
    if dihedral.flip:
        turned = turned.flip(-1)
    if not pairs:
        return turned
    turned = turned.clone()
    for east, north in pairs:
        e, n = turned[..., east, :, :].clone(), turned[..., north, :, :].clone()
        # A quarter turn counter-clockwise takes east to north and north to west.
        for _ in range(dihedral.turns % 4):
            e, n = -n, e
        turned[..., east, :, :] = -e if dihedral.flip else e
        turned[..., north, :, :] = n
    return turned


def brighten(
    image: Tensor,
    spectral: NDArray[np.bool_],
    *,
    gain: float,
    shift: float,
    generator: np.random.Generator,
) -> Tensor:
    """Return `image` with its spectral channels scaled and shifted at random.

    Parameters
    ----------
    image
        Normalised chip ``(channel, y, x)``.
    spectral
        For each channel, whether it may change.
    gain, shift
        Standard deviations of the common factor and addend; each channel moves by a third
        of that on its own besides.
    """
    if gain == 0 and shift == 0:
        return image
    count = len(spectral)
    factor = 1 + generator.normal(0, 1) * gain + generator.normal(0, 1, count) * gain / 3
    addend = generator.normal(0, 1) * shift + generator.normal(0, 1, count) * shift / 3
    factor, addend = np.where(spectral, factor, 1.0), np.where(spectral, addend, 0.0)
    weights = torch.as_tensor(np.stack([factor, addend]), dtype=image.dtype)[:, :, None, None]
    return image * weights[0] + weights[1]


def optional_families(
    layers: Sequence[OfFamily], config: AugmentConfig
) -> tuple[tuple[Family, ...], ...]:
    """Return the groups of families that training leaves out now and then; () if none.

    Families of which there is no layer are not among them.

    Raises
    ------
    ConfigError
        If every layer could be left out at once.
    """
    if config.family_dropout == 0:
        return ()
    present = {layer.family for layer in layers}
    groups = [tuple(f for f in group if f in present) for group in config.families]
    if present <= {family for group in groups for family in group}:
        raise ConfigError(
            "every family could be missing", sorted(present), "Keep one out of augment.families."
        )
    return tuple(group for group in groups if group)


def drop_families(
    image: Tensor,
    layers: Sequence[OfFamily],
    config: AugmentConfig,
    *,
    generator: np.random.Generator,
) -> Tensor:
    """Return `image` with each group of families set to zero or not, by chance.

    Zero is the training mean, which is also what a missing value becomes.

    Parameters
    ----------
    image
        Normalised chip ``(channel, y, x)``.
    layers
        Of its channels, in order.
    config
        Its `family_dropout` is the probability for each group on its own. At 0 nothing is drawn
        from `generator`.
    """
    groups = optional_families(layers, config)
    if not groups:
        return image
    drawn = generator.random(len(groups)) < config.family_dropout
    gone = {family for group, out in zip(groups, drawn, strict=True) if out for family in group}
    kept = torch.tensor([layer.family not in gone for layer in layers])
    return torch.where(kept[:, None, None], image, torch.zeros((), dtype=image.dtype))
