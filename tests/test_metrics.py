"""Scores against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, jaccard_score, precision_score, recall_score

from conftest import grid
from cryonet.errors import CryonetError
from cryonet.evaluate import area_table, score
from cryonet.metrics import class_scores, confusion, macro_iou, micro_iou


@pytest.fixture
def maps():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 4, (50, 60)).astype(np.uint8)
    predicted = np.where(generator.random(truth.shape) < 0.6, truth, 3 - truth).astype(np.uint8)
    return truth, predicted


def test_scores_match_scikit_learn(maps):
    truth, predicted = (m.ravel() for m in maps)
    matrix = confusion(predicted, truth, 4)
    np.testing.assert_array_equal(matrix, confusion_matrix(truth, predicted))
    found = class_scores(matrix)
    for name, peer in {
        "iou": jaccard_score,
        "precision": precision_score,
        "recall": recall_score,
        "f1": f1_score,
    }.items():
        np.testing.assert_allclose(found[name], peer(truth, predicted, average=None))
    assert macro_iou(matrix) == pytest.approx(jaccard_score(truth, predicted, average="macro"))
    assert micro_iou(matrix) == pytest.approx(jaccard_score(truth, predicted, average="micro"))
    foreground = jaccard_score(truth, predicted, average="macro", labels=[1, 2, 3])
    assert macro_iou(matrix, background=False) == pytest.approx(foreground)


def test_unlabelled_and_unpredicted_pixels_do_not_count(maps):
    truth, predicted = maps[0].copy(), maps[1].copy()
    truth[0], predicted[1] = 255, 255
    matrix = confusion(predicted, truth, 4)
    assert matrix.sum() == truth.size - 2 * truth.shape[1]


def test_an_absent_class_has_no_score():
    """T16."""
    matrix = confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 4)
    assert np.isnan(class_scores(matrix)["iou"][2:]).all()
    assert macro_iou(matrix) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert np.isnan(micro_iou(np.zeros((3, 3), np.int64)))


def test_shapes_must_agree():
    with pytest.raises(CryonetError, match="shape"):
        confusion(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), 2)


def test_areas_and_their_error(maps):
    truth, predicted = maps
    found = score(predicted, truth, grid(50, 60), classes=["a", "b", "c", "d"])
    assert found.classes[1].labelled_km2 == pytest.approx((truth == 1).sum() * 1e-4)
    assert found.classes[1].area_error == pytest.approx(
        (predicted == 1).sum() / (truth == 1).sum() - 1
    )
    assert sum(area_table(truth, grid(50, 60)).values()) == pytest.approx(0.3)
    plain = found.to_dict()
    assert plain["pixels"] == truth.size
    assert plain["classes"][2]["iou"] == pytest.approx(found.classes[2].iou)


def test_a_mask_limits_what_counts(maps):
    truth, predicted = maps
    mask = np.zeros(truth.shape, bool)
    mask[:, :10] = True
    found = score(predicted, truth, grid(50, 60), classes=list("abcd"), mask=mask)
    assert found.confusion.sum() == 500
