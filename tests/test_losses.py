"""Losses: what they are worth, against references written here, and what they do not see."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cryonet.errors import ConfigError
from cryonet.losses import (
    EXTRA_OUTPUTS,
    LOSSES,
    boundary,
    ce_dice,
    cross_entropy,
    distance_head,
    focal,
    lovasz,
    pick_loss,
    tversky,
)
from cryonet.signed_distance import signed_distances


def batch(name: str = "", *, classes: int = 3, seed: int = 0):
    """Random outputs and labels, the first rows of which are unlabelled."""
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(
        2, classes + EXTRA_OUTPUTS.get(name, 0), 16, 12, generator=generator
    ).requires_grad_()
    labels = torch.randint(0, classes, (2, 16, 12), generator=generator)
    labels[:, :4] = 255
    return outputs, labels


def plain(logits, labels):
    """Probabilities and truth of the labelled pixels, as numpy ``(pixel, class)`` and codes."""
    known = labels != 255
    shown = logits.detach().softmax(1).movedim(1, -1)[known].double().numpy()
    return shown, labels[known].numpy()


def perfect(labels, classes: int = 3):
    return F.one_hot(labels.where(labels != 255, 0), classes).movedim(-1, 1) * 60.0 - 30


@pytest.mark.parametrize("name", LOSSES)
def test_ignored_pixels_have_no_gradient_and_change_nothing(name):
    outputs, labels = batch(name)
    value = pick_loss(name)(outputs, labels)
    value.backward()
    assert (outputs.grad[:, :, :4] == 0).all()
    assert (outputs.grad[:, :, 4:].abs().sum(dim=(0, 2, 3)) > 0).all()
    other = outputs.detach().clone()
    other[:, :, :4] = torch.randn(other[:, :, :4].shape) * 9
    torch.testing.assert_close(pick_loss(name)(other, labels), value.detach())


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_without_labels_costs_nothing(name):
    outputs, labels = batch(name)
    value = pick_loss(name)(outputs, torch.full_like(labels, 255))
    value.backward()
    assert value.item() == 0
    assert (outputs.grad == 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_map_costs_least_and_next_to_nothing(name):
    _, labels = batch()
    best = perfect(labels)
    others = [batch(seed=s)[0].detach() for s in (1, 2)]
    others += [best.roll(1, dims=1), best.roll(1, dims=-1), torch.zeros_like(best)]
    if name in EXTRA_OUTPUTS:  # the distance is told as well
        own = [signed_distances(m, 3).min(axis=0) for m in labels.numpy()]
        target = -torch.from_numpy(np.stack(own))[:, None] / 20
        best = torch.cat([best, target], dim=1)
        others = [torch.cat([o, target + shift], 1) for shift, o in enumerate(others)]
        others.append(torch.cat([best[:, :-1], target + 0.1], dim=1))
    values = [pick_loss(name)(other, labels).item() for other in others]
    assert pick_loss(name)(best, labels).item() == pytest.approx(0, abs=1e-5)
    assert min(values) > 1e-3


def test_cross_entropy_is_the_mean_of_minus_log_p():
    logits, labels = batch()
    shown, truth = plain(logits, labels)
    expected = -np.log(shown[np.arange(len(truth)), truth]).mean()
    assert cross_entropy(logits, labels).item() == pytest.approx(expected, rel=1e-5)


def test_focal_without_focus_is_cross_entropy_and_follows_its_formula():
    logits, labels = batch()
    torch.testing.assert_close(focal(logits, labels, gamma=0), cross_entropy(logits, labels))
    shown, truth = plain(logits, labels)
    p = shown[np.arange(len(truth)), truth]
    for gamma in (1.0, 2.0, 5.0):
        expected = (-((1 - p) ** gamma) * np.log(p)).mean()
        assert focal(logits, labels, gamma=gamma).item() == pytest.approx(expected, rel=1e-5)
    assert focal(logits, labels) == focal(logits, labels, gamma=2)


def test_focal_is_finite_where_the_network_is_certain():
    logits = torch.tensor([200.0, 0.0]).reshape(1, 2, 1, 1).requires_grad_()
    for truth in (0, 1):
        focal(logits, torch.full((1, 1, 1), truth)).backward()
        assert torch.isfinite(logits.grad).all()


def _tversky(logits, labels, alpha, beta):
    shown, truth = plain(logits, labels)
    worth = []
    for code in range(shown.shape[1]):
        mine = truth == code
        hit = shown[mine, code].sum()
        false, missed = shown[~mine, code].sum(), (1 - shown[mine, code]).sum()
        worth.append(1 - hit / (hit + alpha * false + beta * missed) if mine.any() else 0)
    return np.mean(worth)


def test_tversky_follows_its_formula_and_is_dice_in_the_middle():
    logits, labels = batch()
    labels[labels == 2] = 1  # a class that no pixel shows
    for alpha, beta in ((0.3, 0.7), (0.8, 0.1)):
        found = tversky(logits, labels, alpha=alpha, beta=beta).item()
        assert found == pytest.approx(_tversky(logits, labels, alpha, beta), rel=1e-5)
    dice = ce_dice(logits, labels) - cross_entropy(logits, labels)
    torch.testing.assert_close(tversky(logits, labels, alpha=0.5, beta=0.5), dice)
    assert tversky(logits, labels) == tversky(logits, labels, alpha=0.3, beta=0.7)


def test_a_miss_costs_more_than_a_false_alarm():
    labels = torch.tensor([[[0, 0, 0, 0, 1, 1, 0, 0]]])
    less, more = (perfect(torch.tensor([[guess]]), 2) for guess in (
        [0, 0, 0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 0]))  # fmt: skip
    assert tversky(less, labels) > 1.2 * tversky(more, labels)


def _lovasz(logits, labels):
    """Berman et al. (2018): sum over sorted errors m_i of m_i (J({1..i}) − J({1..i−1}))."""
    shown, truth = plain(logits, labels)
    worth = []
    for code in np.unique(truth):
        errors = [1 - p if t == code else p for p, t in zip(shown[:, code], truth, strict=True)]
        mine = [t == code for t in truth]

        def jaccard_loss(wrong, mine=mine):
            """1 − IoU of the map in which just the pixels of `wrong` are mistaken."""
            kept = sum(m and i not in wrong for i, m in enumerate(mine))
            union = sum(m or i in wrong for i, m in enumerate(mine))
            return 1 - kept / union

        order = sorted(range(len(errors)), key=lambda i: -errors[i])
        total, wrong, before = 0.0, set(), 0.0
        for i in order:
            wrong.add(i)
            now = jaccard_loss(wrong)
            total += errors[i] * (now - before)
            before = now
        worth.append(total)
    return sum(worth) / len(worth)


def test_lovasz_follows_its_definition():
    logits, labels = batch()
    assert lovasz(logits, labels).item() == pytest.approx(_lovasz(logits, labels), rel=1e-5)
    labels[labels == 1] = 0
    assert lovasz(logits, labels).item() == pytest.approx(_lovasz(logits, labels), rel=1e-5)


def test_lovasz_of_a_hard_map_is_one_minus_iou():
    labels = torch.tensor([[[0, 0, 1, 1, 1, 255]]])
    guess = perfect(torch.tensor([[[0, 1, 1, 1, 0, 0]]]), 2)
    assert lovasz(guess, labels).item() == pytest.approx(1 - (1 / 3 + 2 / 4) / 2, abs=1e-6)


def test_signed_distances_in_one_dimension():
    found = signed_distances(np.array([[0, 0, 1, 1, 1]]), 3)
    np.testing.assert_array_equal(found[1], [[1.5, 0.5, -0.5, -1.5, -2.5]])
    np.testing.assert_array_equal(found[0], -found[1])
    assert not found[2].any()
    # An unlabelled pixel is on no side, and no boundary runs along it.
    found = signed_distances(np.array([[0, 0, 255, 1, 255, 255, 255]]), 2)
    np.testing.assert_array_equal(found[1], [[2.5, 1.5, 0, -1.5, 0, 0, 0]])


def test_signed_distances_are_those_of_all_pairs():
    generator = np.random.default_rng(3)
    labels = generator.choice([0, 1, 2, 255], size=(9, 7), p=[0.5, 0.2, 0.1, 0.2])
    found = signed_distances(labels, 4)
    cells = [(r, c) for r, c in np.ndindex(labels.shape) if labels[r, c] != 255]
    for r, c in cells:
        for code in range(3):
            mine = labels[r, c] == code
            far = min(math.dist((r, c), o) for o in cells if (labels[o] == code) != mine) - 0.5
            assert found[code, r, c] == pytest.approx(-far if mine else far, rel=1e-6)
    assert not found[:, labels == 255].any() and not found[3].any()


def test_a_map_of_one_class_has_no_boundary():
    assert not signed_distances(np.full((4, 4), 1), 2).any()
    assert not signed_distances(np.full((4, 4), 255), 2).any()


def test_boundary_of_a_case_made_by_hand():
    labels = torch.tensor([[[0, 0, 1, 255]]])
    logits = torch.tensor([0.2, 0.5, 0.9, 0.9])
    logits = torch.stack([(1 - logits).log(), logits.log()])[None, :, None, :]
    # φ of class 1 is 1.5, 0.5, −0.5; of class 0 the opposite; p − g of class 1 is 0.2, 0.5,
    # −0.1; of class 0 the opposite. Twice 0.3 + 0.25 + 0.05, over three pixels:
    term = 2 * 0.6 / 3
    found = boundary(logits, labels, weight=1) - ce_dice(logits, labels)
    assert found.item() == pytest.approx(term, rel=1e-5)
    found = boundary(logits, labels) - ce_dice(logits, labels)
    assert found.item() == pytest.approx(0.01 * term, rel=1e-3)


def test_an_error_far_from_the_boundary_costs_more():
    labels = torch.tensor([[[0, 0, 0, 0, 0, 1, 1, 1]]])
    near, far = (perfect(torch.tensor([[guess]]), 2) for guess in (
        [0, 0, 0, 0, 1, 1, 1, 1], [1, 0, 0, 0, 0, 1, 1, 1]))  # fmt: skip
    torch.testing.assert_close(ce_dice(near, labels), ce_dice(far, labels))
    difference = boundary(far, labels, weight=1) - boundary(near, labels, weight=1)
    assert difference.item() == pytest.approx(2 * (4.5 - 0.5) / 8, rel=1e-5)


def test_the_distance_head_learns_the_distance_to_the_own_boundary():
    codes = [0] * 30 + [1] * 3 + [255]
    labels = torch.tensor([[codes], [[2] * 34]])  # the second image shows no boundary
    target = [min(30 - i - 0.5, 20) / 20 for i in range(30)] + [0.5 / 20, 1.5 / 20, 2.5 / 20]
    logits = torch.randn(2, 3, 1, 34)
    told = torch.tensor([*target, 7.0]).expand(2, 1, 1, 34).clone()
    told[1] = -3
    right = distance_head(torch.cat([logits, told], 1), labels)
    torch.testing.assert_close(right, ce_dice(logits, labels))
    told[0, 0, 0, 0] += 0.5
    wrong = distance_head(torch.cat([logits, told], 1), labels)
    assert (wrong - right).item() == pytest.approx(0.5**2 / 2 / 33, rel=1e-3)


def test_unknown_loss_is_refused():
    with pytest.raises(ConfigError, match="hinge"):
        pick_loss("hinge")
