"""Every architecture in the table, and what is refused."""

from __future__ import annotations

import pytest
import torch

from cryonet.errors import ConfigError
from cryonet.losses import ce_dice
from cryonet.model_config import ONE_WIDTH, ForestConfig, ModelConfig, ThresholdConfig
from cryonet.models import MODELS, PIXEL_MODELS, build_model, parameter_count
from cryonet.models.extra_outputs import FirstOutputs, first_outputs
from cryonet.models.padding import Padded

SMALL = {"encoder": "tu-mobilenetv3_small_100", "decoder_channels": (64, 48, 32, 24, 16)}


def small(architecture: str, **changes) -> ModelConfig:
    """A configuration of `architecture` that is built and run in moments."""
    widths = (32,) if architecture in ONE_WIDTH else SMALL["decoder_channels"]
    settings = {"encoder": SMALL["encoder"], "decoder_channels": widths, **changes}
    return ModelConfig(architecture=architecture, **settings)


@pytest.fixture(scope="module", params=list(MODELS))
def network(request):
    return build_model(small(request.param), layers=5, classes=4, seed=1).eval()


#: The baselines with what they are built for: layers and classes.
PIXEL = {
    "forest": (ForestConfig(architecture="forest", trees=3, leaves=8), 5, 4),
    "threshold": (ThresholdConfig(architecture="threshold"), 3, 4),
}


