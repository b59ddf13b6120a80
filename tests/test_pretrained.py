"""Pretrained encoders: filters go to layers by name, and the manifest says from where."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from safetensors.torch import save_file
from toy_encoders import LAYERS, RGB, encoder_of, started

from cryonet.bundle import load_bundle, save_bundle
from cryonet.config import ModelConfig, PretrainedConfig, SplitConfig, TrainConfig
from cryonet.errors import ConfigError
from cryonet.models import MODELS, build_model
from cryonet.models.pretrained import first_filters, start_encoder
from cryonet.models.torchvision_schemas import import_smp
from cryonet.train import train


@pytest.fixture(scope="module")
def toy():
    return encoder_of()


@pytest.fixture
def file(toy, tmp_path):
    path = tmp_path / "toy.safetensors"
    save_file(toy.state_dict(), path)
    return path


def stack(layers, image, *, others):
    """An image ``(batch, band, y, x)`` of RGB, spread over named layers."""
    shape = (len(image), len(layers), *image.shape[2:])
    out = torch.randn(shape) if others else torch.zeros(shape)
    for band, name in enumerate(RGB):
        out[:, layers.index(name)] = image[:, band]
    return out


@pytest.mark.parametrize("others", [False, True])
def test_zero_extra_gives_the_features_of_the_original_encoder(toy, file, others):
    network, _ = started(file)
    image = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        expected = toy(image)[1:]
        found = network.network.encoder(stack(LAYERS, image, others=others))[1:]
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", MODELS)
def test_an_rgb_only_input_gives_the_original_logits(architecture, toy, file):
    """The network of the three bands, in their order, and that of six layers, in another."""
    model = ModelConfig(architecture=architecture, encoder="resnet18")
    narrow, _ = started(file, layers=RGB, model=model)
    wide, _ = started(file, model=model)
    with torch.no_grad():
        for name, value in wide.state_dict().items():
            if value.shape == narrow.state_dict()[name].shape:
                value.copy_(narrow.state_dict()[name])
    assert torch.equal(narrow.network.encoder.conv1.weight, toy.conv1.weight)
    image = torch.randn(1, 3, 50, 64)
    with torch.inference_mode():
        expected = narrow(image)
        found = wide(stack(LAYERS, image, others=False))
        assert expected.std() > 1e-3
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_each_policy_fills_the_other_layers_as_it_says(toy, file):
    filters = toy.conv1.weight.detach()
    by_name = dict(zip(RGB, filters.unbind(1), strict=True))
    found = {
        policy: started(file, first_layer=policy)[0].network.encoder.conv1.weight
        for policy in ("zero-extra", "rgb+mean", "cyclic")
    }
    for policy, share in (("zero-extra", 1), ("rgb+mean", 1), ("cyclic", 3 / 6)):
        for name, filter_ in by_name.items():
            torch.testing.assert_close(found[policy][:, LAYERS.index(name)], filter_ * share)
    extras = [LAYERS.index(name) for name in ("slope", "ndsi", "coherence")]
    assert not found["zero-extra"][:, extras].any()
    mean = (by_name["red"] + by_name["green"] + by_name["blue"]) / 3
    for turn, index in enumerate(extras):
        torch.testing.assert_close(found["rgb+mean"][:, index], mean)
        torch.testing.assert_close(found["cyclic"][:, index], by_name[RGB[turn]] / 2)


def test_cyclic_is_smps_own_rule_where_the_bands_come_first():
    smp = import_smp()
    conv = torch.nn.Conv2d(3, 4, 3)
    expected = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))
    expected[0].load_state_dict(conv.state_dict())
    smp.encoders._utils.patch_first_conv(expected, 8, pretrained=True)
    found = first_filters(conv.weight, RGB, (*RGB, *"abcde"), policy="cyclic")
    torch.testing.assert_close(found, expected[0].weight)


def test_the_other_layers_learn_from_zero(file):
    network, _ = started(file)
    network(torch.randn(2, 6, 64, 64)).square().sum().backward()
    gradient = network.network.encoder.conv1.weight.grad
    assert (gradient.abs().sum(dim=(0, 2, 3)) > 0).all()


def test_a_first_layer_of_several_convolutions_is_filled_in_all_of_them(tmp_path):
    """MobileOne sees the image through several branches at once."""
    original = encoder_of("mobileone_s0")
    save_file(original.state_dict(), tmp_path / "one.safetensors")
    model = ModelConfig(architecture="unet", encoder="mobileone_s0")
    network, _ = started(tmp_path / "one.safetensors", model=model)
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        found = network.network.encoder(stack(LAYERS, image, others=True))[1]
        torch.testing.assert_close(found, original(image)[1], atol=1e-5, rtol=1e-5)


def _wrapped(kind, encoder, tmp_path):
    state = encoder.state_dict()
    if kind == "torch":
        torch.save({"state_dict": state, "epoch": 3}, path := tmp_path / "w.pth")
    elif kind == "model":
        head = {"encoder." + k: v for k, v in state.items()} | {"head.weight": torch.zeros(2)}
        save_file(head, path := tmp_path / "w.safetensors")
    else:  # half precision, without the counters of batches
        half = {k: v.half() for k, v in state.items() if not k.endswith("tracked")}
        torch.save(half, path := tmp_path / "w.pt")
    return path


@pytest.mark.parametrize(("kind", "unused"), [("torch", 0), ("model", 1), ("half", 0)])
def test_files_of_several_writers_are_understood(kind, unused, toy, tmp_path):
    path = _wrapped(kind, toy, tmp_path)
    network, start = started(path)
    mine = network.network.encoder.layer4[1].conv2.weight
    torch.testing.assert_close(mine, toy.layer4[1].conv2.weight, atol=1e-3, rtol=1e-3)
    assert start.unused == unused
    assert start.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_timms_own_names_are_understood(tmp_path):
    encoder = encoder_of("tu-mobilenetv3_small_100")
    bare = {name.removeprefix("model."): t for name, t in encoder.state_dict().items()}
    save_file({**bare, "classifier.weight": torch.zeros(2)}, tmp_path / "timm.safetensors")
    model = ModelConfig(architecture="segformer", encoder="tu-mobilenetv3_small_100")
    network, start = started(tmp_path / "timm.safetensors", model=model)
    assert torch.equal(
        network.network.encoder.model.conv_stem.weight[:, 3], bare["conv_stem.weight"][:, 0]
    )
    assert (start.unused, start.random) == (1, ())


def test_what_the_encoder_never_calls_may_be_lacking(tmp_path):
    state = encoder_of("efficientnet-b0").state_dict()
    kept = {k: v for k, v in state.items() if not k.startswith(("_conv_head", "_bn1"))}
    save_file(kept, tmp_path / "w.safetensors")
    model = ModelConfig(architecture="unet", encoder="efficientnet-b0")
    _, start = started(tmp_path / "w.safetensors", model=model)
    assert {name.split(".")[0] for name in start.random} == {"_conv_head", "_bn1"}
    kept.pop("_blocks.3._bn0.weight")
    save_file(kept, tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match=r"lacks 1 of .*_blocks\.3\._bn0"):
        started(tmp_path / "w.safetensors", model=model)


def test_bands_of_a_file_can_be_named(tmp_path):
    encoder = encoder_of(bands=4)
    save_file(encoder.state_dict(), tmp_path / "four.safetensors")
    bands = ("coherence", "slope", "blue", "ndsi")
    network, start = started(tmp_path / "four.safetensors", bands=bands)
    for number, name in enumerate(bands):
        mine = network.network.encoder.conv1.weight[:, LAYERS.index(name)]
        assert torch.equal(mine, encoder.conv1.weight[:, number])
    assert start.bands == bands
    with pytest.raises(ConfigError, match="other bands"):
        started(tmp_path / "four.safetensors")


def test_a_network_that_is_refused_is_left_as_it_was(toy, tmp_path):
    state = toy.state_dict()
    state["layer4.1.conv2.weight"] = torch.full_like(state["layer4.1.conv2.weight"], torch.nan)
    save_file(state, tmp_path / "w.safetensors")
    model = ModelConfig(architecture="unet", encoder="resnet18")
    network = build_model(model, layers=3, classes=2, seed=0)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    config = PretrainedConfig(source=str(tmp_path / "w.safetensors"))
    with pytest.raises(ConfigError, match="not finite"):
        start_encoder(network, config, model=model, layers=RGB)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert start_encoder(network, PretrainedConfig(), model=model, layers=RGB) is None
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


class _Bomb:
    def __reduce__(self):
        return (print, ("a pickle ran",))


def _bomb(path):
    torch.save({"a": _Bomb()}, path)


@pytest.mark.parametrize(
    ("name", "make", "named"),
    [
        ("gone.pth", lambda path: None, "do not exist"),
        ("bomb.pth", _bomb, "cannot be read"),
        ("cut.safetensors", lambda path: path.write_bytes(b"\x08"), "cannot be read"),
        ("text.pt", lambda path: path.write_text("hello"), "cannot be read"),
        ("list.pth", lambda path: torch.save([1, 2], path), "no tensors"),
        ("words.pth", lambda path: torch.save({"a": "b"}, path), "no tensors"),
        ("other.pth", lambda path: torch.save({"a": torch.zeros(2)}, path), "do not fit"),
    ],
)
def test_files_that_are_no_weights_are_refused(tmp_path, capsys, name, make, named):
    make(tmp_path / name)
    with pytest.raises(ConfigError, match=named):
        started(tmp_path / name)
    assert "ran" not in capsys.readouterr().out


def test_another_encoders_weights_are_refused(tmp_path):
    save_file(encoder_of("resnet34").state_dict(), tmp_path / "w34.safetensors")
    model = ModelConfig(architecture="unet", encoder="resnet50")
    with pytest.raises(ConfigError, match=r"lacks|shape"):
        started(tmp_path / "w34.safetensors", model=model)


def test_a_stack_without_the_bands_is_refused(file):
    with pytest.raises(ConfigError, match=r"lacks bands.*blue"):
        started(file, layers=("red", "green", "nir"))


# In a training run


def test_a_run_records_what_its_encoder_started_from(blobs, tmp_path):
    path = tmp_path / "toy.safetensors"
    save_file(encoder_of(bands=2).state_dict(), path)
    config = TrainConfig(
        scenes=("blobs",), out="bundle",
        classes=("other", "clean_ice", "debris"),
        features={"stack": ("elevation", "nir", "red")},
        split=SplitConfig(test="none", block=32, gap=4),
        model=ModelConfig(architecture="unet", encoder="resnet18", decoder_channels=(8, 8, 8)),
        pretrained={"source": str(path), "bands": ("red", "nir"), "first_layer": "rgb+mean"},
        chip=32, stride=32, batch=2, epochs=1, steps_per_epoch=1, tile=64,
        learning_rate=1e-9, accelerator="cpu", threads=1,
    )  # fmt: skip
    bundle = train([blobs], config)
    first = bundle.module.network.encoder.conv1.weight
    original = encoder_of(bands=2).conv1.weight
    torch.testing.assert_close(first[:, 2], original[:, 0])
    torch.testing.assert_close(first[:, 1], original[:, 1])
    torch.testing.assert_close(first[:, 0], original.mean(dim=1))
    # The bundle holds all weights: it needs the file no more, and names no folder.
    path.unlink()
    manifest = load_bundle(save_bundle(bundle, tmp_path / "bundle")).manifest
    record = manifest.training.pretrained
    assert record.model_dump(exclude={"sha256", "tensors"}) == {
        "source": "toy.safetensors", "bands": ("red", "nir"), "first_layer": "rgb+mean",
        "unused": 0, "random": (),
    }  # fmt: skip
    assert manifest.training.config["pretrained"]["source"] == "toy.safetensors"
    assert str(tmp_path) not in manifest.model_dump_json()
    card = (tmp_path / "bundle" / "CARD.md").read_text()
    assert "toy.safetensors" in card and "rgb+mean" in card and "random" not in card
    item = json.loads((tmp_path / "bundle" / "item.json").read_text())["properties"]
    assert item["mlm:pretrained"] is True
    assert item["mlm:pretrained_source"] == "toy.safetensors"
    assert item["mlm:architecture"] == "U-Net"
