"""The embedded sample keeps the rules it teaches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stac_rules import broken_rules, check_core

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"


@pytest.mark.parametrize(
    "name", ["scene/scene.json", "bundle/item.json", "prediction/prediction.json"]
)
def test_its_items_are_valid_stac(name: str) -> None:
    item = json.loads((DEMO / name).read_text())
    check_core(item)
    assert broken_rules(item) == []


def test_its_prediction_leads_to_its_scene_and_model() -> None:
    folder = DEMO / "prediction"
    item = json.loads((folder / "prediction.json").read_text())
    ends = [link["href"] for link in item["links"] if link["rel"] == "derived_from"]
    assert len(ends) == 2 and all((folder / end).is_file() for end in ends)
