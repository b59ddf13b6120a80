"""Configurations: the example holds the defaults, mistakes are named."""

from __future__ import annotations

import tomllib

import pytest

from cryonet.config import EXAMPLE, TrainConfig, load_config, parse_config
from cryonet.errors import ConfigError


def test_the_example_states_every_default():
    stated = tomllib.loads(EXAMPLE)
    plain = TrainConfig(scenes=("my-scene",), out="my-bundle")
    assert parse_config(stated) == plain
    full = plain.model_dump(mode="json")
    missing = {key for key in full if key not in stated}
    for section in ("features", "split", "model", "augment"):
        missing |= {f"{section}.{key}" for key in full[section] if key not in stated[section]}
    # TOML has no word for None.
    missing -= {"split.validation_gap"}
    assert not missing


def test_paths_are_relative_to_the_file(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('scenes = ["a", "/b"]\nout = "c"\n')
    config = load_config(file)
    assert [str(s) for s in config.scenes] == [f"{tmp_path}/a", "/b"]
    assert config.out == tmp_path / "c"


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
