"""The map: an ipyleaflet widget that follows a `MapPage`, and the only map component."""

from __future__ import annotations

from html import escape
from typing import Any

import ipyleaflet
import numpy as np
import panel as pn
from panel.pane.ipywidget import IPyLeaflet

from dashboards.tiles import MAX_ZOOM
from dashboards.viewmodels import Bounds, MapPage, bounds_of

#: Where the page finds the widgets' JavaScript: this server, beside the page.
WIDGETS = "widgets"

#: Drawing order from below; leaflet's own vector pane has 400.
OVERLAYS = ("prediction", "confidence", "labels")
PANES = {name: 210 + 10 * i for i, name in enumerate(("base", *OVERLAYS))}

INK = "#12303d"

#: Maps below this width, in pixels, are on screens with no room for a sidebar.
NARROW = 600

#: Step of zoom levels: fine enough that a scene fills the map it opens on.
SNAP = 0.25


class LocalLeaflet(IPyLeaflet):
    """An ipyleaflet pane whose widgets come from this server and not from a CDN."""

    def _get_ipywidget(self, obj: Any, doc: Any, root: Any, comm: Any, **kwargs: Any) -> Any:
        return super()._get_ipywidget(obj, doc, root, comm, cdn=WIDGETS, **kwargs)


def zoom_change(view: Bounds, wanted: Bounds) -> float:
    """Return by how many zoom levels, in steps of `SNAP`, `view` must change to hold `wanted`."""

    def spans(bounds: Bounds) -> tuple[float, float]:
        south, west, north, east = np.radians(bounds)
        return east - west, np.arctanh(np.sin(north)) - np.arctanh(np.sin(south))

    room = min(have / need for have, need in zip(spans(view), spans(wanted), strict=True))
    return float(np.floor(np.log2(room / 1.03) / SNAP) * SNAP)


def edge(dash: str | None = None) -> tuple[ipyleaflet.Polygon, ipyleaflet.Polygon]:
    """Return a line that is seen on any ground: white on a dark casing."""
    return (
        ipyleaflet.Polygon(locations=[], color=INK, weight=4, opacity=0.55, fill=False),
        ipyleaflet.Polygon(locations=[], color="white", weight=2, fill=False, dash_array=dash),
    )


