"""The server: Panel, map tiles and widget files on one port, closed to everyone else.

Also a plugin for researchers who serve pages themselves::

    CRYONET_SCENE=… panel serve dashboards/app.py --plugins dashboards.server
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from bokeh.server.views.auth_request_handler import AuthRequestHandler

from cryonet.errors import ConfigError, CryonetError
from dashboards.project import Project, open_project, project_from_environment
from dashboards.tiles import TileStore

#: Widget packages whose JavaScript the server hands out, and nothing beside them.
WIDGET_PACKAGES = ("jupyter-leaflet", "jupyter-js-widgets")

_KINDS = {".js": "text/javascript; charset=utf-8", ".png": "image/png"}


class _Handler(AuthRequestHandler):
    """What tiles and widget files share: login where there is one, no cross-site use."""

    async def prepare(self) -> None:
        await super().prepare()
        if self.current_user is None:
            self.send_error(403)

    def set_default_headers(self) -> None:
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")

    def write_error(self, status_code: int, **_: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code}\n")


class TileHandler(_Handler):
    """Draws a tile of a picture known by name, in a thread pool."""

    def initialize(self, store: Callable[[], TileStore], pool: ThreadPoolExecutor) -> None:
        self._store, self._pool = store, pool

    async def get(self, name: str, z: str, x: str, y: str) -> None:
        draw = partial(self._store().tile, name, int(z), int(x), int(y))
        try:
            body = await asyncio.get_running_loop().run_in_executor(self._pool, draw)
        except CryonetError:
            # The session that owned the picture ended while its tile waited.
            body = None
        if body is None:
            self.send_error(404)
            return
        self.set_header("Content-Type", "image/png")
        self.set_header("Cache-Control", "private, max-age=3600")
        self.finish(body)


class WidgetHandler(_Handler):
    """Hands out the widgets' JavaScript in place of a CDN."""

    def initialize(self, root: Path) -> None:
        self._root = root

    def get(self, package: str, name: str) -> None:
        file = self._find(package, name)
        if file is None:
            self.send_error(404)
            return
        self.set_header("Content-Type", _KINDS[file.suffix])
        self.set_header("Cache-Control", "private, max-age=3600")
        self.finish(file.read_bytes())

    def _find(self, package: str, name: str) -> Path | None:
        file = self._root / package / (name if Path(name).suffix in _KINDS else f"{name}.js")
        known = package in WIDGET_PACKAGES and file.suffix in _KINDS
        inside = file.resolve().is_relative_to(self._root.resolve())
        return file if known and inside and file.is_file() else None


def widget_root() -> Path:
    """Return the folder of the installed widgets' JavaScript.

    Raises
    ------
    ConfigError
        If ipyleaflet's is not installed where Jupyter keeps it.
    """
    from jupyter_core.paths import jupyter_path

    for place in (Path(sys.prefix) / "share" / "jupyter", *map(Path, jupyter_path())):
        if (place / "nbextensions" / "jupyter-leaflet" / "index.js").is_file():
            return place / "nbextensions"
    raise ConfigError("the map's JavaScript is missing", sys.prefix, "Reinstall ipyleaflet.")


def routes(store: Callable[[], TileStore]) -> list[tuple[str, type[_Handler], dict[str, Any]]]:
    """Return the server's own routes: tiles and widget files."""
    pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="tiles")
    tile = r"/tiles/([A-Za-z0-9_-]{1,40})/(\d{1,2})/(\d{1,7})/(\d{1,7})\.png"
    widget = r"/widgets/([a-z-]{1,40})@[^/]{1,20}/dist/([A-Za-z0-9_-]+(?:\.[a-z]{2,3})?)"
    return [
        (tile, TileHandler, {"store": store, "pool": pool}),
        (widget, WidgetHandler, {"root": widget_root()}),
    ]


def require_origin() -> None:
    """Make the page's websocket refuse a request that does not say where it comes from.

    Bokeh compares the Origin header with the allowed ones, but lets a missing one pass.
    """
    from bokeh.server.urls import per_app_patterns
    from panel.io.server import WSHandler

    class OriginHandler(WSHandler):
        async def prepare(self) -> None:
            if not self.request.headers.get("Origin"):
                self.send_error(403)
                return
            await super().prepare()

    per_app_patterns[:] = [
        (pattern[0], OriginHandler, *pattern[2:]) if pattern[0] == "/ws" else pattern
        for pattern in per_app_patterns
    ]


def __getattr__(name: str) -> Any:
    # `panel serve --plugins dashboards.server` asks for ROUTES; importing asks for nothing.
    if name == "ROUTES":
        require_origin()
        return routes(lambda: project_from_environment().store)
    raise AttributeError(name)


def is_loopback(address: str) -> bool:
    """Return whether only this machine can reach `address`."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def check_exposure(address: str, password: str | None) -> None:
    """Refuse an address that others can reach, unless there is a password.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if not is_loopback(address) and not password:
        raise ConfigError(
            "the dashboard would be open to everyone",
            address,
            "Serve on 127.0.0.1, or set CRYONET_PASSWORD.",
        )


