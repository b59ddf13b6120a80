"""Assemble the page: header, sidebar with its tabs, the map.

Served by ``cryonet serve``, ``python -m dashboards.server``, or, with the scene named in
the environment, ``panel serve dashboards/app.py --plugins dashboards.server``.
"""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from dashboards.mapview import MapView, footer
from dashboards.panels import PANELS
from dashboards.panels.blocks import sheet
from dashboards.panels.explore import POLL
from dashboards.project import Project, project_from_environment
from dashboards.viewmodels import MapPage

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

#: The look of all controls, as a Material UI theme.
THEME = {
    "palette": {
        "primary": {"main": "#14495f", "contrastText": "#ffffff"},
        "text": {"primary": "#1b2a33", "secondary": "#5a6b76"},
        "divider": "#e3e8eb",
        "background": {"default": "#ffffff", "paper": "#ffffff"},
    },
    "typography": {"fontFamily": FONT, "fontSize": 13, "button": {"textTransform": "none"}},
    "shape": {"borderRadius": 6},
}

#: What the Page component itself looks like: a plain white bar, nothing floating.
PAGE = {
    "& .MuiAppBar-root": {
        "backgroundColor": "#ffffff",
        "backgroundImage": "none",
        "color": "#1b2a33",
        "boxShadow": "none",
        "borderBottom": "1px solid #e3e8eb",
    },
    "& .MuiToolbar-root": {"minHeight": "52px !important", "height": "53px", "margin": "0"},
    "& .MuiAppBar-root .MuiLinearProgress-root": {"display": "none"},
    "& .MuiAppBar-root .MuiToolbar-root": {"height": "52px", "paddingRight": "20px !important"},
    "& .MuiDrawer-paper": {"borderRight": "1px solid #e3e8eb"},
}


def local_only() -> None:
    """Take out of Panel's configuration what it would fetch from elsewhere.

    The ipywidgets extension asks a CDN for Font Awesome, which no part of the page uses.
    """
    from panel.io.ipywidget import IPyWidget

    IPyWidget.__css__ = []
    pn.config.css_files = [f for f in pn.config.css_files if "font-awesome" not in str(f)]


def header(project: Project) -> pn.pane.HTML:
    """Return the line at the top."""
    badge = '<span class="badge">Synthetic</span>' if project.synthetic else ""
    model = ""
    if project.model is not None:
        model = f'<span class="model">Model <b>{escape(project.model.title)}</b></span>'
    return pn.pane.HTML(
        f'<div class="head"><span class="name">cryonet</span>'
        f'<span class="scene">{escape(project.title)}</span>{badge}'
        f'<span class="date">{escape(project.date)}</span>{model}</div>',
        stylesheets=sheet("header"),
        sizing_mode="stretch_width",
        margin=0,
    )


def page(project: Project, *, version: str) -> pmui.Page:
    """Return the whole page for one user."""
    pn.extension("ipywidgets")
    local_only()
    model = MapPage(project)
    view = MapView(model, version=version)
    tabs = pmui.Tabs(
        *((title, build(model)) for title, build in PANELS.items()),
        sizing_mode="stretch_width",
        margin=0,
    )
    follow(model)
    pn.state.on_session_destroyed(lambda _: model.close())
    built = pmui.Page(
        title="",
        meta_title=f"cryonet: {project.title}",
        header=[header(project)],
        sidebar=[tabs],
        main=[
            pmui.Column(
                view.pane,
                footer(model, sheet("map")),
                sizing_mode="stretch_both",
                margin=0,
                sx={"gap": 0},
            )
        ],
        raw_css=sheet("leaflet"),
        sidebar_width=344,
        sidebar_resizable=False,
        theme_toggle=False,
        busy_indicator=None,
        theme_config=THEME,
        sx=PAGE,
    )

    # On a small screen the map comes first, and the sidebar when asked for. A little later,
    # because the map reports its size while the page is still being put together.
    def fold(_: Any) -> None:
        pn.state.add_periodic_callback(
            lambda: built.param.update(sidebar_open=False), period=400, count=1
        )

    model.param.watch(fold, "narrow")
    return built


def follow(model: MapPage) -> None:
    """Look at a run a few times a second while it lasts, and not otherwise."""
    callback: Any = None

    def changed(event: Any) -> None:
        nonlocal callback
        if event.new and callback is None:
            callback = pn.state.add_periodic_callback(model.poll, period=POLL)
        elif not event.new and callback is not None:
            callback.stop()
            callback = None

    model.param.watch(changed, "active")


if __name__.startswith("bokeh_app"):
    page(project_from_environment(), version="env").servable()
