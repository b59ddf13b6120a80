"""The first tab: what the map shows, the legend with areas, and inference."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from dashboards.panels.blocks import section, text
from dashboards.results import AreaRow, Result
from dashboards.tiles import ramp_css
from dashboards.viewmodels import AREAS, MapPage

#: How often a run in progress is looked at, in milliseconds.
POLL = 200


def panel(page: MapPage) -> pmui.Column:
    """Return the tab."""
    parts = [section("Image", image_choice(page)), section("Overlays", *overlay_rows(page))]
    parts.append(section("Classes", area_pane(page), result_choice(page)))
    parts.append(section("Inference", *inference(page)))
    return pmui.Column(*parts, sizing_mode="stretch_width", margin=0)


def image_choice(page: MapPage) -> pmui.RadioButtonGroup:
    """Return the choice of the base image."""
    return pmui.RadioButtonGroup.from_param(
        page.param.base,
        label="",
        options=dict(page.project.bases),
        size="small",
        sizing_mode="stretch_width",
        margin=0,
    )


def overlay_rows(page: MapPage) -> list[Any]:
    """Return a switch and an opacity for each overlay there is."""
    rows: list[Any] = []
    if page.model is not None or page.results:
        rows.append(_overlay(page, "prediction", "Prediction"))
        rows.append(_overlay(page, "confidence", "Confidence"))
        rows.append(
            text(
                f'<div class="ramp" style="background: linear-gradient(90deg, {ramp_css()})"></div>'
                '<div class="ends"><span>unsure</span><span>sure</span></div>',
                visible=page.param.confidence_on,
            )
        )
    if page.has_labels:
        rows.append(_overlay(page, "labels", "Labels"))
    return rows


def _overlay(page: MapPage, name: str, title: str) -> pmui.Row:
    on = page.param[f"{name}_on"]
    switch = pmui.Switch.from_param(on, label=title, size="small", width=138, margin=0)
    slider = pmui.FloatSlider.from_param(
        page.param[f"{name}_opacity"],
        label="",
        start=0.0,
        end=1.0,
        step=0.05,
        size="small",
        show_value=False,
        tooltips=False,
        disabled=pn.bind(lambda shown: not shown, on),
        sizing_mode="stretch_width",
        margin=(0, 8),
    )
    return pmui.Row(
        switch, slider, sizing_mode="stretch_width", margin=0, sx={"alignItems": "center"}
    )


def area_pane(page: MapPage) -> pn.pane.HTML:
    """Return the legend with the areas of the map that is shown."""
    return text(pn.bind(lambda *_: area_html(page.areas()), page.param.shown))


def area_html(rows: Sequence[AreaRow]) -> str:
    """Return legend and areas in km² as an HTML table."""
    columns = [
        (title, [getattr(row, key) for row in rows])
        for title, key in (("Map", "mapped"), ("Labels", "labelled"))
        if rows[0].__getattribute__(key) is not None
    ]
    head = "".join(f"<th>{title}, km²</th>" for title, _ in columns)
    body = "".join(
        f"<tr><td>{_swatch(row)}{escape(row.title).capitalize()}</td>"
        + "".join(f"<td>{values[i]:.2f}</td>" for _, values in columns)
        + "</tr>"
        for i, row in enumerate(rows)
    )
    totals = "".join(f"<td>{sum(values):.2f}</td>" for _, values in columns)
    total = f'<tr class="total"><td>Total</td>{totals}</tr>' if columns else ""
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{body}{total}</tbody></table>"


def _swatch(row: AreaRow) -> str:
    # Other ground is not drawn over the image, and its swatch is empty.
    kind = "swatch none" if row.name == "other" else "swatch"
    return f'<span class="{kind}" style="background: {row.colour}"></span>'


def result_choice(page: MapPage) -> pmui.Select:
    """Return the choice among finished maps, seen once there is more than one."""

    def options(results: list[Result]) -> dict[str, Result]:
        return {f"{r.title}, {r.extent:.1f} km²": r for r in results}

    return pmui.Select(
        label="Map shown",
        options=pn.bind(options, page.param.results),
        value=page.param.shown,
        visible=pn.bind(lambda results: len(results) > 1, page.param.results),
        size="small",
        sizing_mode="stretch_width",
        margin=(8, 0, 0, 0),
    )


def inference(page: MapPage) -> list[Any]:
    """Return the controls of a run: where, start, progress, cancel."""
    if page.model is None:
        return [text('<p class="soft">No model was given to this server.</p>')]
    where = pmui.RadioButtonGroup.from_param(
        page.param.area,
        label="",
        options=AREAS,
        size="small",
        sizing_mode="stretch_width",
        margin=0,
    )
    size = text(
        pn.bind(lambda *_: _size(page), page.param.view, page.param.rectangle, page.param.area)
    )
    start = pmui.Button(
        label="Run inference",
        color="primary",
        variant="contained",
        disable_elevation=True,
        sizing_mode="stretch_width",
        margin=0,
        visible=pn.bind(lambda active: not active, page.param.active),
    )
    start.on_click(lambda _: page.run())
    return [where, size, start, *_progress(page), _error(page)]


def _size(page: MapPage) -> str:
    device = page.model.device.upper() if page.model else ""
    return (
        '<p class="soft small" style="display: flex; justify-content: space-between">'
        f"<span>{escape(page.extent())}</span><span>Runs on {escape(device)}</span></p>"
    )


def _progress(page: MapPage) -> list[Any]:
    bar = pmui.LinearProgress(
        value=pn.bind(lambda share: int(share * 100), page.param.share),
        variant=pn.bind(
            lambda share: "determinate" if share else "indeterminate", page.param.share
        ),
        visible=page.param.active,
        sizing_mode="stretch_width",
        margin=0,
    )
    status = text(
        pn.bind(_status, page.param.status),
        visible=pn.bind(bool, page.param.status),
    )
    cancel = pmui.Button(
        label="Cancel",
        variant="outlined",
        color="primary",
        visible=page.param.active,
        sizing_mode="stretch_width",
        margin=0,
    )
    cancel.on_click(lambda _: page.cancel())
    return [bar, status, cancel]


def _status(said: str) -> str:
    return f'<p class="soft small" role="status">{escape(said)}</p>'


def _error(page: MapPage) -> pmui.Alert:
    return pmui.Alert(
        object=page.param.error,
        severity="error",
        visible=pn.bind(bool, page.param.error),
        sizing_mode="stretch_width",
        margin=0,
    )
