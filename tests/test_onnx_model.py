"""Networks as ONNX models: as torch has it, any number of windows, and what is refused."""

from __future__ import annotations

import onnx
import pytest
import torch
from onnx import numpy_helper

from cryonet import onnx_model
from cryonet.errors import CryonetError
from cryonet.model_config import ONE_WIDTH, ModelConfig
from cryonet.models import MODELS, build_model
from cryonet.onnx_model import (
    TOLERANCE,
    Check,
    OnnxNetwork,
    compare,
    extreme_images,
    missing_packages,
    to_onnx,
)

LAYERS, SIZE = 5, (64, 40)


def seen(network):
    """The network with norms that have seen noise, as after training."""
    torch.manual_seed(3)
    network.train()
    with torch.no_grad():
        for _ in range(4):
            network(torch.randn(4, LAYERS, 64, 64))
    return network.eval()


@pytest.mark.parametrize("architecture", MODELS)
def test_every_architecture_gives_what_torch_gives(architecture):
    """Sides that are padded inside; one window, several, and far-off values."""
    widths = (16,) if architecture in ONE_WIDTH else (16, 16, 16)
    config = ModelConfig(
        architecture=architecture, encoder="resnet18", decoder_channels=widths, pixel_branch=4
    )
    network = seen(build_model(config, layers=LAYERS, classes=4, seed=1))
    converted = OnnxNetwork(to_onnx(network, LAYERS, SIZE))
    check = compare(network, converted, extreme_images(LAYERS, SIZE))
    assert check.good and check.difference < 1e-4
    with torch.inference_mode():
        for count in (1, 2, 5):
            images = torch.randn(count, LAYERS, *SIZE)
            found = converted(images.contiguous(memory_format=torch.channels_last))
            torch.testing.assert_close(found, network(images), rtol=1e-3, atol=1e-3)
            assert found.std() > 0.01


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 4, 3, padding=1).eval()
    return network, to_onnx(network, 3, (16, 24))


def shifted(model: bytes, by: float) -> bytes:
    """The model with one weight changed."""
    made = onnx.load_from_string(model)
    weight = next(w for w in made.graph.initializer if len(w.dims) == 4)
    values = numpy_helper.to_array(weight).copy()
    values[0, 0, 1, 1] += by
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    return made.SerializeToString()


@pytest.mark.parametrize(("by", "good"), [
    (0.0, True), (1e-5, True), (0.1, False), (float("nan"), False),
])  # fmt: skip
def test_a_model_that_differs_is_told(pair, by, good):
    network, model = pair
    check = compare(network, OnnxNetwork(shifted(model, by)), extreme_images(3, (16, 24)))
    assert check.good == good


def test_the_difference_is_the_greatest_and_the_agreement_a_share():
    class Given(torch.nn.Module):
        def __init__(self, shares):
            super().__init__()
            self.logits = torch.log(torch.tensor(shares)).T[None, :, None]

        def forward(self, image):
            return self.logits.expand(len(image), -1, -1, -1)

    one = Given([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    two = Given([[0.45, 0.55], [0.9, 0.1], [0.1, 0.9], [0.5, 0.5]])
    check = compare(one, two, torch.zeros(1, 1, 1, 4))
    assert check.difference == pytest.approx(0.15) and check.agreement == 0.75
    assert Check(TOLERANCE, 1.0).good and not Check(2 * TOLERANCE, 1.0).good
    assert not Check(0.0, 0.99).good and not Check(float("nan"), 1.0).good


def test_it_takes_as_many_threads_as_torch(pair):
    converted = OnnxNetwork(pair[1])
    assert converted._session.get_session_options().intra_op_num_threads == torch.get_num_threads()


def test_what_memory_does_not_hold_is_torchs_own_error():
    """T8: so that the batch is halved. A terabyte is refused before any of it is touched."""
    wide = torch.nn.Conv2d(1, 2**16, 1)
    converted = OnnxNetwork(to_onnx(wide, 1, (64, 64)))
    with pytest.raises(torch.OutOfMemoryError):
        converted(torch.zeros(1024, 1, 64, 64))


def test_a_wrong_size_is_an_error_and_not_one_of_memory(pair):
    with pytest.raises(Exception, match="dimensions") as found:
        OnnxNetwork(pair[1])(torch.zeros(1, 3, 17, 24))
    assert not isinstance(found.value, torch.OutOfMemoryError)


def test_what_cannot_be_converted_or_loaded_is_told():
    class Numbered(torch.nn.Module):
        def forward(self, image):
            return image * float(image.numpy().sum())

    with pytest.raises(CryonetError, match="cannot be converted") as found:
        to_onnx(Numbered(), 3, (8, 8))
    assert found.value.rule == "Predict with torch."
    with pytest.raises(CryonetError, match="cannot load"):
        OnnxNetwork(b"no model")


def test_missing_packages_are_named(monkeypatch):
    assert missing_packages() == []
    real = onnx_model.distributions
    monkeypatch.setattr(
        onnx_model, "distributions", lambda name: () if name == "onnxscript" else real(name=name)
    )
    assert missing_packages() == ["onnxscript"]