class MapView:
    """The map of one page: base image, overlays, outline of the result, rectangle.

    Parameters
    ----------
    page
        What to show. The view, the cursor and drawn rectangles are written back to it.
    version
        Part of each tile's address, so that a browser never shows tiles it kept from
        another scene.
    """

    def __init__(self, page: MapPage, *, version: str) -> None:
        self.page = page
        self.version = version
        self.bounds = bounds_of(page.project.geobox)
        self._settled = False
        self._layers: dict[str, ipyleaflet.TileLayer] = {}
        self.outline = edge(dash="2 6")
        self.rectangle = edge()
        self.map = self._map()
        self.drawer = self._drawer()
        self.pane = LocalLeaflet(
            self.map,
            sizing_mode="stretch_both",
            min_height=320,
            margin=0,
        )
        self._follow()

    def _map(self) -> ipyleaflet.Map:
        south, west, north, east = self.bounds
        built = ipyleaflet.Map(
            center=((south + north) / 2, (west + east) / 2),
            zoom=12,
            min_zoom=3,
            max_zoom=MAX_ZOOM,
            zoom_snap=SNAP,
            zoom_control=False,
            attribution_control=False,
            scroll_wheel_zoom=True,
            layers=(*self.outline, *self.rectangle),
            panes={name: {"zIndex": z} for name, z in PANES.items()},
        )
        built.layout.width = built.layout.height = "100%"
        built.add(ipyleaflet.ZoomControl(position="topright"))
        built.add(ipyleaflet.ScaleControl(position="bottomleft", imperial=False, max_width=140))
        return built

    def _drawer(self) -> ipyleaflet.DrawControl:
        style = {"shapeOptions": {"color": "white", "weight": 2, "opacity": 1, "fillOpacity": 0.1}}
        drawer = ipyleaflet.DrawControl(
            position="topright",
            rectangle=style,
            polyline={},
            polygon={},
            circle={},
            circlemarker={},
            marker={},
            edit=False,
            remove=False,
        )
        drawer.on_draw(self._drawn)
        self.map.add(drawer)
        return drawer

    def _follow(self) -> None:
        page = self.page
        drawn = [f"{name}_{what}" for name in OVERLAYS for what in ("on", "opacity")]
        page.param.watch(self._show_layers, ["base", "shown", *drawn])
        page.param.watch(self._show_edges, ["shown", "rectangle"])
        self.map.observe(self._moved, "bounds")
        self.map.on_interaction(self._touched)
        self._show_layers()
        self._show_edges()

    def _wanted(self) -> dict[str, tuple[str, float]]:
        # By tile name: the pane it lies in, and its opacity.
        page, shown = self.page, self.page.shown
        names = {
            "prediction": shown and shown.classes,
            "confidence": shown and shown.confidence,
            "labels": "labels" if page.has_labels else None,
        }
        wanted = {page.base: ("base", 1.0)}
        for overlay, name in names.items():
            if name and getattr(page, f"{overlay}_on"):
                wanted[name] = (overlay, getattr(page, f"{overlay}_opacity"))
        return wanted

    def _show_layers(self, *_: Any) -> None:
        wanted = self._wanted()
        for name, (pane, opacity) in wanted.items():
            if name not in self._layers:
                # Made when first seen: tiles that nobody looks at are not drawn.
                self._layers[name] = self._layer(pane, name)
                self._layers[name].opacity = opacity
                self.map.add(self._layers[name])
            self._layers[name].opacity = opacity
        shown = self.page.shown
        kept = {*self.page.project.bases.values(), "labels"}
        kept |= {shown.classes, shown.confidence} if shown else set()
        for name in list(self._layers):
            self._layers[name].visible = name in wanted
            if name not in kept:
                self.map.remove(self._layers.pop(name))

    def _layer(self, pane: str, name: str) -> ipyleaflet.TileLayer:
        south, west, north, east = self.bounds
        return ipyleaflet.TileLayer(
            # Relative, so that the page works behind any prefix.
            url=f"tiles/{name}/{{z}}/{{x}}/{{y}}.png?v={self.version}",
            pane=pane,
            name=pane,
            bounds=[(south, west), (north, east)],
            min_zoom=1,
            max_zoom=MAX_ZOOM,
            max_native_zoom=MAX_ZOOM,
            no_wrap=True,
        )

    def _show_edges(self, *_: Any) -> None:
        corners: list[tuple[float, float]] = []
        if self.page.rectangle is not None:
            south, west, north, east = self.page.rectangle
            corners = [(south, west), (north, west), (north, east), (south, east)]
        for line in self.rectangle:
            line.locations = corners
        for line in self.outline:
            line.locations = list(self.page.outline())

    def _moved(self, change: Any) -> None:
        if not change.new:
            return
        (south, west), (north, east) = change.new
        self.page.view = (south, west, north, east)
        if not self._settled:
            # The size of the map is known only now that the browser has drawn it.
            self._settled = True
            self.page.narrow = self.map.right - self.map.left < NARROW
            self.map.zoom = self.map.zoom + zoom_change(self.page.view, self.bounds)

    def _touched(self, **event: Any) -> None:
        if event.get("type") == "mousemove":
            lat, lon = event["coordinates"]
            self.page.cursor = (float(lat), float(lon))
        elif event.get("type") == "mouseout":
            self.page.cursor = None

    def _drawn(self, _: Any, action: str, geo_json: Any) -> None:
        if action != "created":
            return
        ring = geo_json["geometry"]["coordinates"][0]
        lons, lats = [p[0] for p in ring], [p[1] for p in ring]
        # The page's own rectangle takes its place: there is never more than one.
        self.drawer.clear()
        bounds: Bounds = (min(lats), min(lons), max(lats), max(lons))
        self.page.draw(bounds)


def caption(page: MapPage) -> str:
    """Return the line under the map as HTML: cursor position, grid, where the data is from."""
    where = (
        ""
        if page.cursor is None
        else f"{_angle(page.cursor[0], 'NS')}, {_angle(page.cursor[1], 'EW')}"
    )
    return (
        f'<div class="bar"><span class="where">{where}</span>'
        f'<span class="grid">{escape(page.project.grid)}</span>'
        f'<span class="source">{escape(page.project.attribution)}</span></div>'
    )


def _angle(value: float, signs: str) -> str:
    return f"{abs(value):.4f}° {signs[0] if value >= 0 else signs[1]}"


def footer(page: MapPage, stylesheets: list[str]) -> pn.pane.HTML:
    """Return the line under the map as a pane that follows the cursor."""
    return pn.pane.HTML(
        pn.bind(lambda *_: caption(page), page.param.cursor),
        stylesheets=stylesheets,
        sizing_mode="stretch_width",
        margin=0,
    )
