"""Building blocks of the sidebar: a section, a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui

STYLE = Path(__file__).parents[1] / "style"


def sheet(name: str) -> list[str]:
    """Return the style sheet called `name`, for a pane's `stylesheets`."""
    return [(STYLE / f"{name}.css").read_text(encoding="utf-8")]


def text(content: Any, *, margin: tuple[int, int] = (0, 0), **options: Any) -> pn.pane.HTML:
    """Return a pane of HTML in the sidebar's style; `content` may be bound to a page."""
    return pn.pane.HTML(
        content, stylesheets=sheet("panel"), sizing_mode="stretch_width", margin=margin, **options
    )


def section(title: str, *content: Any) -> pmui.Column:
    """Return a titled part of the sidebar."""
    return pmui.Column(
        text(f"<h2>{title}</h2>", margin=(0, 0)),
        *content,
        sizing_mode="stretch_width",
        margin=(0, 0),
        sx={
            "gap": "10px",
            "padding": "16px 20px",
            "borderBottom": "1px solid #e3e8eb",
            "&:last-child": {"borderBottom": 0},
        },
    )
