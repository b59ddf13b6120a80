"""Where a model learns and where it is tested: splits by spatial blocks, and chips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from cryonet.config import SplitConfig
from cryonet.errors import ConfigError
from cryonet.grid import Window, tile_windows

Split = Literal["train", "validation", "test"]

#: Codes in a split map. Pixels of the gap belong to no split.
GAP, TRAIN, VALIDATION, TEST = 0, 1, 2, 3
SPLITS: dict[Split, int] = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


@dataclass(frozen=True, slots=True)
class Chip:
    """A window of a scene for training: where it is and what it holds, no pixels.

    `shares` gives, for each class code, the share of the window's pixels with that label
    that belong to the chip's split.
    """

    scene: str
    window: Window
    split: Split
    shares: tuple[float, ...]


def split_map(
    shape: tuple[int, int], config: SplitConfig, *, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Return a split code (GAP, TRAIN, VALIDATION or TEST) for every pixel.

    Blocks are drawn without replacement, so their shares are met to the block. Around
    each test and validation area, `config.gap` pixels (in the Chebyshev sense) of other
    splits become gap; a side held out for test takes its gap half from either side, as
    two halves of a scene do.

    Raises
    ------
    ConfigError
        If nothing is left for training or for validation.
    """
    test = _test_mask(shape, config, generator)
    near_test = _grow(test, config.gap) & ~test
    if config.test in ("west", "east", "north", "south"):
        near_test = _side_gap(test, config.gap)
    free = ~test & ~near_test
    blocks = _blocks(shape, config.validation_block or config.block)
    usable = [int(b) for b in np.unique(blocks[free]) if free[blocks == b].mean() > 0.5]
    count = max(1, round(config.validation_share * len(usable)))
    chosen = generator.choice(usable, size=count, replace=False) if usable else np.array([])
    validation = np.isin(blocks, chosen) & free
    codes = np.full(shape, TRAIN, np.uint8)
    around = config.gap if config.validation_gap is None else config.validation_gap
    codes[_grow(validation, around)] = GAP
    codes[validation] = VALIDATION
    codes[test] = TEST
    codes[near_test] = GAP
    for name, code in (("training", TRAIN), ("validation", VALIDATION)):
        if not (codes == code).any():
            raise ConfigError(
                f"the split leaves no {name} pixels",
                f"scene {shape}, block {config.block}, gap {config.gap}",
                "Give smaller blocks or a smaller gap.",
            )
    return codes


def _blocks(shape: tuple[int, int], block: int) -> NDArray[np.int64]:
    rows, cols = np.arange(shape[0]) // block, np.arange(shape[1]) // block
    numbers: NDArray[np.int64] = rows[:, None] * (cols[-1] + 1) + cols[None, :]
    return numbers


def _test_mask(
    shape: tuple[int, int], config: SplitConfig, generator: np.random.Generator
) -> NDArray[np.bool_]:
    test = np.zeros(shape, bool)
    half = (shape[0] // 2, shape[1] // 2)
    if config.test == "blocks":
        blocks = _blocks(shape, config.block)
        names = np.unique(blocks)
        count = max(1, round(config.test_share * len(names)))
        return np.isin(blocks, generator.choice(names, size=count, replace=False))
    if config.test == "west":
        test[:, : half[1]] = True
    elif config.test == "east":
        test[:, half[1] :] = True
    elif config.test == "north":
        test[: half[0]] = True
    elif config.test == "south":
        test[half[0] :] = True
    return test


def _grow(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    if pixels == 0 or not mask.any():
        return mask
    grown: NDArray[np.bool_] = maximum_filter(mask, size=2 * pixels + 1)
    return grown


def _side_gap(test: NDArray[np.bool_], gap: int) -> NDArray[np.bool_]:
    # Half of the gap lies on either side of the dividing line.
    before, after = (gap + 1) // 2, gap // 2
    return (_grow(test, before) & ~test) | (_grow(~test, after) & test)


def make_chips(
    labels: NDArray[np.uint8],
    splits: NDArray[np.uint8],
    *,
    scene: str,
    split: Split,
    size: int,
    stride: int,
    classes: int,
    least: float = 0.1,
) -> list[Chip]:
    """Return the chips of one split, on a regular lattice of windows.

    A window is a chip of the split when at least the share `least` of its pixels is
    labelled and belongs to it. A window that holds a test pixel is never a training or
    validation chip.

    Parameters
    ----------
    labels
        Class codes ``(y, x)``; codes of `classes` and above count as unlabelled.
    splits
        Split codes ``(y, x)`` from `split_map`.
    size, stride
        Side of a window and distance of neighbours, pixels. Windows are cut to the scene
        when it is smaller.
    """
    chips = []
    code = SPLITS[split]
    for window in tile_windows(labels.shape, size, overlap=size - stride):
        part = splits[window.slices]
        if split != "test" and (part == TEST).any():
            continue
        mine = labels[window.slices][part == code]
        counts = np.bincount(mine, minlength=256)[:classes] / part.size
        if counts.sum() >= least:
            chips.append(Chip(scene, window, split, tuple(float(c) for c in counts)))
    return chips


def chip_weights(chips: list[Chip], *, balance: float) -> NDArray[np.float64]:
    """Return the probability with which each chip is drawn.

    With the share `balance` a class is drawn first, uniformly among those present, then a
    chip in proportion to its share of that class; otherwise any chip, uniformly.
    """
    shares = np.array([chip.shares for chip in chips])
    present = shares[:, shares.sum(axis=0) > 0]
    by_class = (present / present.sum(axis=0)).mean(axis=1)
    weights: NDArray[np.float64] = balance * by_class + (1 - balance) / len(chips)
    weights /= weights.sum()
    return weights
