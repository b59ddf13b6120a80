"""Sanity checks of explanations whose truth is known, and a verdict that hides no number."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_missing_families import full_scene, mixing_bundle

from cryonet.errors import ConfigError
from cryonet.explain.checks import CHECKS, Check, check_agreement, noisy, verdict
from cryonet.explain.correlation import agreement
from cryonet.explain.explain import explain
from cryonet.explain.questions import of_class
from cryonet.explain.sanity import check_explanation, peers_of
from cryonet.explain.view import View
from cryonet.grid import Window
from cryonet.progress import Cancelled

WINDOW = Window(10, 20, 64, 64)


def standardised(bundle, scene):
    """Layers of like size: else the largest would lead with any weights."""
    image = View.of(bundle, scene, WINDOW).image
    entries = []
    for entry, values in zip(bundle.manifest.layers, image, strict=True):
        old = entry.statistics
        new = {"mean": old.mean + old.std * values.mean(), "std": old.std * values.std()}
        entries.append(entry.model_copy(update={"statistics": old.model_copy(update=new)}))
    manifest = bundle.manifest.model_copy(update={"layers": tuple(entries)})
    return replace(bundle, manifest=manifest), scene


def planted():
    """A network of one convolution that weighs red and slope, and a question about it."""
    bundle = mixing_bundle(groups=())
    torch.manual_seed(3)
    module = torch.nn.Conv2d(7, 3, 3, padding=1).eval()
    with torch.no_grad():
        module.weight *= 0.05
        module.weight[2, 0] += 2
        module.weight[2, 5] += 1
    bundle, scene = standardised(replace(bundle, module=module), full_scene())
    return bundle, scene, of_class(bundle, scene, "debris", WINDOW)


@pytest.fixture(scope="module")
def case():
    bundle, scene, question = planted()
    return bundle, scene, explain(bundle, scene, question)


def test_a_good_explanation_of_a_planted_model_passes(case):
    found = check_explanation(*case, orders=20, repeats=8)
    assert [check.name for check in found.checks] == list(CHECKS)
    assert [check.passed for check in found.checks] == [True] * 4
    curves = found.curves
    assert curves is not None and set(curves.order[:2]) == {"slope", "red"}
    assert curves.deletion_area < curves.random_areas.mean() < curves.insertion_area
    numbers = {check.name: check.numbers for check in found.checks}
    assert numbers["stability"]["layers"] > 0.9
    assert numbers["agreement"]["families, family shapley"] > 0.5
    assert len(found.others) == 2 and found.seconds > 0
    assert found.verdict.startswith("The explanation holds up: it passed all 4 checks.")
    assert found.to_dict()["checks"][0]["asks"] == CHECKS["random weights"]


def test_an_explanation_that_ignores_the_model_fails_on_random_weights(case, monkeypatch):
    """Inputs themselves, passed off as an explanation, do not care what was learned."""
    bundle, scene, attribution = case

    def inputs(model, scene, question, *, view, **_):
        sums = dict(zip(view.layers, view.image.sum(axis=(1, 2)), strict=True))
        return replace(attribution, by_layer=sums, maps=None)

    monkeypatch.setattr("cryonet.explain.sanity.explain", inputs)
    view = View.of(bundle, scene, attribution.question.window)
    fake = inputs(bundle, scene, None, view=view)
    found = check_explanation(bundle, scene, fake, checks=["random weights"])
    (check,) = found.checks
    assert check.passed is False
    assert check.numbers["layers, all random"] == 1
    assert "Do not rely on" in found.verdict and "1.00" in found.verdict


def test_a_wrong_order_fails_on_curves(case):
    bundle, scene, attribution = case
    turned = replace(attribution, by_layer={n: -v for n, v in attribution.by_layer.items()})
    found = check_explanation(bundle, scene, turned, checks=["deletion and insertion"])
    (check,) = found.checks
    assert check.passed is False and "no better than chance" in check.says
    assert check.numbers["deletion area"] > check.numbers["random area"]


def test_an_answer_agrees_with_itself_and_not_with_its_opposite(case):
    _, _, attribution = case
    same = agreement(attribution, attribution)
    assert same == pytest.approx(dict.fromkeys(same, 1.0)) and len(same) == 6
    assert check_agreement(attribution, [attribution]).passed is True
    opposite = replace(
        attribution,
        method="contrary",
        by_family={n: -v for n, v in attribution.by_family.items()},
        by_layer={n: -v for n, v in attribution.by_layer.items()},
    )
    check = check_agreement(attribution, [opposite])
    assert check.passed is False
    assert check.numbers["families, contrary"] == check.numbers["layers, contrary"] == -1
    assert check.numbers["families, size, contrary"] == 1
    with pytest.raises(ConfigError, match="nothing to agree with"):
        check_agreement(attribution, [])


def test_families_are_checked_where_a_method_has_no_layers(case):
    bundle, scene, attribution = case
    answer = explain(bundle, scene, attribution.question, method="family shapley")
    found = check_explanation(bundle, scene, answer, others=["family occlusion"], repeats=1)
    assert set(found.curves.order) == set(bundle.manifest.families)
    assert "families" in found.checks[0].says
    assert [other.method for other in found.others] == ["family occlusion"]


def test_the_same_seed_gives_the_same_numbers(case):
    options = {"checks": ["random weights", "stability"], "repeats": 1}
    one, same, other = (check_explanation(*case, **options, seed=seed) for seed in (4, 4, 5))
    assert [c.numbers for c in one.checks] == [c.numbers for c in same.checks]
    assert one.checks[0].numbers != other.checks[0].numbers


def test_each_repeat_has_a_noise_of_its_own(case, monkeypatch):
    seen = []

    def keep(*given, view, **options):
        seen.append(view.image)
        return explain(*given, view=view, **options)

    monkeypatch.setattr("cryonet.explain.sanity.explain", keep)
    check_explanation(*case, checks=["stability"], repeats=2, seed=7)
    plain = View.of(case[0], case[1], case[2].question.window).image
    noises = [image - plain for image in seen]
    assert [noise.std() for noise in noises] == pytest.approx([0.05, 0.05], rel=0.02)
    assert abs(np.corrcoef(*(noise.ravel() for noise in noises))[0, 1]) < 0.02


def test_noise_leaves_alone_what_is_not_known():
    image = np.zeros((2, 40, 50), np.float32)
    known = np.ones(image.shape, bool)
    known[1, :20] = False
    made = noisy(image, known, sigma=0.05, seed=1)
    assert (made[~known] == 0).all() and made.dtype == np.float32
    assert made[known].std() == pytest.approx(0.05, rel=0.05)


def test_the_verdict_says_how_each_check_went():
    rows = [
        Check("random weights", True, "rank correlation of 0.12"),
        Check("stability", False, "least 0.31"),
        Check("agreement", None, "no other method"),
    ]
    said = verdict(rows)
    assert said.startswith("Take the explanation with care: it passed 1 of 2 checks.")
    assert "Random weights (passed): rank correlation of 0.12." in said
    assert "Stability (failed): least 0.31." in said
    assert "Agreement (not possible): no other method." in said
    assert verdict(rows[1:2]).startswith("Do not rely on the explanation: it passed none of 1")
    assert "the one check that was made" in verdict(rows[:1])
    assert verdict(rows[2:]).startswith("Nothing could be checked.")


def test_each_sentence_has_the_numbers_that_decide(case):
    for check in check_explanation(*case, repeats=1).checks:
        said = {float(number) for number in re.findall(r"-?\d+\.\d\d", check.says)}
        decided = {
            "random weights": "layers, all random",
            "deletion and insertion": "insertion area",
            "agreement": "families, family occlusion",
            "stability": "layers",
        }[check.name]
        assert round(check.numbers[decided], 2) in said


def test_a_model_without_weights_is_checked_in_what_it_can(case):
    bundle, scene, attribution = case

    class Plain(torch.nn.Module):
        def forward(self, image):
            return image[:, [1, 0, 5]]

    found = check_explanation(
        replace(bundle, module=Plain()), scene, attribution, checks=["random weights"]
    )
    assert found.checks[0].passed is None
    assert "no weights to make random" in found.verdict


def test_it_tells_how_far_it_is_and_can_be_stopped(case):
    said = []

    class Keep:
        def step(self, done, total, message=""):
            said.append((done / total, message))

    check_explanation(*case, repeats=1, progress=Keep())
    shares = [share for share, _ in said]
    assert shares == sorted(shares) and 0.9 < shares[-1] <= 1
    assert {message for _, message in said} >= {"checking: stability", "checking: random weights"}

    class Stop:
        def step(self, done, total, message=""):
            raise Cancelled

    with pytest.raises(Cancelled):
        check_explanation(*case, progress=Stop())


def test_what_cannot_be_is_refused(case):
    with pytest.raises(ConfigError, match=r"no such check: taste\. Give some of random weights"):
        check_explanation(*case, checks=["taste"])
    with pytest.raises(ConfigError, match="no such check: none"):
        check_explanation(*case, checks=[])
    with pytest.raises(ConfigError, match="the noise has no size: 0"):
        check_explanation(*case, sigma=0)
    with pytest.raises(ConfigError, match="there are no repeats: 0"):
        check_explanation(*case, repeats=0)
    assert peers_of(case[0], "family shapley") == ["integrated gradients", "family occlusion"]
