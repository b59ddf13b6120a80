"""A prediction read from its files in parts: what it holds whole, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from report_ground import SHAPE, make_codes, place

from conftest import grid
from cryonet import prediction_files
from cryonet.cog import Band, write_cog
from cryonet.errors import GridError, SceneError
from cryonet.grid import Window
from cryonet.prediction import linked_folders, open_prediction
from cryonet.prediction_files import PredictionFiles


@pytest.fixture
def placed(tmp_path):
    return place(tmp_path)


@pytest.mark.parametrize("rows", [1, 7, 61, 100])
def test_strips_are_the_prediction(placed, monkeypatch, rows):
    monkeypatch.setattr(prediction_files, "STRIP", rows * SHAPE[1])
    with PredictionFiles(placed.map) as files:
        strips = list(files.strips())
    assert {strip.window.height for strip in strips[:-1]} <= {rows}
    whole = open_prediction(placed.map)
    np.testing.assert_array_equal(
        np.concatenate([strip.codes for strip in strips]), whole["classes"].values
    )
    np.testing.assert_array_equal(
        np.concatenate([strip.probabilities for strip in strips], axis=1),
        whole["probabilities"].values,
    )
    stored = np.concatenate([strip.confidence for strip in strips])
    expected = np.nan_to_num(np.rint(whole["confidence"].values * 250), nan=255)
    np.testing.assert_array_equal(stored, expected)


def test_parts_are_where_they_are_asked_for(placed):
    with PredictionFiles(placed.map) as files:
        found = files.codes(Window(20, 11, 30, 17))
        small = files.confidence((6, 8))
    np.testing.assert_array_equal(found, make_codes()[20:50, 11:28])
    whole = open_prediction(placed.map)["confidence"].values
    assert small.shape == (6, 8)
    assert small[2, 3] / 250 == pytest.approx(whole[20:31, 31:42].mean(), abs=0.03)


def test_files_of_another_kind_are_refused(placed):
    def refused(rule, kind=SceneError):
        with pytest.raises(kind, match=rule), PredictionFiles(placed.map):
            pass

    codes = make_codes()
    file = placed.map / "confidence.tif"
    write_cog(file, codes[None, :50].copy(), grid(50, 83), [Band("confidence")])
    refused("classes.tif and confidence.tif differ", GridError)
    write_cog(file, codes[None].astype(np.float32), grid(*SHAPE), [Band("confidence")])
    refused("confidence.tif is not a prediction's: 1 bands of float32")
    probabilities = placed.map / "probabilities.tif"
    write_cog(probabilities, np.stack([codes, codes]), grid(*SHAPE), [Band("other"), Band("snow")])
    refused("other classes: other, snow")


def test_only_links_that_lead_somewhere_are_followed(placed):
    assert linked_folders(placed.map, "scene.json") == [placed.scene]
    assert linked_folders(placed.map, "item.json") == [placed.bundle]
    item = placed.map / "prediction.json"
    item.write_text(json.dumps({"links": [
        {"rel": "derived_from", "href": "https://example.org/scene.json"},
        {"rel": "self", "href": "../scene/scene.json"},
        {"rel": "derived_from", "href": "../sc%65ne/scene.json"},
    ]}))  # fmt: skip
    assert linked_folders(placed.map, "scene.json") == [placed.scene]
    item.unlink()
    assert linked_folders(placed.map, "scene.json") == []
