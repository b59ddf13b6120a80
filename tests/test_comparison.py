"""Spreads, block matrices and paired intervals, against plain counts and known cases."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from cryonet.comparison import Difference, block_confusions, class_iou, mean_iou_differences, spread
from cryonet.metrics import confusion, macro_iou


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


def blocks_of(rng: np.random.Generator, right: float, blocks: int = 60) -> np.ndarray:
    """Blocks of 100 pixels a class, of which a share near `right` is right."""
    made = np.zeros((blocks, 2, 2), np.int64)
    hits = rng.binomial(100, np.clip(rng.normal(right, 0.05, (blocks, 2)), 0, 1))
    made[:, 0, 0], made[:, 1, 1] = hits[:, 0], hits[:, 1]
    made[:, 0, 1], made[:, 1, 0] = 100 - hits[:, 0], 100 - hits[:, 1]
    return made


def macro(first: np.ndarray, second: np.ndarray, samples: int = 300) -> Difference:
    """Difference in macro IoU of one run of each."""
    places = [range(len(first))]
    return mean_iou_differences([first], [second], places=places, samples=samples)[-1]


def test_a_model_does_not_differ_from_itself() -> None:
    blocks = blocks_of(np.random.default_rng(0), 0.8)
    same = macro(blocks, blocks)
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    # Of two models of one accuracy the difference is 0: 95 % of intervals hold it.
    held = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        made = macro(blocks_of(rng, 0.8), blocks_of(rng, 0.8))
        held += made.low <= 0 <= made.high
    assert 50 <= held <= 60
    rng = np.random.default_rng(1)
    better = macro(blocks_of(rng, 0.9), blocks_of(rng, 0.8))
    assert 0 < better.low < better.mean < better.high


def test_the_interval_is_that_of_scipys_bootstrap() -> None:
    rng = np.random.default_rng(2)
    first, second = blocks_of(rng, 0.9), blocks_of(rng, 0.8)

    def figure(picked: np.ndarray) -> float:
        return macro_iou(first[picked].sum(axis=0)) - macro_iou(second[picked].sum(axis=0))

    wanted = scipy.stats.bootstrap(
        (np.arange(60),), figure, vectorized=False, n_resamples=2000, method="percentile", rng=rng
    ).confidence_interval
    found = macro(first, second, samples=2000)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=2e-3)
    assert macro(first, second, samples=2000) == found  # the same draws for the same seed


def test_the_mean_difference_is_over_runs_and_draws_ground_once() -> None:
    rng = np.random.default_rng(0)
    first = [blocks_of(rng, 0.9), blocks_of(rng, 0.8)]
    second = [blocks_of(rng, 0.7), blocks_of(rng, 0.75)]
    same = [list(range(60))] * 2
    found = mean_iou_differences(first, second, places=same)
    pairs = list(zip(first, second, strict=True))
    for code, row in enumerate(found[:2]):
        singles = [class_iou(code)(a.sum(0)) - class_iou(code)(b.sum(0)) for a, b in pairs]
        assert row.mean == pytest.approx(np.mean(singles), abs=1e-9)
        assert row.low < row.mean < row.high
    singles = [macro_iou(a.sum(axis=0)) - macro_iou(b.sum(axis=0)) for a, b in pairs]
    assert found[2].mean == pytest.approx(np.mean(singles), abs=1e-9)

    def repeated(runs: int, places: list[list[int]]) -> Difference:
        return mean_iou_differences(first[:1] * runs, second[:1] * runs, places=places)[2]

    # The same run twice tells no more of the ground than once; other ground does.
    one, twice = repeated(1, same[:1]), repeated(2, same)
    assert (twice.mean, twice.low, twice.high) == pytest.approx((one.mean, one.low, one.high))
    apart = repeated(2, [list(range(60)), list(range(60, 120))])
    assert (apart.high - apart.low) < 0.85 * (twice.high - twice.low)


def test_a_class_that_a_run_lacks_is_not_in_its_mean() -> None:
    rng = np.random.default_rng(1)
    first, second = blocks_of(rng, 0.9), blocks_of(rng, 0.7)
    bare, none = first.copy(), second.copy()
    for matrices in (bare, none):
        matrices[:, 1, :], matrices[:, :, 1] = 0, 0
    places = [[("a", n) for n in range(60)], [("b", n) for n in range(60)]]
    found = mean_iou_differences([first, bare], [second, none], places=places, samples=100)
    alone = mean_iou_differences([first], [second], places=places[:1], samples=100)
    assert found[1].mean == pytest.approx(alone[1].mean)
    nothing = mean_iou_differences([bare], [none], places=places[:1], samples=100)[1]
    assert np.isnan([nothing.mean, nothing.low, nothing.high]).all()
