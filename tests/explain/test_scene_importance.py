"""Importance over a scene by three ways, and what is said of their differences."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from test_missing_families import full_scene, mixing_bundle

from cryonet.errors import ConfigError, SceneError
from cryonet.explain.class_shapley import class_shapley
from cryonet.explain.explain import explain
from cryonet.explain.questions import at_pixel
from cryonet.explain.retraining import Retraining, read_retraining, retraining_of
from cryonet.explain.scene_importance import scene_importance
from cryonet.explain.shared_information import shared_information
from cryonet.explain.view import View
from cryonet.grid import Window
from cryonet.predict import predict_scene
from cryonet.progress import Cancelled

RESULTS = Path(__file__).resolve().parents[2] / "data" / "results"
FAMILIES = ("optical", "coherence", "phase", "terrain")


def labelled_case():
    bundle, scene = mixing_bundle(), full_scene()
    codes = predict_scene(bundle, scene, device="cpu")["classes"].values
    return bundle, scene.assign(labels=(("y", "x"), codes))


def falls(**means):
    table = {f: {"macro": (m, m - 0.01, m + 0.01)} for f, m in means.items()}
    return Retraining("made up", "cryonet", "blocks", table)


@pytest.fixture(scope="module")
def found():
    given = falls(optical=0.0, coherence=0.3, phase=0.1, terrain=0.2, imagery=0.5)
    return scene_importance(*labelled_case(), retraining=given, repeats=2, pixels=5)


def test_shapley_values_are_those_of_each_pixel_by_itself():
    """One pass for all pixels of a tile gives what the method gives for one."""
    bundle, scene = labelled_case()
    found = class_shapley(bundle, scene, pixels=3, tiles=1, seed=2)
    assert found.gap < 1e-9
    one = Window(40, 50, 1, 1)
    alone = class_shapley(bundle, scene, window=one, pixels=10**6)
    tile = View.of(bundle, scene, at_pixel(bundle, scene, 40, 50).window)
    assert sum(alone.pixels.values()) == tile.valid.sum()
    rows, cols = np.nonzero(tile.codes == tile.codes.max())
    few = [*zip(rows + tile.window.row, cols + tile.window.col, strict=True)]
    name = bundle.manifest.classes[tile.codes.max()]
    total = dict.fromkeys(FAMILIES, 0.0)
    for row, col in few:
        question = at_pixel(bundle, scene, int(row), int(col), view=tile)
        answer = explain(bundle, scene, question, method="family shapley", view=tile)
        for family, value in answer.by_family.items():
            total[family] += value / len(few)
    assert alone.pixels[name] == len(few)
    assert alone.means[name] == pytest.approx(total, abs=1e-5)


def test_a_family_that_does_nothing_has_no_value():
    bundle, scene = labelled_case()
    module = torch.nn.Conv2d(7, 3, 1).eval()
    with torch.no_grad():
        module.weight[:, [3, 4]] = 0
    found = class_shapley(replace(bundle, module=module), scene, pixels=20)
    for name, sizes in found.sizes.items():
        if found.pixels[name]:
            assert sizes["phase"] == pytest.approx(0, abs=1e-12) and sizes["terrain"] > 0
            assert all(abs(found.means[name][f]) <= sizes[f] + 1e-12 for f in sizes)
    same = class_shapley(replace(bundle, module=module), scene, pixels=20)
    assert same.sizes == found.sizes


def test_families_that_tell_the_same_are_found():
    generator = np.random.default_rng(0)
    one, two, other = generator.normal(size=(3, 60, 70)).astype(np.float32)
    image = np.stack([one, two, np.exp(3 * one), other, 2 * two - one, np.ones_like(one)])
    valid = np.ones(one.shape, bool)
    valid[:5] = False
    image[:, ~valid] = 99
    layers, families = ["a", "b", "c", "d", "e", "f"], ["x", "x", "y", "z", "w", "v"]
    found = shared_information(image, valid, layers, families)
    first = found.links[0]
    assert (first.families, first.layers, first.kind) == (("x", "y"), ("a", "c"), "Spearman")
    assert first.correlation == pytest.approx(1)
    link = next(x for x in found.links if x.families == ("x", "w"))
    pairs = np.stack([image[k][valid] for k in (1, 4)]).astype(float)
    sizes = abs(np.corrcoef(pairs)[0, 1]), abs(spearmanr(*pairs).statistic)
    assert link.layers == ("b", "e") and abs(link.correlation) == pytest.approx(max(sizes))
    assert found.told["w"] == pytest.approx(1) and found.told["z"] < 0.02
    assert np.isnan(found.told["v"]) and not found.of("v")
    assert found.pixels == 55 * 70
    assert shared_information(image, valid, layers, families, pixels=99).pixels == 99


def test_the_three_ways_stand_side_by_side(found):
    table = found.table()
    assert list(table.index) == list(FAMILIES)
    assert table["retraining_rank"].tolist() == [4, 1, 3, 2]
    for way in ("permutation", "shapley"):
        order = table.sort_values(way, ascending=False)[f"{way}_rank"].tolist()
        assert order == [1, 2, 3, 4]
    for (one, two), value in found.correlations().items():
        assert value == pytest.approx(spearmanr(table[one], table[two]).statistic)
    assert table["permutation"].tolist() == list(found.permutation.means().values())
    mean = np.mean([found.shapley.sizes[n]["phase"] for n in found.classes])
    assert table.loc["phase", "shapley"] == pytest.approx(mean)
    assert table.loc["phase", "retraining_low"] == pytest.approx(0.09)
    assert "retraining" in found.to_dict()["ways"]
    json.dumps(found.to_dict(), allow_nan=False)


def test_of_a_class_unknown_to_the_experiment_there_is_no_rank(found):
    table = found.table("debris")
    assert table["retraining"].isna().all() and table["retraining_rank"].isna().all()
    assert np.isnan(found.correlations("debris")["retraining", "shapley"])
    assert "cannot be compared" in found.why("debris")[0]
    with pytest.raises(ConfigError, match=r"no such score: rock\. Give one of macro, other"):
        found.values("rock")


def test_it_names_the_families_that_explain_a_disagreement(found):
    links = found.shared.links
    strong = [replace(links[0], families=("optical", "terrain"), layers=("red", "tpi"),
                      correlation=-0.93, kind="Pearson")]  # fmt: skip
    shared = replace(found.shared, links=tuple(strong))
    shapley = replace(
        found.shapley,
        sizes={n: dict(zip(FAMILIES, (4.0, 3.0, 2.0, 1.0), strict=True)) for n in found.classes},
    )
    said = "\n".join(replace(found, shared=shared, shapley=shapley).why())
    assert "optical is number 1 of 4 by shapley, but 4 of 4 by retraining" in said or (
        "optical is number 1 of 4 by permutation, but 4 of 4 by retraining" in said
    )
    assert "go with terrain (red with tpi, Pearson -0.93)" in said
    assert "can take from those" in said
    assert "its fall by retraining may be chance, from -0.010 to 0.010" in said
    few = (replace(strong[0], correlation=0.4),)
    weak = replace(found, shared=replace(shared, links=few), shapley=shapley)
    said = "\n".join(weak.why())
    assert "goes with its own at 0.8 or more (nearest: terrain (" in said
    assert " go with " not in said


def test_without_an_experiment_there_are_two_ways(found):
    two = replace(found, retraining=None)
    assert list(two.correlations()) == [("permutation", "shapley")]
    assert "retraining" not in two.table().columns and two.to_dict()["retraining"] is None


def test_the_results_of_an_experiment_are_read():
    path = RESULTS / "synthetic_importance" / "results.json"
    read = read_retraining(path)
    rows = json.loads(path.read_text())["importance"]
    assert (read.model, read.fold) == ("cryonet", "blocks") and len(read.falls) == len(rows)
    mine = next(row for row in rows if row["group"] == "coherence")
    assert read.mean("coherence", "debris") == mine["falls"]["debris"]["mean"]
    assert np.isnan(read.mean("nothing"))
    order = sorted(mine["falls"]["macro"][key] for key in ("low", "mean", "high"))
    assert [read.falls["coherence"]["macro"][k] for k in (1, 0, 2)] == order


def test_results_without_retraining_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="trained no model without a family"):
        read_retraining(RESULTS / "synthetic_models" / "results.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_retraining(tmp_path / "none.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ConfigError, match="no results of an experiment"):
        read_retraining(tmp_path / "list.json")
    row = {"model": "m", "fold": "f", "group": "optical", "falls": {}}
    for asked in ({"model": "other"}, {"fold": "other"}):
        with pytest.raises(ConfigError, match=r"no such model and fold: .*It has m / f"):
            retraining_of({"importance": [row]}, **asked)


def test_it_tells_how_far_it_is_and_can_be_stopped():
    said = []

    class Keep:
        def step(self, done, total, message=""):
            said.append((done / total, message))

    bundle, scene = labelled_case()
    scene_importance(bundle, scene, repeats=1, pixels=2, progress=Keep())
    shares = [share for share, _ in said]
    assert shares == sorted(shares) and shares[-1] == 1
    assert said[-1][1].startswith("Shapley values, tile")

    class Stop:
        def step(self, done, total, message=""):
            if message.startswith("Shapley"):
                raise Cancelled

    with pytest.raises(Cancelled):
        class_shapley(bundle, scene, pixels=2, progress=Stop())


def test_what_cannot_be_is_refused():
    bundle, scene = labelled_case()
    with pytest.raises(ConfigError, match="no pixel to draw"):
        class_shapley(bundle, scene, pixels=0)
    with pytest.raises(SceneError, match="no pixel has a class"):
        class_shapley(bundle, scene.assign(red=scene["red"] * np.nan), pixels=1)
    with pytest.raises(ConfigError, match="the baseline is unknown: dawn"):
        class_shapley(bundle, scene, pixels=1, baseline="dawn")
