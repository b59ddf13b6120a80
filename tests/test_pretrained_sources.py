"""Pretrained encoders of a package and of a download, without either."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy_encoders import RGB, encoder_of, started

from cryonet.config import ModelConfig
from cryonet.errors import ConfigError
from cryonet.models import pretrained_sources
from cryonet.models.torchvision_schemas import import_smp


@pytest.fixture(scope="module")
def toy():
    return encoder_of()


# The package ukis-csmask


@pytest.fixture
def csmask(tmp_path, monkeypatch):
    """A package of the same form, with an encoder of our own, and a reader of its graph."""
    encoder = encoder_of("efficientnet-b4", bands=4)
    folder = tmp_path / "ukis_csmask"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise ImportError('wants an ONNX runtime')\n")
    (folder / "model_4b_l2a.onnx").write_bytes(b"graph")
    names = {"data": {"dataset_statistics": {"band_names": ["blue", "green", "red", "nir"]}}}
    (folder / "model_4b_l2a.json").write_text(json.dumps(names))
    items = [
        SimpleNamespace(name=f"model.encoder.{name}", values=tensor.numpy().astype("float16"))
        for name, tensor in encoder.state_dict().items()
        if not name.endswith("tracked") and not name.startswith(("_conv_head", "_bn1"))
    ]
    items.append(SimpleNamespace(name="model.decoder.a", values=np.zeros(2, "float16")))
    onnx = SimpleNamespace(
        load=lambda path, load_external_data: SimpleNamespace(
            graph=SimpleNamespace(initializer=items)
        ),
        numpy_helper=SimpleNamespace(to_array=lambda item: item.values),
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "onnx", onnx)
    monkeypatch.setattr(pretrained_sources, "_version", lambda: "1.0.0")
    return encoder


B4 = ModelConfig(architecture="unet", encoder="efficientnet-b4")


def test_csmask_starts_the_encoder_on_its_bands(csmask):
    layers = ("nir", "slope", "red", "blue", "green")
    network, start = started("ukis-csmask", layers=layers, model=B4, variant="4b_l2a")
    assert start.source == "ukis-csmask 1.0.0, model_4b_l2a.onnx"
    assert start.sha256 == hashlib.sha256(b"graph").hexdigest()
    assert start.bands == ("blue", "green", "red", "nir")
    assert start.unused == 1
    image = torch.randn(1, 4, 64, 64)
    whole = torch.randn(1, 5, 64, 64)
    for band, name in enumerate(start.bands):
        whole[:, layers.index(name)] = image[:, band]
    with torch.inference_mode():
        expected = csmask(image)[-1]
        found = network.network.encoder(whole)[-1]
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()


def test_what_does_not_go_with_csmask_is_refused(csmask):
    layers = ("blue", "green", "red", "nir", "swir16", "swir22")
    with pytest.raises(ConfigError, match="efficientnet-b4"):
        started("ukis-csmask", layers=layers)
    with pytest.raises(ConfigError, match="6b_l1c"):
        started("ukis-csmask", layers=layers, model=B4, variant="9b")
    with pytest.raises(ConfigError, match=r"model_6b_l2a\.onnx"):
        started("ukis-csmask", layers=layers, model=B4)
    with pytest.raises(ConfigError, match="nir"):
        started("ukis-csmask", layers=RGB, model=B4, variant="4b_l2a")


@pytest.mark.parametrize("absent", ["ukis_csmask", "onnx"])
def test_an_absent_package_is_named_with_what_to_install(csmask, monkeypatch, absent):
    if absent == "onnx":
        monkeypatch.setitem(sys.modules, "onnx", None)
    else:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"cryonet\[csmask\]") as caught:
        started("ukis-csmask", layers=RGB, model=B4, variant="4b_l2a")
    assert absent.replace("_", "-") in str(caught.value)


def test_the_optional_packages_are_those_of_the_extra():
    root = Path(pretrained_sources.__file__).parents[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["dynamic"]
    named = (root / extras["optional-dependencies"]["csmask"]["file"][0]).read_text()
    assert "ukis-csmask>=" in named and "onnx>=" in named


# Downloads


def test_a_download_is_asked_for_and_nothing_else_fetches(monkeypatch, toy):
    asked = []

    def get_encoder(name, in_channels, weights):
        asked.append((name, in_channels, weights))
        return toy

    monkeypatch.setattr(import_smp().encoders, "get_encoder", get_encoder)
    model = ModelConfig(architecture="segformer", encoder="resnet18")
    network, start = started("download", model=model, variant="ssl")
    assert asked == [("resnet18", 3, "ssl")]
    assert torch.equal(network.network.encoder.conv1.weight[:, 3], toy.conv1.weight[:, 0])
    assert start.source == "download of resnet18, ssl"
    again = started("download", model=model)[1]
    assert asked[-1] == ("resnet18", 3, "imagenet")
    assert again.sha256 == start.sha256 and len(start.sha256) == 64
    with pytest.raises(ConfigError, match="variant"):
        started("download", variant="x", model=ModelConfig(encoder="tu-resnet18"))


def test_a_download_that_fails_is_refused(monkeypatch):
    def closed(*args, **kwargs):
        raise OSError("no network here")

    monkeypatch.setattr(import_smp().encoders, "hf_hub_download", closed)
    with pytest.raises(ConfigError, match=r"cannot be fetched.*imagenet.*no network"):
        started("download")
    with pytest.raises(ConfigError, match=r"cannot be fetched.*no-such"):
        started("download", variant="no-such")
