"""A bundle's card as HTML: its Markdown, with its pictures in the text itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from cryonet.bundle import CARD
from cryonet.errors import BundleError, SceneError
from cryonet.report.pictures import MOST_OF_CARDS, small_picture

#: A card is text of some kilobytes, a picture of it of some hundred.
LONGEST, LONGEST_PICTURE = 500_000, 20_000_000

#: More pictures than this are left out of a page.
MOST_PICTURES = 4

#: The card's own title stands below one of the page: its headings go down by so many levels.
_DOWN = 2


def card_html(bundle: Path, *, most: int = MOST_OF_CARDS) -> Markup:
    """Return the card of the bundle in a folder as HTML.

    HTML in it shows as text; pictures are those of the folder, and what cannot be shown leaves
    its description. Only links to the web stay links.

    Parameters
    ----------
    most
        Bytes that its pictures may take together.

    Raises
    ------
    BundleError
        If the card is too long, or is no text.
    """
    file = bundle / CARD
    if file.stat().st_size > LONGEST:
        raise BundleError("the card is too long", file.stat().st_size, f"At most {LONGEST:,}.")
    try:
        text = file.read_text(encoding="utf-8")
    except ValueError as error:
        raise BundleError("the card is not a text", str(file), f"{error}.") from error
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(text)
    shown = 0
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + _DOWN)}"
    for token in _inline(tokens):
        if token.type == "image":
            shown += 1
            _place_picture(token, bundle, most // MOST_PICTURES * (shown <= MOST_PICTURES))
        elif token.type == "link_open" and not _is_outside(token):
            token.attrs = {}
    # What was rendered has no markup but the renderer's own: `html` is off.
    return Markup(reader.renderer.render(tokens, reader.options, {}))


def _inline(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield from token.children or ()


def _is_outside(token: Token) -> bool:
    return re.match(r"https?://", str(token.attrs.get("href", ""))) is not None


def _place_picture(token: Token, bundle: Path, most: int) -> None:
    """Put a picture of the bundle's folder into its token, or its description as text."""
    name = str(token.attrs.get("src", "")).removeprefix("./")
    file = bundle / name
    plain = re.fullmatch(r"[\w-]+\.(png|jpe?g)", name) is not None
    try:
        held = plain and file.is_file() and not file.is_symlink()
        if most and held and file.stat().st_size <= LONGEST_PICTURE:
            token.attrs = {"src": small_picture(file.read_bytes(), most=most), "alt": ""}
            return
    except SceneError:
        pass
    token.type, token.tag, token.attrs = "text", "", {}
    token.content = f"[picture left out: {token.content}]"
