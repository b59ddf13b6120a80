"""Families a scene lacks: left out in training, filled and said in prediction, or refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from test_predict import PLAIN, make_bundle, make_scene
from test_train import _config
from typer.testing import CliRunner

from cryonet.augment import drop_families, optional_families
from cryonet.batches import draw_batch
from cryonet.bundle import load_bundle, save_bundle, weights_bytes
from cryonet.cli import app
from cryonet.config import AugmentConfig
from cryonet.errors import BundleError, ConfigError
from cryonet.grid import Window
from cryonet.layers import LAYERS
from cryonet.manifest import Manifest
from cryonet.normalise import LayerStatistics
from cryonet.predict import predict_scene
from cryonet.prediction import read_passport
from cryonet.remarks import prediction_remarks
from cryonet.scene_inputs import SceneInputs
from cryonet.scene_writer import write_scene
from cryonet.stitch import VALID
from cryonet.train import train
from cryonet.trainset import make_trainset

LAYER_NAMES = ("red", "nir", "coherence", "phase_cos", "phase_sin", "slope", "tpi")
GROUPS = (("coherence", "phase"), ("terrain",))
INSAR = ["coherence", "phase"]


def full_scene(height=90, width=110, seed=0):
    generator = np.random.default_rng(seed)
    rough = generator.normal(5000, 3, (height, width)).astype(np.float32)
    phase = generator.uniform(-3, 3, (height, width)).astype(np.float32)
    near = generator.random((height, width), np.float32)
    return make_scene(height, width, seed, elevation=rough, phase=phase, coherence=near)


def mixing_bundle(groups=GROUPS, layers=LAYER_NAMES):
    """A bundle whose classes hang on every layer at the pixel and round it; means are not 0."""
    bundle = make_bundle(layers=layers)
    known = LayerStatistics(mean=0.3, std=2, low=-5, high=50, fill=0.3)
    entries = tuple(
        entry.model_copy(update={"statistics": known if entry.direction == "scalar" else PLAIN})
        for entry in bundle.manifest.layers
    )
    torch.manual_seed(0)
    module = torch.nn.Conv2d(len(layers), 3, 5, padding=2).eval()
    changes = {"layers": entries, "optional_families": groups}
    return replace(bundle, module=module, manifest=bundle.manifest.model_copy(update=changes))


def shares(bundle, scene, **options):
    return predict_scene(bundle, scene, device="cpu", **options)["probabilities"].values


def zeroed(bundle, families):
    """The bundle with a network that sees zeros in the layers of `families`."""
    gone = [layer.family in families for layer in bundle.manifest.layers]

    class Zeroed(torch.nn.Module):
        def forward(self, image):
            image = image.clone()
            image[:, gone] = 0
            return bundle.module(image)

    return replace(bundle, module=Zeroed())


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize(
    ("lost", "gone"),
    [(["coherence", "phase"], INSAR), (["phase"], INSAR), (["elevation"], ["terrain"]),
     (["coherence", "elevation"], [*INSAR, "terrain"])],
)  # fmt: skip
def test_a_scene_without_a_family_is_the_full_one_with_zeros(lost, gone, flips):
    scene, bundle = full_scene(), mixing_bundle()
    found = predict_scene(bundle, scene.drop_vars(lost), device="cpu", flips=flips)
    wanted = shares(zeroed(bundle, gone), scene, flips=flips)
    np.testing.assert_array_equal(found["probabilities"].values, wanted)
    assert found.attrs["missing_families"] == gone
    counts = found.attrs["filled_pixels"]
    for group in GROUPS:
        assert counts[", ".join(group)] == (90 * 110 if group[0] in gone else 0)
    whole = predict_scene(bundle, scene, device="cpu", flips=flips)
    assert whole.attrs["missing_families"] == []
    assert set(whole.attrs["filled_pixels"].values()) == {0}
    assert np.abs(whole["probabilities"].values - wanted).max() > 0.05


def test_a_family_of_nothing_but_holes_is_a_missing_one():
    scene, bundle = full_scene(), mixing_bundle()
    empty = scene.copy(deep=True)
    empty["phase"].values[:] = np.nan
    np.testing.assert_array_equal(
        shares(bundle, empty), shares(bundle, scene.drop_vars(["coherence", "phase"]))
    )


def test_holes_are_filled_where_they_are_and_counted():
    """A hole in one layer of the group fills the group there, nothing else and nowhere else."""
    scene, bundle = full_scene(), mixing_bundle()
    holed = scene.copy(deep=True)
    holed["coherence"].values[20:30, 40:60] = np.inf
    holed["red"].values[25:28, 50:80] = np.nan
    found = predict_scene(bundle, holed, device="cpu")
    bad = np.zeros((90, 110), bool)
    bad[25:28, 50:80] = True
    np.testing.assert_array_equal(found["classes"].values == 255, bad)
    assert found.attrs["missing_families"] == []
    assert found.attrs["filled_pixels"] == {"coherence, phase": 200 - 3 * 10, "terrain": 0}
    inputs, flags = SceneInputs(bundle.manifest, holed)[Window(0, 0, 90, 110)]
    plain, _ = SceneInputs(bundle.manifest, scene)[Window(0, 0, 90, 110)]
    np.testing.assert_array_equal(flags & VALID, ~bad)
    hole = np.zeros((90, 110), bool)
    hole[20:30, 40:60] = True
    for name, layer, before in zip(LAYER_NAMES, inputs, plain, strict=True):
        if LAYERS[name].family in INSAR:
            assert (layer[hole] == 0).all()
            np.testing.assert_array_equal(layer[~hole], before[~hole])
        elif name != "red":
            np.testing.assert_array_equal(layer, before)
    part = predict_scene(bundle, holed, device="cpu", window=Window(20, 40, 5, 10))
    assert part.attrs["filled_pixels"]["coherence, phase"] == 50


def test_hidden_families_are_zeros_and_validity_stays():
    scene, bundle = full_scene(), mixing_bundle(groups=())
    scene["coherence"].values[3:9] = np.nan
    window = Window(0, 0, 90, 110)
    plain, valid = SceneInputs(bundle.manifest, scene)[window]
    hidden, same = SceneInputs(bundle.manifest, scene, hide=("coherence",))[window]
    np.testing.assert_array_equal(valid, same)
    assert (hidden[2] == 0).all() and (plain[2] != 0).any()
    np.testing.assert_array_equal(np.delete(hidden, 2, 0), np.delete(plain, 2, 0))


def test_a_model_not_trained_so_refuses():
    scene = full_scene().drop_vars("coherence")
    with pytest.raises(BundleError, match="family_dropout") as refused:
        predict_scene(mixing_bundle(groups=()), scene, device="cpu")
    assert "coherence" in str(refused.value)
    with pytest.raises(BundleError, match="layer coherence"):
        predict_scene(mixing_bundle(groups=(("terrain",),)), scene, device="cpu")
    with pytest.raises(BundleError, match="red"):
        predict_scene(mixing_bundle(), full_scene().drop_vars("red"), device="cpu")
    holed = full_scene()
    holed["coherence"].values[5, 5] = np.nan
    plain = predict_scene(mixing_bundle(groups=()), holed, device="cpu")
    assert plain["classes"].values[5, 5] == 255
    assert "filled_pixels" not in plain.attrs


def test_a_scene_without_the_sun_lacks_terrain_only_if_a_layer_needs_it():
    scene = full_scene()
    lit = mixing_bundle(layers=("red", "slope", "solar_incidence"), groups=(("terrain",),))
    assert SceneInputs(lit.manifest, scene).missing == ("terrain",)
    sun = {"view:sun_azimuth": 150.0, "view:sun_elevation": 40.0}
    assert SceneInputs(lit.manifest, scene.assign_attrs(sun)).missing == ()
    assert SceneInputs(mixing_bundle().manifest, scene).missing == ()


# ---- training


def _specs(names=LAYER_NAMES):
    return [LAYERS[name] for name in names]


def test_groups_go_together_each_by_chance_and_by_the_seed():
    config = AugmentConfig(family_dropout=0.3)
    image = torch.ones(len(LAYER_NAMES), 4, 4)

    def draw(seed):
        generator = np.random.default_rng(seed)
        return torch.stack(
            [drop_families(image, _specs(), config, generator=generator) for _ in range(2000)]
        )

    found = draw(1)
    assert torch.equal(found, draw(1)) and not torch.equal(found, draw(2))
    kept = (found == 1).all(dim=(2, 3))
    assert torch.equal(kept | (found == 0).all(dim=(2, 3)), torch.ones_like(kept))
    insar, terrain = kept[:, 2], kept[:, 5]
    assert kept[:, :2].all()
    assert (kept[:, 2:5] == insar[:, None]).all() and (kept[:, 5:] == terrain[:, None]).all()
    # Five standard deviations of 2000 draws.
    for share, wanted in (((~insar), 0.3), ((~terrain), 0.3), (~insar & ~terrain, 0.09)):
        assert share.float().mean().item() == pytest.approx(wanted, abs=0.052)


def test_without_the_option_nothing_is_drawn():
    generator = np.random.default_rng(0)
    image = torch.ones(7, 2, 2)
    assert drop_families(image, _specs(), AugmentConfig(), generator=generator) is image
    assert generator.random() == np.random.default_rng(0).random()


def test_which_families_may_go():
    config = AugmentConfig(family_dropout=0.5, families=["terrain", ["coherence", "phase"]])
    assert config.families == (("terrain",), ("coherence", "phase"))
    assert optional_families(_specs(("red", "slope", "coherence")), config) == (
        ("terrain",), ("coherence",),
    )  # fmt: skip
    assert optional_families(_specs(("red", "ndvi")), config) == ()
    with pytest.raises(ConfigError, match="every family"):
        optional_families(_specs(("slope", "coherence")), config)
    for wrong in (["optical"], ["indices"], ["terrain", "terrain"], [], [[]], "terrain"):
        with pytest.raises(ValidationError):
            AugmentConfig(families=wrong)


def _option(share=0.5):
    return {"family_dropout": share, "gain": 0, "shift": 0, "dihedral": False}


def test_chips_lack_a_family_or_have_it(blobs):
    config = _config(augment=_option())
    data = make_trainset([blobs], config)
    terrain = [spec.family == "terrain" for spec in data.specs]
    images, _ = draw_batch(data, config, range(64))
    lacks = (images[:, terrain] == 0).all(dim=(1, 2, 3))
    assert 10 < lacks.sum() < 54
    assert (images[~lacks][:, terrain].std(dim=(2, 3)) > 0).all()
    assert (images[:, [not t for t in terrain]].std(dim=(2, 3)) > 0).all()


def test_training_is_repeatable_recorded_and_serves_bare_scenes(blobs, tmp_path):
    config = _config(augment=_option(), epochs=1)
    one, two = train([blobs], config), train([blobs], config)
    assert weights_bytes(one.module) == weights_bytes(two.module)
    other = train([blobs], _config(augment=_option(0.0), epochs=1))
    assert weights_bytes(one.module) != weights_bytes(other.module)
    assert one.manifest.optional_families == (("terrain",),)
    assert other.manifest.optional_families == ()
    folder = save_bundle(one, tmp_path / "bundle")
    assert load_bundle(folder).manifest == one.manifest
    assert "does without terrain" in " ".join((folder / "CARD.md").read_text().split())
    write_scene(blobs.drop_vars("elevation"), tmp_path / "bare")
    args = ["predict", folder, tmp_path / "bare", tmp_path / "map", "--device", "cpu"]
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code == 0, result.output
    assert "The scene lacks terrain" in result.output
    assert read_passport(tmp_path / "map")["prediction"]["missing_families"] == ["terrain"]


def test_manifests_from_before_have_none_and_wrong_ones_are_refused():
    plain = mixing_bundle(groups=()).manifest
    old = plain.model_dump(mode="json")
    del old["optional_families"]
    assert Manifest.model_validate(old).optional_families == ()
    for groups in ([["indices"]], [["terrain"], ["terrain"]], [[]],
                   [["optical", "coherence", "phase", "terrain"]]):  # fmt: skip
        with pytest.raises(ValidationError):
            Manifest.model_validate({**old, "optional_families": groups})
    with pytest.raises(ValidationError, match="format 1"):
        Manifest.model_validate(
            {**old, "optional_families": [["terrain"]], "format": "cryonet-bundle/1"}
        )


def test_what_was_filled_is_said_once():
    attrs = {"missing_families": ["coherence", "phase"],
             "filled_pixels": {"coherence, phase": 9, "terrain": 1200}}  # fmt: skip
    lines = prediction_remarks(attrs)
    assert lines == prediction_remarks({"members": [attrs, attrs]})
    assert len(lines) == 2
    assert "coherence, phase" in lines[0] and "1,200" in lines[1]
    assert prediction_remarks({}) == []
