"""The clean-ice rule is one comparison with one band, or it is refused."""

from __future__ import annotations

import pytest

from cryonet.errors import SceneError
from cryonet.sources.rule import CleanIceRule, parse_rule


@pytest.mark.parametrize("text", ["red>=0.549", " red >= 0.549 ", "red>=5.49e-1"])
def test_a_rule_is_read(text: str) -> None:
    assert parse_rule(text) == CleanIceRule("red", 0.549)
    assert str(parse_rule(text)) == "red>=0.549"
    assert "debris-covered" in parse_rule(text).in_words()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("red:0.5", "another form"),
        ("red>0.5", "another form"),
        ("0.5<=red", "another form"),
        ("", "another form"),
        ("purple>=0.5", "no optical band"),
        ("elevation>=0.5", "no optical band"),
        ("red>=bright", "no number"),
        ("red>=140", "no reflectance"),
        ("red>=0", "no reflectance"),
        ("red>=nan", "no reflectance"),
    ],
)
def test_anything_else_is_refused(text: str, match: str) -> None:
    with pytest.raises(SceneError, match=match) as caught:
        parse_rule(text)
    assert caught.value.rule
