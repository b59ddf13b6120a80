"""The embedded sample keeps the rules it teaches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from stac_rules import broken_rules, check_core

from cryonet.bundle import load_bundle
from cryonet.config import load_config, parse_config
from cryonet.measurement import measure
from cryonet.predict import predict_scene
from cryonet.prediction import open_prediction
from cryonet.scene import open_scene

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


def test_its_card_says_what_its_weights_score() -> None:
    bundle, scene = load_bundle(DEMO / "bundle"), open_scene(DEMO / "scene")
    measured = bundle.manifest.measured
    assert measured is not None
    (said,) = (row for row in measured.scenes if row.scene == scene.attrs["id"])
    (found,) = measure(bundle, [scene], device="cpu").record.scenes
    assert (found.split, found.pixels, found.synthetic) == ("all", said.pixels, True)
    # Rounding differs between processors, and turns a pixel here and there.
    assert found.macro_iou == pytest.approx(said.macro_iou, abs=2e-3)
    for row, wanted in zip(found.classes, said.classes, strict=True):
        assert row.name == wanted.name
        for key in ("iou", "precision", "recall"):
            assert getattr(row, key) == pytest.approx(getattr(wanted, key), abs=5e-3), key
        assert f"{wanted.iou:.3f}" in (DEMO / "bundle" / "CARD.md").read_text()


def test_its_prediction_is_what_its_weights_say() -> None:
    made = predict_scene(load_bundle(DEMO / "bundle"), open_scene(DEMO / "scene"), device="cpu")
    kept = open_prediction(DEMO / "prediction")
    same = np.asarray(made["classes"].values) == np.asarray(kept["classes"].values)
    assert same.mean() > 0.999


def test_its_recipe_is_the_one_it_was_made_by() -> None:
    manifest = load_bundle(DEMO / "bundle").manifest
    recipe = load_config(DEMO.parent / "recipes" / "demo.toml")
    # Read again, so that a key that came later stands at its default.
    places = {"scenes": ["elsewhere"], "out": "elsewhere"}
    told = parse_config({**manifest.training.config, **places})
    same = {"scenes", "out"}
    assert told.model_dump(exclude=same) == recipe.model_dump(exclude=same)
    assert manifest.optional_families == (("coherence", "phase"), ("terrain",))
    assert (DEMO / "bundle" / "weights.safetensors").stat().st_size < 10_000_000


@pytest.mark.parametrize("cut", [13])
def test_its_map_hangs_little_on_where_windows_begin(cut: int) -> None:
    """T3: of `data/recipes/shift.py`, which does it for 1 to 31, on a part of the scene."""
    bundle, scene = load_bundle(DEMO / "bundle"), open_scene(DEMO / "scene")
    part = scene.isel(y=slice(0, 256), x=slice(0, 256))
    whole, found = (
        predict_scene(bundle, each, device="cpu")["classes"].values
        for each in (part, part.isel(y=slice(cut, None), x=slice(cut, None)))
    )
    inner = np.s_[64:-64, 64:-64]
    same = (whole[cut:, cut:][inner] == found[inner]).mean()
    assert 0.99 <= same < 1