@pytest.mark.parametrize("shape", [(64, 64), (33, 50), (1, 1), (65, 31)])
@pytest.mark.parametrize("architecture", PIXEL_MODELS)
def test_pixel_models_take_any_size_and_see_one_pixel(architecture, shape):
    """T16."""
    config, layers, classes = PIXEL[architecture]
    module = build_model(config, layers=layers, classes=classes, seed=1).eval()
    _parted(module)
    image = torch.rand(2, layers, *shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = module(image)
        assert torch.isfinite(found).all() and found.shape == (2, classes, *shape)
        row, col = (
            slice(side // part, side // part + 1) for side, part in zip(shape, (2, 3), strict=True)
        )
        alone = module(image[:, :, row, col])
    torch.testing.assert_close(found[:, :, row, col], alone, rtol=0, atol=0)
    if shape[0] > 1:
        assert found.std(dim=(-1, -2)).max() > 0
    assert parameter_count(module) == 0


def _parted(module):
    """Put thresholds at a half; let each tree part the pixels once, by its own layer."""
    for threshold in module.buffers():
        if threshold.ndim == 0:
            threshold.fill_(0.5)
    for tree in range(len(getattr(module, "left", ()))):
        module.left[tree, 0], module.right[tree, 0] = 1, 2
        module.feature[tree, 0], module.threshold[tree, 0] = tree, 0.5
        module.shares[tree, 1], module.shares[tree, 2] = torch.eye(4)[0], torch.eye(4)[1]


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


@pytest.mark.parametrize("architecture", MODELS)
def test_the_seed_decides_and_torch_is_left_alone(architecture):
    config = small(architecture, pixel_branch=4)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two, other = (build_model(config, layers=3, classes=2, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    same = [torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True)]
    differ = [torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)]
    assert all(same)
    assert not all(differ)


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("layers", [1, 60])
def test_one_layer_and_sixty(architecture, layers):
    """T16."""
    network = build_model(small(architecture), layers=layers, classes=2, seed=0).eval()
    with torch.inference_mode():
        assert network(torch.randn(1, layers, 32, 32)).shape == (1, 2, 32, 32)


@pytest.mark.parametrize(
    ("architecture", "encoder", "millions"),
    [
        ("cryonet", "resnet101", 70.2),
        ("unet", "resnet101", 51.6),
        ("deeplabv3plus", "resnet101", 45.8),
        ("segformer", "mit_b2", 24.8),
    ],
)
def test_sizes_are_those_of_the_design(architecture, encoder, millions):
    """DESIGN section 5, with 40 layers and the usual widths."""
    config = ModelConfig(architecture=architecture, encoder=encoder)
    with torch.device("meta"):
        network = build_model(config, layers=40, classes=4)
    assert parameter_count(network) / 1e6 == pytest.approx(millions, abs=0.05)


def test_the_default_is_cryonet_with_resnet101():
    """The abstract of Barzegar et al. (2026) names U-Net++, scSE and ResNet101."""
    assert ModelConfig() == ModelConfig(architecture="cryonet", encoder="resnet101")
    names = [type(module).__name__ for module in build_model(ModelConfig(
        encoder="resnet18"), layers=2, classes=2).modules()]  # fmt: skip
    assert {"UnetPlusPlus", "SCSEModule"} <= set(names)


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("encoder", ["resnet18", "efficientnet-b0", "mit_b0", "tu-convnext_atto"])
def test_encoders_of_every_kind_work_or_are_refused(architecture, encoder):
    if (architecture, encoder) == ("cryonet", "mit_b0"):
        with pytest.raises(ConfigError, match="mit_b0"):
            build_model(small(architecture, encoder=encoder), layers=5, classes=3)
        return
    network = build_model(small(architecture, encoder=encoder), layers=5, classes=3, seed=0)
    network(torch.randn(2, 5, 50, 64)).sum().backward()
    first = next(p for p in network.parameters() if p.ndim == 4 and p.shape[1] == 5)
    assert first.grad is not None and first.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("architecture", "encoder", "why"),
    [
        ("deeplabv3plus", "densenet121", "dilated"),
        ("deeplabv3plus", "tu-swin_tiny_patch4_window7_224", "output_stride"),
        ("unet", "tu-swin_tiny_patch4_window7_224", "height"),
        ("segformer", "tu-vit_tiny_patch16_224", "downsampling"),
    ],
)
def test_encoders_that_cannot_work_are_refused_when_built(architecture, encoder, why):
    with pytest.raises(ConfigError, match=why) as caught:
        build_model(ModelConfig(architecture=architecture, encoder=encoder), layers=4, classes=2)
    assert encoder in caught.value.value


@pytest.mark.parametrize("architecture", MODELS)
def test_every_width_of_the_decoder_counts(architecture):
    plain = small(architecture)
    sizes = []
    for stage in range(len(plain.decoder_channels)):
        widths = list(plain.decoder_channels)
        widths[stage] *= 2
        config = small(architecture, decoder_channels=tuple(widths))
        sizes.append(parameter_count(build_model(config, layers=2, classes=2)))
    assert min(sizes) > parameter_count(build_model(plain, layers=2, classes=2))


def test_deeplabs_encoder_is_dilated():
    """A sixteenth of the side, where a strided encoder has a thirty-second."""
    seen = {}
    for architecture in ("deeplabv3plus", "unet"):
        network = build_model(small(architecture, encoder="resnet18"), layers=2, classes=2)
        seen[architecture] = network.network.encoder(torch.zeros(1, 2, 64, 64))[-1].shape[-2:]
    assert seen == {"deeplabv3plus": (4, 4), "unet": (2, 2)}


@pytest.mark.parametrize("architecture", MODELS)
def test_the_pixel_branch_is_added_to_every_architecture(architecture):
    with_branch = build_model(small(architecture, pixel_branch=8), layers=3, classes=2, seed=4)
    without = build_model(small(architecture), layers=3, classes=2, seed=4)
    image = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        whole, plain = with_branch.eval()(image), without.eval()(image)
        alone = with_branch.network.second(image)
    torch.testing.assert_close(whole, plain + alone)
    # One pixel's branch does not see its neighbours.
    image[..., 0, 0] += 1
    with torch.inference_mode():
        moved = with_branch.network.second(image) - alone
    assert moved[..., 0, 0].abs().min() > 0 and moved.abs().sum() == moved[..., 0, 0].abs().sum()


@pytest.mark.parametrize("architecture", MODELS)
def test_an_extra_output_is_cut_off_without_a_trace(architecture):
    config = small(architecture, pixel_branch=4)
    more, fewer = (build_model(config, layers=3, classes=n, seed=n).eval() for n in (4, 3))
    fewer.load_state_dict(first_outputs(more.state_dict(), fewer.state_dict()))
    image = torch.randn(1, 3, 40, 33)
    with torch.inference_mode():
        torch.testing.assert_close(fewer(image), FirstOutputs(more, 3)(image))


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
