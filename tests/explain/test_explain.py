"""Methods of explanation: against Captum, against axioms, and on models whose reasons are known."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation, InputXGradient, IntegratedGradients, ShapleyValues
from explain_ground import small_bundle, small_network, small_scene, task_of
from torch import nn

from cryonet.bundle import load_bundle
from cryonet.errors import ConfigError, GridError
from cryonet.explain.evidence import Evidence
from cryonet.explain.explain import explain
from cryonet.explain.methods import METHODS
from cryonet.explain.question import Question
from cryonet.explain.questions import at_pixel, of_class
from cryonet.explain.shapley import exact_shares
from cryonet.explain.view import View
from cryonet.grid import Window
from cryonet.model_config import ForestConfig, ThresholdConfig
from cryonet.models.forest import Forest
from cryonet.models.thresholds import Thresholds
from cryonet.progress import Cancelled
from cryonet.scene import open_scene

COMPLETE = [name for name, method in METHODS.items() if method.complete]
GRADIENT = [name for name, method in METHODS.items() if method.gradient]


def group_mask(names):
    order = list(dict.fromkeys(names))
    return torch.tensor([order.index(name) for name in names])[None, :, None, None]


def captum_totals(found, names):
    totals = dict.fromkeys(names, 0.0)
    for name, value in zip(names, found.double().sum(dim=(0, 2, 3)).tolist(), strict=True):
        totals[name] += value
    return totals


@pytest.mark.parametrize(
    ("batch", "baseline"), [(1, "blurred"), (3, "training mean"), (None, "local rock mean")]
)
def test_integrated_gradients_are_captums(batch, baseline):
    task = task_of(small_bundle(), small_scene(), None, baseline, steps=10, batch=batch)
    answer = METHODS["integrated gradients"].run(task)
    peer = IntegratedGradients(task.evidence).attribute(
        task.image, task.baseline, n_steps=10, internal_batch_size=4
    )
    np.testing.assert_allclose(answer.maps, peer[0].float().numpy(), rtol=1e-4, atol=1e-6)
    assert np.abs(answer.maps).max() > 1e-3


def test_gradient_times_input_is_captums_from_the_training_mean():
    task = task_of(small_bundle(), small_scene())
    peer = InputXGradient(task.evidence).attribute(task.image.clone().requires_grad_())
    found = METHODS["gradient x input"].run(task).maps
    np.testing.assert_allclose(found, peer[0].detach().float().numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["layer occlusion", "family occlusion"])
@pytest.mark.parametrize("baseline", ["training mean", "blurred"])
def test_occlusion_is_captums_feature_ablation(name, baseline):
    task = task_of(small_bundle(), small_scene(), baseline=baseline)
    names = task.layers if name == "layer occlusion" else task.families
    peer = FeatureAblation(task.evidence).attribute(
        task.image, task.baseline, feature_mask=group_mask(names)
    )
    answer = METHODS[name].run(task)
    first = {n: float(peer[0, names.index(n), 0, 0]) for n in dict.fromkeys(names)}
    assert (answer.by_layer or answer.by_family) == pytest.approx(first, abs=1e-5)


@pytest.mark.parametrize("name", ["layer shapley", "family shapley"])
def test_exact_shapley_values_are_captums(name):
    task = task_of(small_bundle(), small_scene())
    names = task.layers if name == "layer shapley" else task.families
    if name == "layer shapley":  # All orders of seven are too many for Captum: merge some.
        names = ("a", "a", "b", "c", "d", "e", "e")
        task = replace(task, layers=names)
    peer = ShapleyValues(task.evidence).attribute(
        task.image, task.baseline, feature_mask=group_mask(names)
    )
    answer = METHODS["family shapley"].run(replace(task, families=names))
    first = {n: float(peer[0, names.index(n), 0, 0]) for n in dict.fromkeys(names)}
    assert answer.by_family == pytest.approx(first, abs=1e-5)
    assert answer.attrs["exact"]


def test_shapley_values_are_means_over_all_orders():
    players = 5
    values = np.random.default_rng(0).normal(size=2**players)
    wanted = np.zeros(players)
    orders = list(permutations(range(players)))
    for order in orders:
        seen = 0
        for player in order:
            wanted[player] += values[seen | 1 << player] - values[seen]
            seen |= 1 << player
    np.testing.assert_allclose(exact_shares(values), wanted / len(orders), atol=1e-12)


def test_shapley_axioms():
    """Symmetry, dummy, additivity and efficiency, on games with known answers."""
    bits = (np.arange(16)[:, None] >> np.arange(4)) & 1
    unanimity = bits[:, 0] * bits[:, 1] * 6.0  # two players that need each other
    np.testing.assert_allclose(exact_shares(unanimity), [3, 3, 0, 0], atol=1e-12)
    linear = bits @ np.array([1.0, 0, 2, -4])
    np.testing.assert_allclose(exact_shares(linear + unanimity), [4, 3, 2, -4], atol=1e-12)


@pytest.mark.parametrize("name", ["family shapley", "layer shapley"])
@pytest.mark.parametrize("baseline", ["training mean", "local rock mean", "blurred"])
def test_shapley_values_add_up(name, baseline):
    bundle, scene = small_bundle(), small_scene()
    found = explain(bundle, scene, at_pixel(bundle, scene, 20, 30), method=name, baseline=baseline)
    assert sum(found.by_family.values()) == pytest.approx(found.difference, abs=1e-4)
    assert abs(found.difference) > 1e-3


def many_layers(**options):
    """A game of twelve layers: over ten, so that values are sampled."""
    task = task_of(small_bundle(), small_scene(), **options)
    twice = torch.cat([task.image, -0.5 * task.image.flip(1)], dim=1)[:, :12]
    evidence = Evidence(
        small_network(12), Question(Window(0, 0, 32, 32), np.full((32, 32), 1 / 1024), "debris"),
        ("other", "clean_ice", "debris"),
    )  # fmt: skip
    return replace(
        task, evidence=evidence, image=twice, baseline=torch.zeros_like(twice),
        layers=tuple("abcdefghijkl"), families=("one",) * 6 + ("two",) * 6,
    )  # fmt: skip


def test_sampled_shapley_values_come_near_the_exact_ones_within_their_errors():
    task = many_layers(steps=120, seed=1)
    answer = METHODS["layer shapley"].run(task)
    masks = (np.arange(2**12)[:, None] >> np.arange(12)) & 1 == 1
    exact = exact_shares(task.values(masks, "all"))
    found = np.array(list(answer.by_layer.values()))
    errors = np.array(list(answer.attrs["standard_error"].values()))
    assert not answer.attrs["exact"]
    assert (np.abs(found - exact) < 5 * errors + 1e-5).all()
    assert np.abs(found - exact).max() < 0.05 * np.abs(exact).max()
    assert found.sum() == pytest.approx(exact.sum(), abs=1e-5)
    again = METHODS["layer shapley"].run(many_layers(steps=120, seed=1))
    assert again.by_layer == answer.by_layer
    other = METHODS["layer shapley"].run(many_layers(steps=120, seed=2))
    assert other.by_layer != answer.by_layer


@pytest.mark.parametrize("steps", [2, 7])
def test_an_odd_number_of_orders_is_refused(steps):
    with pytest.raises(ConfigError, match="permutations"):
        METHODS["layer shapley"].run(many_layers(steps=steps))


@pytest.mark.parametrize("baseline", ["training mean", "local rock mean", "blurred"])
@pytest.mark.parametrize("name", METHODS)
def test_missing_families_explain_exactly_nothing(name, baseline):
    bundle, scene = small_bundle(), small_scene(lost=["phase"])
    question = at_pixel(bundle, scene, 20, 30)
    found = explain(bundle, scene, question, method=name, baseline=baseline)
    assert found.by_family["coherence"] == found.by_family["phase"] == 0
    assert all(found.by_family[family] != 0 for family in ("optical", "terrain"))
    assert found.attrs["missing_families"] == ["coherence", "phase"]
    if name == "family shapley":
        assert found.attrs["evaluations"] == 2**2  # they do not even play
    if found.maps is not None:
        gone = [family in ("coherence", "phase") for family in found.families]
        assert not found.maps.values[gone].any()


@pytest.mark.parametrize("baseline", ["local rock mean", "blurred"])
def test_filled_pixels_explain_nothing_where_they_are_filled(baseline):
    coherence = small_scene()["coherence"].copy()
    coherence[15:25, 25:35] = np.nan
    bundle, scene = small_bundle(), small_scene(coherence=coherence)
    found = explain(bundle, scene, at_pixel(bundle, scene, 20, 36), baseline=baseline)
    patch = found.maps.sel(layer="coherence").values
    hole = np.isnan(coherence.values)[found.question.window.slices]
    assert hole.any()
    assert not patch[hole].any()
    assert patch[~hole].any()


def known_bundle(strange=0.01):
    """T21: debris by coherence and slope together; of other layers next to nothing."""
    network = small_network(seed=5)
    with torch.no_grad():
        first = network[0].weight
        others = [i for i in range(7) if i not in (2, 5)]
        first[:, others] *= strange
        first[:, [2, 5]] *= 3
    return replace(small_bundle(), module=network)


@pytest.mark.parametrize("name", METHODS)
def test_two_known_layers_hold_the_importance_and_random_weights_do_not(name):
    """T21."""
    bundle, scene = known_bundle(), small_scene()
    question = of_class(bundle, scene, "debris", Window(10, 10, 40, 40), by="labels")
    found = explain(bundle, scene, question, method=name)
    shares = found.by_layer or found.by_family
    known = ("coherence", "slope") if found.by_layer else ("coherence", "terrain")
    sizes = {key: abs(value) for key, value in shares.items()}
    assert sum(sizes[key] for key in known) >= 0.95 * sum(sizes.values())
    random = replace(bundle, module=small_network(seed=11))
    other = explain(random, scene, question, method=name)
    strange = {k: abs(v) for k, v in (other.by_layer or other.by_family).items()}
    assert sorted(sizes, key=sizes.get) != sorted(strange, key=strange.get)
    assert sum(strange[key] for key in known) < 0.9 * sum(strange.values())


def test_maps_turn_with_the_window():
    """A network of single pixels does not know which way is up."""
    task = task_of(replace(small_bundle(), module=small_network(kernel=1)), small_scene(), steps=6)
    question = Question(Window(0, 0, 32, 32), np.pad([[1.0]], ((3, 28), (7, 24))), "debris")
    classes = ("other", "clean_ice", "debris")
    maps = []
    for turns in range(2):
        turned = replace(question, weights=np.rot90(question.weights, turns).copy())
        network = Evidence(task.evidence.network, turned, classes)
        image = torch.rot90(task.image, turns, (2, 3))
        answer = METHODS["integrated gradients"].run(
            replace(task, evidence=network, image=image, baseline=torch.zeros_like(image))
        )
        maps.append(np.rot90(answer.maps, -turns, (1, 2)))
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-6)
    assert {tuple(place) for place in np.argwhere(maps[0].any(axis=0))} == {(3, 7)}


@pytest.fixture(scope="module")
def demo():
    return load_bundle("data/demo/bundle"), open_scene("data/demo/scene").load()


@pytest.mark.parametrize(("row", "col"), [(131, 157), (94, 54), (140, 84)])
def test_the_demo_is_complete_and_in_order(demo, row, col):
    """T20: debris, clean ice and a lake of the synthetic scene."""
    bundle, scene = demo
    question = at_pixel(bundle, scene, row, col)
    view = View.of(bundle, scene, question.window)
    path = explain(bundle, scene, question, view=view)
    assert path.gap <= 0.05
    assert path.maps.dims == ("layer", "y", "x")
    assert path.maps.odc.geobox == scene.odc.geobox[question.window.slices]
    assert list(path.maps.layer.values) == list(path.layers)
    assert path.maps.dtype == np.float32
    for name, total in path.by_layer.items():
        assert float(path.maps.sel(layer=name).values.sum(dtype="f8")) == pytest.approx(total)
    assert list(path.by_family) == list(bundle.manifest.families)
    assert path.attrs["synthetic"]


def test_families_of_the_demo_share_out_the_evidence(demo):
    bundle, scene = demo
    question = at_pixel(bundle, scene, 131, 157)
    found = explain(bundle, scene, question, method="family shapley")
    assert abs(sum(found.by_family.values()) - found.difference) <= 1e-4
    assert found.attrs["evaluations"] == 256
    assert found.maps is None
    assert not found.by_layer


def test_the_batch_changes_nothing_but_memory(demo):
    bundle, scene = demo
    question = at_pixel(bundle, scene, 131, 157)
    one, two = (explain(bundle, scene, question, steps=5, batch=b) for b in (1, 4))
    np.testing.assert_allclose(one.maps.values, two.maps.values, atol=2e-4)


@pytest.mark.parametrize("name", METHODS)
def test_progress_is_told_and_cancels(name):
    bundle, scene = small_bundle(), small_scene()
    question = at_pixel(bundle, scene, 20, 30)

    class Told:
        def __init__(self, most):
            self.steps, self.most = [], most

        def step(self, done, total, message=""):
            self.steps.append((done, total, message))
            if len(self.steps) > self.most:
                raise Cancelled

    told = Told(1000)
    explain(bundle, scene, question, method=name, batch=2, progress=told)
    assert all(0 <= done <= total for done, total, _ in told.steps)
    assert told.steps[-1][0] == told.steps[-1][1]
    with pytest.raises(Cancelled):
        explain(bundle, scene, question, method=name, batch=2, progress=Told(1))


def pixel_bundles():
    forest = Forest(ForestConfig(architecture="forest", trees=2, leaves=2), 7, 3)
    forest.feature[:] = torch.tensor([[2, 0, 0], [5, 0, 0]])
    forest.left[:, 0], forest.right[:, 0] = 1, 2
    forest.shares[:, 1] = torch.tensor([1.0, 0, 0])
    forest.shares[:, 2] = torch.tensor([0, 0, 1.0])
    yield replace(small_bundle(), module=forest)
    rule = Thresholds(ThresholdConfig(architecture="threshold"), 2, 3)
    bundle = small_bundle()
    two = bundle.manifest.model_copy(
        update={"layers": bundle.manifest.layers[:2], "optional_families": ()}
    )
    rule.ice.fill_(0.1)
    yield replace(bundle, module=rule, manifest=two)


@pytest.mark.parametrize("bundle", [*pixel_bundles()], ids=["forest", "threshold"])
def test_pixel_models_are_explained_without_gradients(bundle):
    scene = small_scene()
    question = of_class(bundle, scene, "other", Window(10, 10, 30, 30), by="labels")
    for name in GRADIENT:
        with pytest.raises(ConfigError, match="gradient"):
            explain(bundle, scene, question, method=name)
    found = explain(bundle, scene, question, method="layer shapley")
    assert sum(found.by_layer.values()) == pytest.approx(found.difference, abs=1e-6)
    assert np.isfinite(list(found.by_layer.values())).all()
    assert max(abs(found.value), abs(found.base)) <= np.log(1e4)
    assert abs(found.difference) > 0.1


def test_evidence_is_log_odds():
    class Fixed(nn.Module):
        def forward(self, image):
            return image[:, :3] * 1.0

    question = Question(Window(0, 0, 1, 2), np.array([[0.25, 0.75]]), "debris")
    shares = torch.tensor([[0.2, 0.1], [0.3, 0.1], [0.5, 0.8]], dtype=torch.float64)
    image = shares.log()[None, :, None].float()
    classes = ("other", "clean_ice", "debris")
    odds = float(Evidence(Fixed(), question, classes)(image))
    assert odds == pytest.approx(0.25 * np.log(0.5 / 0.5) + 0.75 * np.log(0.8 / 0.2), abs=1e-6)
    against = replace(question, against="other")
    ratio = float(Evidence(Fixed(), against, classes)(image))
    assert ratio == pytest.approx(0.25 * np.log(0.5 / 0.2) + 0.75 * np.log(0.8 / 0.1), abs=1e-6)
    far = torch.tensor([0.0, -2.0, 400.0])[None, :, None, None].expand(1, 3, 1, 2)
    assert float(Evidence(Fixed(), question, classes)(far)) == pytest.approx(
        400 - np.log(1 + np.exp(-2))
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "lime"}, "method is unknown"),
        ({"baseline": "black"}, "baseline is unknown"),
        ({"method": "family occlusion", "steps": 3}, "no steps"),
        ({"steps": 0}, "too few steps"),
        ({"batch": 0}, "batch is too small"),
        ({"device": "tpu"}, "device is unknown"),
    ],
)
def test_what_is_unknown_or_out_of_range_is_refused(options, words):
    bundle, scene = small_bundle(), small_scene()
    with pytest.raises(ConfigError, match=words):
        explain(bundle, scene, at_pixel(bundle, scene, 20, 30), **options)


def test_a_view_of_elsewhere_is_refused():
    bundle, scene = small_bundle(), small_scene()
    view = View.of(bundle, scene, Window(0, 0, 32, 32))
    with pytest.raises(GridError, match="not of the question"):
        explain(bundle, scene, at_pixel(bundle, scene, 50, 60), view=view)
