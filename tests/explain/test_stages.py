"""Stages inside the network: Captum's answers, by stage, and no input layers."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam, LayerIntegratedGradients
from explain_ground import small_bundle, small_scene

from cryonet.bundle import load_bundle
from cryonet.errors import ConfigError
from cryonet.explain.encoder_stages import tapped
from cryonet.explain.evidence import Evidence
from cryonet.explain.questions import at_pixel
from cryonet.explain.stages import STAGE_METHODS, explain_stages
from cryonet.explain.view import View
from cryonet.model_config import ModelConfig
from cryonet.models import build_model
from cryonet.progress import Cancelled
from cryonet.scene import open_scene

NAMES = ["encoder stage 1 (1/2)", "encoder stage 2 (1/4)", "encoder stage 3 (1/8)"]


@pytest.fixture(scope="module")
def demo():
    bundle, scene = load_bundle("data/demo/bundle"), open_scene("data/demo/scene").load()
    return bundle, scene, at_pixel(bundle, scene, 131, 157)


def test_taps_change_nothing(demo):
    bundle = demo[0]
    before = [name for name, _ in bundle.module.named_modules()]
    network, stages = tapped(bundle.module, layers=48, side=64)
    assert list(stages) == NAMES
    image = torch.randn(1, 48, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(network(image), bundle.module(image))
    assert [name for name, _ in bundle.module.named_modules()] == before


@pytest.mark.parametrize(
    ("architecture", "encoder", "widths", "shares"),
    [
        ("unet", "resnet18", (32, 16, 16), [2, 4, 8]),
        ("deeplabv3plus", "resnet18", (16,), [2, 4, 8, 16, 16]),
        ("segformer", "mit_b0", (16,), [4, 8, 16, 32]),
    ],
)
def test_stages_of_other_networks(architecture, encoder, widths, shares):
    config = ModelConfig(architecture=architecture, encoder=encoder, decoder_channels=widths)
    network = build_model(config, layers=5, classes=3, seed=0).eval()
    other, stages = tapped(network, layers=5, side=64)
    assert [name.split("(")[1] for name in stages] == [f"1/{share})" for share in shares]
    image = torch.zeros(1, 5, 64, 64)
    with torch.inference_mode():
        assert torch.equal(network(image), other(image))


def test_stages_are_captums_layers(demo):
    bundle, scene, question = demo
    view = View.of(bundle, scene, question.window)
    image = torch.from_numpy(view.image)[None]
    # The module itself, found in the network by hand, in place of a tap.
    network = copy.deepcopy(bundle.module)
    evidence = Evidence(network, question, bundle.manifest.classes)
    inner, stages = tapped(network, layers=48, side=64)
    by_hand = Evidence(inner, question, bundle.manifest.classes)
    cam = explain_stages(bundle, scene, question, view=view)
    path = explain_stages(
        bundle, scene, question, method="stage integrated gradients", steps=4, view=view
    )
    for name, stage in stages.items():
        peer = LayerGradCam(by_hand, stage).attribute(image)
        assert cam.by_stage[name] == pytest.approx(float(peer.detach().sum()), rel=1e-4)
        peer = LayerIntegratedGradients(by_hand, stage).attribute(image, image * 0, n_steps=4)
        assert path.by_stage[name] == pytest.approx(float(peer.sum()), rel=1e-3)
    for found in (cam, path):
        assert found.maps.dims == ("stage", "y", "x")
        assert found.maps.odc.geobox == view.geobox
        assert list(found.maps.stage.values) == list(found.by_stage) == NAMES
        assert not hasattr(found, "by_layer")
        assert np.isfinite(found.maps.values).all()
    assert (cam.baseline, path.baseline) == ("", "training mean")
    assert cam.maps.values.std() > 0
    with torch.inference_mode():
        assert float(evidence(image)) == pytest.approx(float(by_hand(image)), abs=1e-6)


def test_enlarged_maps_stand_where_the_stage_does(demo):
    """At a fixed shrinking, means over a stage's pixels are kept by the enlargement."""
    bundle, scene, question = demo
    found = explain_stages(bundle, scene, question)
    small = found.maps.sel(stage=NAMES[0]).values
    assert small.sum() / 4 == pytest.approx(found.by_stage[NAMES[0]], rel=0.1, abs=0.05)


def test_what_has_no_stages_is_refused(demo):
    bundle, scene = small_bundle(), small_scene()
    question = at_pixel(bundle, scene, 20, 30)
    with pytest.raises(ConfigError, match="no encoder stages"):
        explain_stages(bundle, scene, question)
    with pytest.raises(ConfigError, match="unknown"):
        explain_stages(*demo, method="integrated gradients")
    with pytest.raises(ConfigError, match="too few"):
        explain_stages(*demo, method="stage integrated gradients", steps=0)
    assert "integrated gradients" not in STAGE_METHODS


def test_stages_can_be_cancelled(demo):
    class Stop:
        def step(self, done, total, message=""):
            if done == 1:
                raise Cancelled

    with pytest.raises(Cancelled):
        explain_stages(*demo, progress=Stop())
