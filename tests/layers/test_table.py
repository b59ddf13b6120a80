from __future__ import annotations

import itertools
import pickle
from importlib import import_module
from typing import get_args

import numpy as np
import pytest

from cryonet.errors import LayerError
from cryonet.layers import LAYERS, STACKS, build_stack, layers_table, select_layers
from cryonet.layers.illumination import ILLUMINATION
from cryonet.layers.spec import Family
from cryonet.scene import VARIABLES


def test_every_row_is_complete():
    for name, spec in LAYERS.items():
        assert spec.name == name
        assert spec.long_name and spec.formula and spec.units and spec.reference
        assert spec.needs and set(spec.needs) <= set(VARIABLES)
        assert spec.halo >= 0 and spec.valid_range[0] < spec.valid_range[1]


def test_no_row_hides_another():
    families = get_args(Family)
    total = 0
    for family in families:
        module = import_module(f"cryonet.layers.{family}")
        rows = getattr(module, family.upper())
        rows += ILLUMINATION if family == "terrain" else ()
        assert {spec.family for spec in rows} == {family}
        total += len(rows)
    assert total == len(LAYERS)
    order = [spec.family for spec in LAYERS.values()]
    assert [family for family, _ in itertools.groupby(order)] == list(families)


def test_a_layer_with_a_variables_name_is_that_variable():
    for spec in LAYERS.values():
        if spec.name in VARIABLES:
            assert spec.needs == (spec.name,)
            assert spec.units == VARIABLES[spec.name].units


def test_directions_come_in_pairs():
    vectors = {}
    for spec in LAYERS.values():
        assert (spec.direction == "scalar") == (spec.vector == "")
        if spec.vector:
            vectors.setdefault(spec.vector, []).append(spec.direction)
    assert vectors == {"aspect": ["east", "north"]}


def test_no_two_layers_are_the_same_up_to_sign(make_scene, fits):
    stack = build_stack(make_scene((60, 61), seed=3), fits=fits)
    for first, second in itertools.combinations(stack.values(), 2):
        for sign in (1, -1):
            same = np.allclose(first, sign * second, rtol=1e-5, atol=1e-6)
            assert not same, f"{first.name} repeats {second.name}"


def test_specs_travel_to_other_processes(make_scene, fits):
    arrays = {name: data.values for name, data in make_scene((5, 6)).items()}
    for spec in LAYERS.values():
        again = pickle.loads(pickle.dumps(spec))
        fit = {"fit": getattr(fits, spec.fit)} if spec.fit else {}
        fit |= {"sun": (140.0, 35.0)} if spec.sun else {}
        expected = spec.compute(arrays, 20.0, **fit)
        np.testing.assert_array_equal(again.compute(arrays, 20.0, **fit), expected)


def test_the_stacks():
    assert STACKS["full"] == tuple(n for n, spec in LAYERS.items() if not spec.optional)
    assert len(STACKS["full"]) == 48
    assert {LAYERS[name].family for name in STACKS["optical"]} == {"optical"}
    assert set(STACKS["lean"]) < set(LAYERS)
    assert len(set(STACKS["lean"])) == len(STACKS["lean"])


def test_a_scene_that_lacks_variables_gives_fewer_layers_and_says_which(make_scene):
    scene = make_scene((4, 5)).drop_vars(["elevation", "swir22"])
    present, absent = select_layers(scene, fits=("pca", "texture"))
    assert not {spec.name for spec in present} & set(absent)
    assert {spec.name for spec in present} | set(absent) == set(STACKS["full"])
    assert absent["slope"] == ("elevation",)
    assert absent["tc_wetness"] == ("swir22",)
    assert "awei_sh" in absent and "ndsi" not in absent
    assert select_layers(scene, "optical")[1] == {"swir22": ("swir22",)}


def test_names_keep_the_order_in_which_they_are_asked_for(make_scene):
    present, absent = select_layers(make_scene((4, 5)), ["slope", "blue", "ndsi"])
    assert [spec.name for spec in present] == ["slope", "blue", "ndsi"]
    assert absent == {}


def test_a_family_stands_for_its_layers(make_scene):
    present, _ = select_layers(make_scene((4, 5)), ["slope", "phase", "coherence"])
    assert [spec.name for spec in present] == ["slope", "phase_cos", "phase_sin", "coherence"]
    terrain, _ = select_layers(make_scene((4, 5)), "terrain")
    assert {spec.family for spec in terrain} == {"terrain"} and len(terrain) == 9
    with pytest.raises(LayerError, match="asked for twice: slope"):
        select_layers(make_scene((4, 5)), ["slope", "terrain"])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["nvdi"], r"no such layer: nvdi\. Did you mean .*ndvi"),
        (["zzzz"], r"no such layer: zzzz\. Known are blue, "),
        (["slope", "ndvi"], r"slope needs elevation\. It holds"),
        (["tri", "phase_cos"], "tri needs elevation; phase_cos needs phase"),
        (["red", "blue", "red"], "asked for twice: red"),
        ([], "no layer is asked for"),
        ("everything", r"no such stack: everything\. Known are optical, full, lean"),
        ("ndvi", r"no such stack: ndvi\..* a layer goes in a list"),
    ],
)
def test_selections_that_are_refused(make_scene, names, words):
    scene = make_scene((4, 5)).drop_vars(["elevation", "phase"])
    with pytest.raises(LayerError, match=words):
        select_layers(scene, names)


def test_a_stack_of_which_nothing_is_there_is_refused(make_scene):
    scene = make_scene((4, 5))[["phase"]]
    with pytest.raises(LayerError, match=r"no layer of this stack: optical\. It holds phase"):
        select_layers(scene, "optical")


def test_the_markdown_table():
    lines = layers_table().splitlines()
    assert lines[0] == "| name | family | formula | unit | needs | reference |"
    assert len(lines) == 2 + len(LAYERS)
    assert {line.count("|") for line in lines} == {7}
    row = next(line for line in lines if line.startswith("| ndsi |"))
    assert "(green - swir16) / (green + swir16) | 1 | green, swir16 | Hall et al. 1995" in row
    assert len(layers_table([LAYERS["red"], LAYERS["slope"]]).splitlines()) == 4
