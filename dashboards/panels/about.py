"""The tab that says what is on show: scene, grid, bands, model."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import panel_material_ui as pmui

from dashboards.panels.blocks import section, text
from dashboards.viewmodels import MapPage


def facts(rows: Iterable[tuple[str, object]]) -> str:
    """Return names and values as an HTML list, escaped; rows with no value are left out."""
    lines = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in rows if value
    )
    return f"<dl>{lines}</dl>"


def scene_facts(page: MapPage) -> list[tuple[str, object]]:
    """Return what there is to say of the scene."""
    project, attrs = page.project, page.project.scene.attrs
    height, width = project.geobox.shape
    kind = "Synthetic: generated, no real place" if project.synthetic else "Measured"
    return [
        ("Scene", attrs.get("id", "")),
        ("Kind", kind),
        ("Date", project.date),
        ("Grid", project.grid),
        ("Size", f"{width} × {height} pixels"),
        ("Variables", ", ".join(str(name) for name in project.scene.data_vars)),
        ("Licence", attrs.get("license", "")),
        ("Source", attrs.get("attribution", "")),
    ]


def panel(page: MapPage) -> pmui.Column:
    """Return the tab."""
    parts = [section("Scene", text(facts(scene_facts(page))))]
    if page.model is not None:
        rows = [("Name", page.model.title), ("Runs on", page.model.device), *page.model.facts]
        parts.append(section("Model", text(facts(rows))))
    return pmui.Column(*parts, sizing_mode="stretch_width", margin=0)
