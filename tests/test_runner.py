"""Networks in mixed precision, held against single; batches brought to the device ahead."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_predict import make_bundle, make_scene

from cryonet.bundle import Bundle
from cryonet.errors import ConfigError, CryonetError
from cryonet.predict import predict_scene
from cryonet.runner import Runner

CPU = torch.device("cpu")


def network(scale: float = 1.0) -> torch.nn.Module:
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(16, 3, 1)
    )
    with torch.no_grad():
        layers[2].weight *= scale
    return layers.eval()


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 3, 32, 40)).astype(np.float32)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_tells_how_far_it_is_from_single(precision, images):
    mixed, exact = Runner(network(30), CPU, precision=precision), Runner(network(30), CPU)
    found, wanted = mixed(images), exact(images)
    gap = np.abs(found - wanted).max()
    assert 1e-5 < gap < 0.2
    agree = (found.argmax(axis=1) == wanted.argmax(axis=1)).mean()
    assert mixed.check["difference"] == pytest.approx(gap, rel=0.01)
    assert mixed.check["agreement"] == pytest.approx(agree, abs=1e-6) and 0.9 < agree < 1
    assert mixed.check["windows"] == 3
    first = mixed.check
    mixed(images[:1])
    assert mixed.check is first and exact.check == {}


def test_numbers_too_large_for_half_precision_are_an_error(images):
    with pytest.raises(CryonetError, match="too large"):
        Runner(network(1e6), CPU, precision="fp16")(images)
    Runner(network(1e6), CPU, precision="bf16")(images)


def test_an_unknown_precision_and_an_impossible_pair_are_refused():
    with pytest.raises(ConfigError, match="precision is unknown"):
        Runner(network(), CPU, precision="int8")
    with pytest.raises(ConfigError, match="single precision"):
        predict_scene(make_bundle(), make_scene(), backend="onnxruntime", precision="bf16")


@pytest.mark.parametrize("backend", ["torch", "auto"])
def test_a_prediction_says_its_precision(backend):
    bundle = Bundle(network(30), make_bundle().manifest)
    how = {"device": "cpu", "backend": backend}
    mixed = predict_scene(bundle, make_scene(), precision="bf16", **how)
    exact = predict_scene(bundle, make_scene(), **how)
    assert (mixed.attrs["precision"], exact.attrs["precision"]) == ("bf16", "fp32")
    assert mixed.attrs["precision_check"]["agreement"] > 0.9
    assert "precision_check" not in exact.attrs
    assert not mixed["probabilities"].equals(exact["probabilities"])


def test_a_staged_batch_is_run_as_it_is(images):
    run = Runner(network(), CPU)
    np.testing.assert_array_equal(run(run.stage(images)), run(images))
