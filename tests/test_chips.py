"""Splits by blocks with a gap, and chips inside them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_cdt

from cryonet.chips import GAP, SPLITS, TEST, TRAIN, VALIDATION, chip_weights, make_chips, split_map
from cryonet.config import SplitConfig
from cryonet.errors import ConfigError


@settings(max_examples=30, deadline=None)
@given(
    test=st.sampled_from(["none", "west", "east", "north", "south", "blocks"]),
    gap=st.integers(0, 12),
    seed=st.integers(0, 99),
)
def test_splits_keep_their_distance(test, gap, seed):
    config = SplitConfig(test=test, block=16, gap=gap, validation_share=0.2)
    codes = split_map((150, 170), config, generator=np.random.default_rng(seed))
    assert set(np.unique(codes)) <= {GAP, TRAIN, VALIDATION, TEST}
    for code in (VALIDATION, TEST):
        if (codes == code).any():
            away = distance_transform_cdt(codes != code, metric="chessboard")
            # On a side, the gap counts from test pixel to training pixel, both outside it.
            assert away[codes == TRAIN].min() > gap


def test_a_half_takes_half_of_the_gap_from_either_side():
    config = SplitConfig(test="west", block=80, gap=20)
    codes = split_map((655, 800), config, generator=np.random.default_rng(0))
    assert (codes[:, :390] == TEST).all()
    assert (codes[:, 390:410] == GAP).all()
    assert not (codes[:, 410:] == TEST).any()


def test_validation_blocks_have_their_own_size():
    config = SplitConfig(
        block=64, gap=8, validation_block=16, validation_gap=0, validation_share=0.3
    )
    codes = split_map((256, 256), config, generator=np.random.default_rng(3))
    coarse = split_map(
        (256, 256),
        config.model_copy(update={"validation_block": None}),
        generator=np.random.default_rng(3),
    )
    np.testing.assert_array_equal(codes == TEST, coarse == TEST)
    shares = (codes == VALIDATION).reshape(16, 16, 16, 16).mean(axis=(1, 3))
    free = (codes != TEST) & (codes != GAP)
    whole = free.reshape(16, 16, 16, 16).all(axis=(1, 3))
    # A block is validation wholly or not at all, but for its part in the gap.
    assert set(np.unique(shares[whole])) == {0, 1}
    assert (shares[whole] == 1).sum() > 10
    assert (shares > 0).sum() == round(0.3 * _usable(codes, 16))


def _usable(codes, side):
    """Blocks of which more than half is neither test nor gap round it."""
    free = ((codes == TRAIN) | (codes == VALIDATION)).astype(float)
    count = codes.shape[0] // side
    return int((free.reshape(count, side, count, side).mean(axis=(1, 3)) > 0.5).sum())


def test_same_seed_same_split():
    config = SplitConfig(block=16, gap=4)
    one, two, other = (
        split_map((128, 128), config, generator=np.random.default_rng(s)) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_a_split_with_nothing_left_is_refused():
    with pytest.raises(ConfigError, match="training"):
        split_map((64, 64), SplitConfig(block=32, gap=64), generator=np.random.default_rng(0))


def test_training_chips_hold_no_test_pixel_and_count_their_own():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, (200, 260)).astype(np.uint8)
    labels[:30] = 255
    config = SplitConfig(test="east", block=32, gap=8)
    splits = split_map(labels.shape, config, generator=generator)
    chips = make_chips(labels, splits, scene="s", split="train", size=48, stride=16, classes=4)
    assert chips
    for chip in chips:
        part = splits[chip.window.slices]
        assert not (part == TEST).any()
        mine = labels[chip.window.slices][part == SPLITS["train"]]
        expected = [(mine == code).sum() / part.size for code in range(4)]
        np.testing.assert_allclose(chip.shares, expected)


def test_balance_lifts_a_rare_class():
    labels = np.zeros((256, 256), np.uint8)
    labels[:32, :32] = 2
    splits = np.full(labels.shape, TRAIN, np.uint8)
    chips = make_chips(labels, splits, scene="s", split="train", size=32, stride=32, classes=3)
    rare = np.array([chip.shares[2] > 0 for chip in chips])
    assert chip_weights(chips, balance=0)[rare].sum() == pytest.approx(1 / 64)
    assert chip_weights(chips, balance=1)[rare].sum() == pytest.approx(0.5)


def test_a_scene_smaller_than_a_chip_is_one_chip():
    labels = np.ones((20, 30), np.uint8)
    splits = np.full(labels.shape, TRAIN, np.uint8)
    chips = make_chips(labels, splits, scene="s", split="train", size=64, stride=16, classes=2)
    assert [(c.window.height, c.window.width) for c in chips] == [(20, 30)]
