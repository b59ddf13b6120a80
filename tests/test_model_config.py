"""Models as they are configured: by architecture, and without keys that they do not read."""

from __future__ import annotations

import tomllib

import pytest

from cryonet.config import EXAMPLE, parse_config
from cryonet.errors import ConfigError


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ({"architecture": "forest", "tress": 3}, "model.tress is"),
        ({"architecture": "forest", "trees": 0}, "model.trees is"),
        ({"architecture": "forest", "encoder": "resnet18"}, "model.encoder is"),
        ({"architecture": "threshold", "index": "ndvi"}, "model.index is"),
        ({"encoder": 5}, "model.encoder is"),
        (5, "model is"),
    ],
)
def test_a_model_that_is_none_is_refused_by_name(model, named):
    with pytest.raises(ConfigError, match=named):
        parse_config({"scenes": ["s"], "out": "o", "model": model})


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"pretrained": {"source": "ukis-csmask"}}, "pretrained"),
        ({"loss": "focal"}, "loss"),
        ({"augment": {"zoom": 0.3}}, "augment"),
        ({"epochs": 31}, "epochs"),
        ({"overlap": 0.5}, "overlap"),
        ({"devices": 2}, "devices"),
    ],
)
def test_what_a_baseline_does_not_read_is_refused(given, named):
    raw = {"scenes": ["s"], "out": "o", **given}
    assert parse_config(raw).settled() == parse_config(raw)
    for architecture in ("forest", "threshold"):
        with pytest.raises(ConfigError, match=f"{named} has no effect on"):
            parse_config({**raw, "model": {"architecture": architecture}})


@pytest.mark.parametrize("given", [{"balance": 0.7}, {"features": {"stack": "optical"}}])
def test_thresholds_read_neither_balance_nor_features(given):
    raw = {"scenes": ["s"], "out": "o", **given}
    assert parse_config({**raw, "model": {"architecture": "forest"}}).settled()
    with pytest.raises(ConfigError, match=f"{next(iter(given))} has no effect on thresholds"):
        parse_config({**raw, "model": {"architecture": "threshold"}})


def test_the_example_with_a_baseline_in_it_is_read():
    """Whoever changes the architecture alone need not cut the rest."""
    for name in ("forest", "threshold"):
        raw = tomllib.loads(EXAMPLE)
        raw["model"] = {"architecture": name}
        assert parse_config(raw).model.architecture == name
