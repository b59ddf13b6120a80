"""Every architecture in the table, and what is refused."""

from __future__ import annotations

import pytest
import torch

from cryonet.config import ModelConfig
from cryonet.errors import ConfigError
from cryonet.losses import LOSSES, ce_dice, cross_entropy, pick_loss
from cryonet.models import MODELS, build_model, parameter_count
from cryonet.models.padding import Padded

SMALL = {"encoder": "tu-mobilenetv3_small_100", "decoder_channels": (64, 48, 32, 24, 16)}


@pytest.fixture(scope="module", params=list(MODELS))
def network(request):
    config = ModelConfig(architecture=request.param, **SMALL)
    return build_model(config, layers=5, classes=4, seed=1).eval()


@pytest.mark.parametrize("shape", [(64, 64), (33, 50), (1, 1), (65, 31)])
def test_any_size_goes_in_and_comes_out(network, shape):
    """T16: odd sizes and single pixels."""
    with torch.inference_mode():
        found = network(torch.randn(2, 5, *shape))
    assert found.shape == (2, 4, *shape)
    assert torch.isfinite(found).all()


def test_every_parameter_learns(network):
    network.train()
    ce_dice(network(torch.randn(2, 5, 64, 64)), torch.randint(0, 4, (2, 64, 64))).backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None]
    network.eval()
    # smp gives the last decoder stage, which has no skip, an attention that it never calls.
    assert [n for n in idle if "attention1" not in n] == []


def test_the_seed_decides_and_torch_is_left_alone():
    config = ModelConfig(**SMALL)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two, other = (build_model(config, layers=3, classes=2, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    same = [torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True)]
    differ = [torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)]
    assert all(same)
    assert not all(differ)


@pytest.mark.parametrize("layers", [1, 60])
def test_one_layer_and_sixty(layers):
    """T16."""
    network = build_model(ModelConfig(**SMALL), layers=layers, classes=2, seed=0).eval()
    with torch.inference_mode():
        assert network(torch.randn(1, layers, 32, 32)).shape == (1, 2, 32, 32)


def test_the_default_is_the_seventy_million_of_the_design():
    """A U-Net++ with scSE and ResNet101: 70.2 million parameters with 40 layers."""
    network = build_model(ModelConfig(), layers=40, classes=4)
    assert parameter_count(network) / 1e6 == pytest.approx(70.2, abs=0.05)


def test_unknown_architecture_and_encoder_are_refused():
    with pytest.raises(ConfigError, match="architecture"):
        build_model(ModelConfig(architecture="segnet"), layers=1, classes=2)
    with pytest.raises(ConfigError, match="resnet1001"):
        build_model(ModelConfig(encoder="resnet1001"), layers=1, classes=2)


def test_padding_reflects_and_is_cut_back():
    identity = Padded(torch.nn.Identity(), multiple=8)
    image = torch.randn(1, 2, 13, 9)
    assert torch.equal(identity(image), image)
    seen = []
    network = Padded(torch.nn.Sequential(torch.nn.Identity()), multiple=8)
    network.network.register_forward_hook(lambda m, i, o: seen.append(o))
    network(image)
    assert seen[0].shape == (1, 2, 16, 16)
    assert torch.equal(seen[0][..., 13, :9], image[..., 11, :])


@pytest.mark.parametrize("name", list(LOSSES))
def test_losses_ignore_unlabelled_pixels(name):
    loss = pick_loss(name)
    logits, labels = torch.randn(2, 3, 16, 16), torch.randint(0, 3, (2, 16, 16))
    labels[:, :4] = 255
    other = logits.clone()
    other[:, :, :4] = torch.randn(2, 3, 4, 16) * 9
    assert torch.allclose(loss(logits, labels), loss(other, labels))
    assert torch.isfinite(loss(logits, torch.full_like(labels, 255)))


def test_cross_entropy_is_torchs_own():
    logits, labels = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8))
    expected = torch.nn.functional.cross_entropy(logits, labels)
    assert torch.allclose(cross_entropy(logits, labels), expected)


def test_ce_dice_falls_to_zero_on_a_perfect_map():
    labels = torch.randint(0, 3, (2, 16, 16))
    perfect = torch.nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2) * 50.0
    assert ce_dice(perfect, labels) < 1e-4
    assert ce_dice(-perfect, labels) > 1


def test_unknown_loss_is_refused():
    with pytest.raises(ConfigError, match="hinge"):
        pick_loss("hinge")
