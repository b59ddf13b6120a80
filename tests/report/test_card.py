"""A bundle's card: its Markdown as HTML, and nothing of what a hostile one might hide."""

from __future__ import annotations

import io
from base64 import b64decode

import pytest
from page_reader import Page, asked_for
from PIL import Image

from cryonet.errors import BundleError, SceneError
from cryonet.report.card import LONGEST, card_html
from cryonet.report.pictures import small_picture

HOSTILE = """# A model

<script>alert(1)</script> <img src="https://example.org/x.png">

![far](https://example.org/p.png) ![up](../secret.png) ![none](none.png) ![svg](./drawing.svg)

[run](javascript:alert(1)) [there](https://doi.org/10.1000/1) [here](other.md)

| a | b |
| --- | --- |
| 1 | <b>2</b> |
"""


def parsed(bundle) -> Page:
    return Page(f"<style></style>{card_html(bundle)}")


def test_hostile_markdown_shows_as_text(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "drawing.svg").write_text("<svg/>")
    (bundle / "CARD.md").write_text(HOSTILE)
    page = parsed(bundle)
    assert asked_for(page) == [] and page.scripts == []
    assert "img" not in [tag for tag, _ in page.tags]
    for text in ("<script>alert(1)</script>", "<b>2</b>", "[picture left out: far]",
                 "[picture left out: up]", "[picture left out: svg]"):  # fmt: skip
        assert text in page.text
    assert page.values("href") == ["https://doi.org/10.1000/1"]
    assert [tag for tag, _ in page.tags if tag[0] == "h"] == ["h3"]


def test_pictures_of_the_bundle_are_in_the_text(tmp_path):
    Image.new("RGB", (3000, 40), "red").save(tmp_path / "wide.png")
    (tmp_path / "CARD.md").write_text("![a wide one](./wide.png)")
    ((_, attrs),) = [tag for tag in parsed(tmp_path).tags if tag[0] == "img"]
    assert attrs["alt"] == "a wide one" and attrs["src"].startswith("data:image/png;base64,")


def test_pictures_that_are_none_or_too_large_are_left_out(tmp_path, monkeypatch):
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    Image.new("RGB", (300, 300)).save(tmp_path / "large.png")
    monkeypatch.setattr("cryonet.report.pictures.MOST_PIXELS", 300 * 299)
    (tmp_path / "CARD.md").write_text("![torn](torn.png) ![large](large.png)")
    text = parsed(tmp_path).text
    assert "[picture left out: torn]" in text and "[picture left out: large]" in text


def test_a_picture_shrinks_until_it_fits():
    noise = Image.effect_noise((1600, 1200), 80)
    stream = io.BytesIO()
    noise.save(stream, "PNG")
    assert len(small_picture(stream.getvalue(), most=900_000)) < 900_000 * 4 / 3 + 100
    with pytest.raises(SceneError, match="too many bytes"):
        small_picture(stream.getvalue(), most=1000)


def test_a_card_that_is_no_card_is_refused(tmp_path):
    (tmp_path / "CARD.md").write_bytes(b"\xff\xfe\x00bad\xff")
    with pytest.raises(BundleError, match="not a text"):
        card_html(tmp_path)
    (tmp_path / "CARD.md").write_text("a" * (LONGEST + 1))
    with pytest.raises(BundleError, match="too long"):
        card_html(tmp_path)


def test_what_is_clear_in_a_picture_becomes_paper():
    picture = Image.new("RGBA", (4, 4), (255, 0, 0, 255))
    picture.putpixel((0, 0), (0, 0, 0, 0))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    data = b64decode(small_picture(stream.getvalue(), most=9000).partition("base64,")[2])
    shown = Image.open(io.BytesIO(data))
    assert shown.getpixel((0, 0)) == (255, 255, 255) and shown.getpixel((1, 1)) == (255, 0, 0)
