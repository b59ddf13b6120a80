"""Configurations: the example holds the defaults, mistakes are named."""

from __future__ import annotations

import tomllib

import pytest
from pydantic import ValidationError

from cryonet.config import EXAMPLE, ModelConfig, TrainConfig, load_config, parse_config
from cryonet.errors import ConfigError


def test_the_example_states_every_default():
    stated = tomllib.loads(EXAMPLE)
    plain = TrainConfig(scenes=("my-scene",), out="my-bundle")
    assert parse_config(stated) == plain
    full = plain.model_dump(mode="json")
    missing = {key for key in full if key not in stated}
    for section in ("features", "split", "model", "pretrained", "augment"):
        missing |= {f"{section}.{key}" for key in full[section] if key not in stated[section]}
    # TOML has no word for None.
    missing -= {"split.validation_gap", "split.validation_block", "cache"}
    assert not missing


def test_paths_are_relative_to_the_file(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('scenes = ["a", "/b"]\nout = "c"\n')
    config = load_config(file)
    assert [str(s) for s in config.scenes] == [f"{tmp_path}/a", "/b"]
    assert config.out == tmp_path / "c"


def test_pretrained_weights_are_relative_to_the_file_too(tmp_path):
    file = tmp_path / "run.toml"
    for source, expected in (
        ("w.pth", f"{tmp_path}/w.pth"), ("/a/w.safetensors", "/a/w.safetensors"),
        ("download", "download"), ("none", "none"), ("ukis-csmask", "ukis-csmask"),
    ):  # fmt: skip
        file.write_text(f"scenes = ['a']\nout = 'c'\n[pretrained]\nsource = '{source}'\n")
        assert load_config(file).pretrained.source == expected


def test_widths_not_given_are_those_of_the_architecture():
    for architecture, widths in (
        ("cryonet", (256, 128, 64, 32, 16)), ("unet", (256, 128, 64, 32, 16)),
        ("deeplabv3plus", (256,)), ("segformer", (256,)),
    ):  # fmt: skip
        config = ModelConfig(architecture=architecture)
        assert config.decoder_channels == widths
        assert ModelConfig.model_validate(config.model_dump()) == config
    # scSE is CryoNet's alone, and its rule too.
    assert ModelConfig(architecture="unet", decoder_channels=(8, 8, 8)).decoder_channels[0] == 8


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("out = 'b'", "scenes"),
        ("scenes = []\nout = 'b'", "scenes"),
        ("scenes = ['a']\nout = 'b'\nlearnig_rate = 1", "learnig_rate"),
        ("scenes = ['a']\nout = 'b'\nchip = 100", "chip"),
        ("scenes = ['a']\nout = 'b'\nchip = 64\nstride = 65", "stride"),
        ("scenes = ['a']\nout = 'b'\n[split]\ntest = 'left'", "split.test"),
        ("scenes = ['a']\nout = 'b'\n[model]\ndecoder_channels = [64, 8]", "model"),
        (
            "scenes = ['a']\nout = 'b'\n[model]\narchitecture = 'segformer'\n"
            "decoder_channels = [256, 128, 64]",
            "one width",
        ),
        (
            "scenes = ['a']\nout = 'b'\n[model]\narchitecture = 'unet'\ndecoder_channels = [256]",
            "three to five",
        ),
        (
            "scenes = ['a']\nout = 'b'\n[model]\narchitecture = 'unet'\n"
            "decoder_channels = [64, 32, 0]",
            "decoder_channels",
        ),
        ("scenes = ['a']\nout = 'b'\n[pretrained]\nsource = 'imagenet'", "safetensors"),
        ("scenes = ['a']\nout = 'b'\n[pretrained]\nbands = ['red']", "bands"),
        ("scenes = ['a']\nout = 'b'\n[pretrained]\nvariant = '6b_l2a'", "variant"),
        ("scenes = ['a']\nout = 'b'\n[pretrained]\nfirst_layer = 'mean'", "first_layer"),
        (
            "scenes = ['a']\nout = 'b'\n[pretrained]\nsource = 'w.pth'\nbands = ['red', 'red']",
            "twice",
        ),
        ("scenes = ['a'", "not TOML"),
    ],
)
def test_mistakes_are_refused_by_name(tmp_path, text, named):
    file = tmp_path / "run.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=named):
        load_config(file)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(tmp_path / "none.toml")


@pytest.mark.parametrize("encoder", ["tu-hf-hub:some/model", "tu-local-dir:/etc", "../a", ""])
def test_an_encoder_that_names_a_place_is_refused(encoder):
    with pytest.raises(ValidationError, match="encoder"):
        ModelConfig(encoder=encoder)