def allowed_origins(address: str, port: int, extra: Sequence[str] = ()) -> list[str]:
    """Return the hosts, with port, that a page using this server may come from.

    Raises
    ------
    ConfigError
        If one of `extra` is not a host with an optional port; wildcards are not hosts.
    """
    for origin in extra:
        if not re.fullmatch(r"[A-Za-z0-9.-]+(:\d{1,5})?", origin):
            raise ConfigError("the origin is not a host", origin, "Give host or host:port.")
    if is_loopback(address):
        names = ["127.0.0.1", "localhost"]
    elif address in ("0.0.0.0", "::"):
        names = [socket.gethostname()]
    else:
        names = [address]
    return [*(f"{name}:{port}" for name in names), *extra]


@dataclass(frozen=True, slots=True)
class Host:
    """Where and to whom the page is served."""

    address: str
    port: int
    origins: tuple[str, ...]
    password: str | None = None
    show: bool = False


def serve(
    scene: str | Path,
    *,
    bundle: str | Path | None = None,
    prediction: str | Path | None = None,
    port: int = 5006,
    address: str = "127.0.0.1",
    show: bool = False,
    device: str = "auto",
    password: str | None = None,
    origins: Sequence[str] = (),
) -> None:
    """Serve the dashboard of a scene until interrupted.

    Parameters
    ----------
    bundle
        Model to run; without one the page only shows.
    prediction
        Folder of a finished map to open with. Without it the model maps the scene first.
    address
        Where to listen. Others than this machine are let in with a password only.
    password
        Asked of every user; ``CRYONET_PASSWORD`` in the environment by default.
    origins
        Further hosts the page may be reached as, for instance behind a proxy.

    Raises
    ------
    CryonetError
        If the address is open and has no password, the port is taken, or an input
        cannot be used.
    """
    password = password or os.environ.get("CRYONET_PASSWORD")
    check_exposure(address, password)
    allowed = allowed_origins(address, port, origins)
    check_port(address, port)
    if bundle is not None:
        leave_a_core()
    project = open_project(
        scene, bundle=bundle, prediction=prediction, device=device, progress=_Said()
    )
    try:
        _serve(project, Host(address, port, tuple(allowed), password, show))
    finally:
        project.close()


def _serve(project: Project, host: Host) -> None:
    # Local files in place of Panel's and Bokeh's CDNs; read when they are imported.
    os.environ["BOKEH_RESOURCES"] = "server"
    # ipykernel, which carries the widgets, brings a debugger that warns on every start.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    import panel as pn

    from dashboards.app import page

    require_origin()
    version = secrets.token_hex(4)
    login: dict[str, Any] = {}
    if host.password:
        login = {
            "basic_auth": host.password,
            "cookie_secret": secrets.token_hex(32),
            "login_template": str(Path(__file__).parent / "style" / "login.html"),
        }
    typer.echo(f"Dashboard of {project.title}: http://{host.origins[0]}/ (stop with Ctrl-C)")
    pn.serve(
        {"/": lambda: page(project, version=version)},
        title={"/": f"cryonet: {project.title}"},
        port=host.port,
        address=host.address,
        show=host.show,
        verbose=False,
        websocket_origin=list(host.origins),
        extra_patterns=routes(lambda: project.store),
        **login,
    )


def leave_a_core() -> None:
    """Keep one processor core free of inference, so that the page answers meanwhile."""
    import torch

    spare = max(1, (os.cpu_count() or 2) - 1)
    torch.set_num_threads(min(torch.get_num_threads(), spare))


def check_port(address: str, port: int) -> None:
    """Refuse a port that is taken, before anything long is started.

    Raises
    ------
    ConfigError
        If the server could not listen there.
    """
    kind = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(kind, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, port))
        except OSError as error:
            raise ConfigError(
                "the server cannot listen there", f"{address}:{port}", f"{error.strerror}."
            ) from error


class _Said:
    """Progress of the first map, on the terminal."""

    def step(self, done: int, total: int, message: str = "") -> None:
        if total:
            typer.echo(f"\rMapping the scene: {done} of {total} tiles", nl=done == total)


def main(
    *,
    scene: Annotated[Path, typer.Option(help="Folder of the scene.")],
    bundle: Annotated[Path | None, typer.Option(help="Folder of the model.")] = None,
    prediction: Annotated[Path | None, typer.Option(help="Folder of a finished map.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5006,
    address: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    origin: Annotated[list[str] | None, typer.Option(help="Further host:port.")] = None,
    show: Annotated[bool, typer.Option(help="Open a browser.")] = False,
) -> None:
    """Serve the dashboard of a scene. CRYONET_PASSWORD sets a password."""
    try:
        serve(
            scene,
            bundle=bundle,
            prediction=prediction,
            port=port,
            address=address,
            show=show,
            device=device,
            origins=origin or (),
        )
    except CryonetError as error:
        typer.echo(f"cryonet: {error}", err=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
