"""Spreads, block matrices and paired intervals, against plain counts and known cases."""

from __future__ import annotations

import numpy as np
import pytest

from cryonet.comparison import block_confusions, class_iou, paired_difference, spread
from cryonet.metrics import confusion


def test_spread_is_over_what_is_defined() -> None:
    found = spread([0.5, 0.7, float("nan"), 0.9])
    assert (found.mean, found.runs) == (pytest.approx(0.7), 3)
    assert found.deviation == pytest.approx(0.2) and str(found) == "0.700 ± 0.200"
    assert str(spread([0.25])) == "0.250" and str(spread([])) == "–"


def test_block_matrices_add_up_and_lie_where_their_pixels_do() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (37, 50)).astype(np.uint8)
    labels[rng.random((37, 50)) < 0.2] = 255
    found = rng.integers(0, 3, (37, 50)).astype(np.uint8)
    found[rng.random((37, 50)) < 0.1] = 255
    mask = np.zeros((37, 50), bool)
    mask[5:30, 8:44] = True
    made = block_confusions(found, labels, mask, block=16, classes=3)
    expected = []
    for row in range(0, 37, 16):
        for col in range(0, 50, 16):
            part = (slice(row, row + 16), slice(col, col + 16))
            truth = np.where(mask[part], labels[part], 255)
            matrix = confusion(found[part], truth, 3)
            if matrix.sum():
                expected.append(matrix)
    np.testing.assert_array_equal(made, expected)


def matrices(rng: np.random.Generator, right: float, blocks: int = 60) -> np.ndarray:
    """Blocks of 100 pixels a class, of which a share near `right` is right."""
    made = np.zeros((blocks, 2, 2), np.int64)
    hits = rng.binomial(100, np.clip(rng.normal(right, 0.05, (blocks, 2)), 0, 1))
    made[:, 0, 0], made[:, 1, 1] = hits[:, 0], hits[:, 1]
    made[:, 0, 1], made[:, 1, 0] = 100 - hits[:, 0], 100 - hits[:, 1]
    return made


def test_a_model_does_not_differ_from_itself() -> None:
    blocks = matrices(np.random.default_rng(0), 0.8)
    same = paired_difference([blocks], [blocks], samples=200)
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    # Of two models of one accuracy the difference is 0: 95 % of intervals hold it.
    held = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        made = paired_difference([matrices(rng, 0.8)], [matrices(rng, 0.8)], samples=300)
        held += made.low <= 0 <= made.high
    assert 50 <= held <= 60
    rng = np.random.default_rng(1)
    better = paired_difference([matrices(rng, 0.9)], [matrices(rng, 0.8)], samples=300)
    assert 0 < better.low < better.mean < better.high


def test_a_figure_of_one_class_and_the_same_draws_for_the_same_seed() -> None:
    rng = np.random.default_rng(2)
    first, second = matrices(rng, 0.9), matrices(rng, 0.7)
    made = [paired_difference([first], [second], class_iou(1), samples=100) for _ in range(2)]
    assert made[0] == made[1]
    total = first.sum(axis=0), second.sum(axis=0)
    assert made[0].mean == pytest.approx(class_iou(1)(total[0]) - class_iou(1)(total[1]))
