"""Deletion and insertion, rank correlation and random weights on models that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from test_missing_families import mixing_bundle

from cryonet.errors import ConfigError
from cryonet.explain.correlation import pearson, spearman, totals_agree
from cryonet.explain.curves import importance_curves
from cryonet.explain.random_weights import randomised

WEIGHTS = {"a": 4.0, "b": -1.0, "c": 2.0, "d": 0.5, "e": 0.0}


def linear(keep):
    """Evidence that each layer adds its weight to: from 10 at the baseline."""
    return 10 + keep @ np.array(list(WEIGHTS.values()))


def test_a_linear_model_is_taken_apart_in_order():
    curves = importance_curves(linear, WEIGHTS, list(WEIGHTS), seed=1)
    assert curves.order == ("a", "c", "d", "e", "b")
    np.testing.assert_allclose(curves.deletion, [15.5, 11.5, 9.5, 9, 9, 10])
    np.testing.assert_allclose(curves.insertion, [10, 14, 16, 16.5, 16.5, 15.5])
    assert (curves.value, curves.base) == (15.5, 10)
    shares = (np.array([11.5, 9.5, 9, 9]) - 10) / 5.5
    assert curves.deletion_area == pytest.approx((shares.sum() + 0.5) / 5)
    # Of a linear model the two areas make one, and random orders come to half in the mean.
    assert curves.insertion_area == pytest.approx(1 - curves.deletion_area)
    assert curves.insertion_area > curves.random_areas.max() > curves.random_areas.min()
    assert curves.random_areas.min() > curves.deletion_area
    assert curves.random.shape == (10, 6)
    many = importance_curves(linear, WEIGHTS, list(WEIGHTS), orders=4000)
    assert many.random_areas.mean() == pytest.approx(0.5, abs=0.02)


def test_no_order_of_a_linear_model_beats_its_own():
    best = importance_curves(linear, WEIGHTS, list(WEIGHTS))
    other = importance_curves(linear, WEIGHTS | {"a": 0.1, "b": 3}, list(WEIGHTS))
    assert other.order[0] == "b"
    assert other.deletion_area > best.deletion_area
    assert other.insertion_area < best.insertion_area


def test_families_go_as_a_whole():
    names = ["f", "f", "g", "h", "h"]
    curves = importance_curves(linear, {"f": 3, "g": 2, "h": 0.5}, names)
    np.testing.assert_allclose(curves.deletion, [15.5, 12.5, 10.5, 10])
    np.testing.assert_allclose(curves.random[:, [0, -1]], [[15.5, 10]] * 10)


def test_evidence_that_rises_to_the_baseline_is_ordered_by_what_lowers_it():
    curves = importance_curves(
        lambda keep: -linear(keep), {n: -w for n, w in WEIGHTS.items()}, list(WEIGHTS)
    )
    assert curves.order[0] == "a" and curves.value < curves.base
    assert curves.insertion_area > 0.5 > curves.deletion_area


def test_without_a_difference_there_is_no_area():
    curves = importance_curves(lambda keep: np.zeros(len(keep)), WEIGHTS, list(WEIGHTS))
    assert np.isnan(curves.deletion_area) and np.isnan(curves.random_areas).all()


def test_curves_refuse_what_cannot_be():
    with pytest.raises(ConfigError, match="no random order to compare with: 0"):
        importance_curves(linear, WEIGHTS, list(WEIGHTS), orders=0)
    with pytest.raises(ConfigError, match="not those of the layers: a, b, c, d, e"):
        importance_curves(linear, WEIGHTS, ["a", "b"])
    with pytest.raises(ConfigError, match="not those of the layers: a"):
        importance_curves(linear, {"a": 1.0}, ["a"])


def test_ranks_are_scipys():
    generator = np.random.default_rng(0)
    one, two = generator.integers(0, 6, (2, 40)).astype(float)
    assert spearman(one, two) == pytest.approx(spearmanr(one, two).statistic)
    assert spearman(one, one**3) == 1 and spearman(one, -one) == -1
    assert pearson(one, two) == pytest.approx(np.corrcoef(one, two)[0, 1])
    assert np.isnan(spearman([1, 1], [2, 3])) and np.isnan(pearson([], []))
    assert np.isnan(spearman([1], [1]))


def test_totals_that_are_nothing_in_both_do_not_count():
    one = {"a": 3, "b": -2, "c": 1, "d": 0, "e": 0}
    two = {"a": 1, "b": 2, "c": 3, "d": 0, "e": 0}
    assert totals_agree(one, two) == pytest.approx(spearman([3, -2, 1], [1, 2, 3]))
    assert totals_agree(one, two, sign=False) == -1
    assert totals_agree(one, dict(reversed(one.items()))) == 1


def network():
    return torch.nn.Sequential(
        torch.nn.Conv2d(7, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Conv2d(8, 3, 1)
    )


def test_random_weights_come_from_the_output_and_from_the_seed():
    bundle = replace(mixing_bundle(), module=network().eval())
    torch.nn.init.constant_(bundle.module[1].running_var, 3.0)
    before = {name: value.clone() for name, value in bundle.module.state_dict().items()}
    part = randomised(bundle, seed=1, share=1 / 3).module
    assert torch.equal(part[0].weight, before["0.weight"])
    assert torch.equal(part[1].running_var, before["1.running_var"])
    assert not torch.equal(part[2].weight, before["2.weight"])
    whole = randomised(bundle, seed=1).module
    assert not torch.equal(whole[0].weight, before["0.weight"])
    assert (whole[1].running_var == 1).all() and (whole[2].bias == 0).all()
    assert whole[0].weight.std().item() == pytest.approx((2 / 63) ** 0.5, rel=0.1)
    again, other = (randomised(bundle, seed=n).module for n in (1, 2))
    assert torch.equal(again[0].weight, whole[0].weight)
    assert not torch.equal(other[0].weight, whole[0].weight)
    # The bundle itself keeps what it learned.
    for name, value in bundle.module.state_dict().items():
        assert torch.equal(value, before[name])
    assert not whole.training


def test_random_weights_refuse_what_cannot_be():
    with pytest.raises(ConfigError, match="out of range: 0"):
        randomised(mixing_bundle(), seed=0, share=0)
    bare = replace(mixing_bundle(), module=torch.nn.Identity())
    with pytest.raises(ConfigError, match="no weights to make random"):
        randomised(bare, seed=0)
