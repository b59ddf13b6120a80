"""Figures read strip by strip against whole rasters in plain numpy and scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from report_ground import NAMES
from sklearn.metrics import confusion_matrix, jaccard_score, precision_score, recall_score

from cryonet import prediction_files
from cryonet.chips import SPLITS
from cryonet.evaluate import score_prediction
from cryonet.passport import split_mask
from cryonet.prediction import open_prediction
from cryonet.prediction_files import PredictionFiles
from cryonet.report.measures import measure
from cryonet.report.origins import find_scene
from cryonet.report.told import read_told

CELL = 1e-4  # km², a pixel of 10 m


def measured(path, *, rows=0, monkeypatch=None, progress=None):
    if rows:
        monkeypatch.setattr(prediction_files, "STRIP", rows * 83)
    with PredictionFiles(path) as files:
        scene, _ = find_scene(files, read_told(files.passport), None)
        options = {"progress": progress} if progress is not None else {}
        return measure(files, scene, correlation=100, buffer=0.5, **options)


def whole(path, name):
    with rasterio.open(path / f"{name}.tif") as file:
        return file.read().squeeze()


@pytest.fixture(params=[0, 7, 1, 10])
def figures(request, shared, monkeypatch):
    return measured(shared.map, rows=request.param, monkeypatch=monkeypatch)


def test_areas_are_those_of_the_whole_raster(figures, shared):
    codes, stored = whole(shared.map, "classes"), whole(shared.map, "probabilities")
    shares = np.where(stored == 255, 0, stored / 250)
    known = codes != 255
    for code, row in enumerate(figures.areas):
        inside = codes == code
        assert row.name == NAMES[code]
        assert row.mapped == pytest.approx(inside.sum() * CELL)
        assert row.expected == pytest.approx(shares[code].sum() * CELL, rel=1e-6)
        spread = np.sqrt(shares[code] * (1 - shares[code])) * CELL
        assert row.independent == pytest.approx(np.sqrt((spread**2).sum()), rel=1e-6)
        assert row.together == pytest.approx(spread.sum(), rel=1e-6)
        squares = [
            spread[top : top + 10, left : left + 10].sum()
            for top in range(0, 61, 10)
            for left in range(0, 83, 10)
        ]
        assert row.correlated == pytest.approx(np.linalg.norm(squares), rel=1e-6)
        down = (inside[1:] != inside[:-1]) & known[1:] & known[:-1]
        across = (inside[:, 1:] != inside[:, :-1]) & known[:, 1:] & known[:, :-1]
        assert row.buffer == pytest.approx(0.5 * (down.sum() + across.sum()) * CELL)
    assert (figures.mapped, figures.pixels) == (known.sum(), 61 * 83)


def test_scores_are_those_of_scikit_learn(figures, shared):
    codes, labels = whole(shared.map, "classes"), whole(shared.scene, "labels")
    counted = (codes != 255) & (labels != 255)
    truth, found = labels[counted], codes[counted]
    # The demo's bundle was never trained on this scene.
    assert list(figures.scores) == ["unseen"] and figures.doubt == ""
    scores = figures.scores["unseen"]
    np.testing.assert_array_equal(scores.confusion, confusion_matrix(truth, found))
    for name, score in (
        ("iou", jaccard_score), ("precision", precision_score), ("recall", recall_score)
    ):  # fmt: skip
        expected = score(truth, found, average=None)
        assert [getattr(row, name) for row in scores.classes] == pytest.approx(list(expected))
    counts = np.bincount(truth, minlength=4) * CELL
    assert [row.labelled_km2 for row in scores.classes] == pytest.approx(list(counts))
    reference = score_prediction(open_prediction(shared.map), labels)
    (ours,), theirs = scores.probabilities, reference.probabilities[-1]
    np.testing.assert_array_equal(ours.table.counts, theirs.table.counts)
    assert ours.table.ece == pytest.approx(theirs.table.ece)
    assert ours.classwise_ece == pytest.approx(theirs.classwise_ece)


def test_hypsometry_is_a_histogram_of_the_whole_raster(figures, shared):
    codes, elevation = whole(shared.map, "classes"), whole(shared.scene, "elevation")
    found = figures.hypsometry
    step = found.edges[1] - found.edges[0]
    assert found.edges[0] % step == 0
    for code in range(4):
        inside = elevation[codes == code]
        counts, _ = np.histogram(inside[np.isfinite(inside)], found.edges)
        np.testing.assert_allclose(found.km2[code], counts * CELL)
        assert found.unknown[code] == pytest.approx(np.isnan(inside).sum() * CELL)
    assert found.km2.sum() + found.unknown.sum() == pytest.approx(figures.mapped * CELL)


def test_confidence_is_counted_by_class(figures, shared):
    codes, stored = whole(shared.map, "classes"), whole(shared.map, "confidence")
    found, low = figures.confidence, figures.confidence.between(0, 0.5)
    for code in range(4):
        inside = stored[codes == code] / 250
        assert found.mean[code] == pytest.approx(inside.mean())
        assert low[code] == pytest.approx((inside < 0.5).mean())
    inside = stored[codes != 255] / 250
    assert (found.mean[-1], low[-1]) == pytest.approx((inside.mean(), (inside < 0.5).mean()))
    assert 0 < low[-1] < 1


def test_of_a_training_scene_each_split_is_scored_apart(placed, monkeypatch):
    passport = json.loads((placed.map / "passport.json").read_text())
    training = passport["bundle"]["training"]
    training["scenes"][0]["id"] = "ground"
    training["config"]["split"] |= {"test": "west", "block": 16, "gap": 2}
    (placed.map / "passport.json").write_text(json.dumps(passport))
    found = measured(placed.map, rows=9, monkeypatch=monkeypatch)
    codes, labels = whole(placed.map, "classes"), whole(placed.scene, "labels")
    assert set(found.scores) == set(SPLITS)
    for split, scores in found.scores.items():
        mask = split_mask(passport, split, (61, 83))
        counted = mask & (codes != 255) & (labels != 255)
        expected = confusion_matrix(labels[counted], codes[counted], labels=range(4))
        np.testing.assert_array_equal(scores.confusion, expected)


def test_what_training_saw_may_be_unknown(placed):
    passport = json.loads((placed.map / "passport.json").read_text())
    training = passport["bundle"]["training"]
    training["scenes"][0]["id"] = "ground"
    training["config"]["split"] = "given"
    (placed.map / "passport.json").write_text(json.dumps(passport))
    found = measured(placed.map)
    assert list(found.scores) == ["unknown"] and "given as maps" in found.doubt
    del passport["bundle"]
    (placed.map / "passport.json").write_text(json.dumps(passport))
    found = measured(placed.map)
    assert list(found.scores) == ["unknown"] and "how the model was trained" in found.doubt


def test_without_labels_and_elevation_there_are_areas(shared, monkeypatch):
    with PredictionFiles(shared.map) as files:
        found = measure(files, None, correlation=100, buffer=0.5)
    assert found.scores == {} and found.hypsometry is None
    assert found.areas == measured(shared.map).areas


def test_progress_tells_rows(shared, monkeypatch):
    class Told(list):
        def step(self, done, total, message=""):
            self.append((done, total))

    told = Told()
    measured(shared.map, rows=20, monkeypatch=monkeypatch, progress=told)
    assert told == [(0, 61), (20, 61), (40, 61), (60, 61), (61, 61)]
