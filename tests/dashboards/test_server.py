from __future__ import annotations

import re
import socket
import subprocess
import sys

import pytest
from bokeh.server.auth_provider import AuthProvider, NullAuth
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from cryonet.errors import ConfigError
from dashboards.server import (
    allowed_origins,
    check_exposure,
    check_port,
    is_loopback,
    routes,
    widget_root,
)

network = [pytest.mark.network, pytest.mark.enable_socket]


class TestExposure:
    @pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "127.9.9.9", "::1"])
    def test_this_machine_needs_no_password(self, address):
        assert is_loopback(address)
        check_exposure(address, None)

    @pytest.mark.parametrize(
        "address", ["0.0.0.0", "::", "192.168.1.5", "example.org", "127.0.0.1.example.org", ""]
    )
    def test_others_are_kept_out_without_a_password(self, address):
        with pytest.raises(ConfigError, match=r"open to everyone.*CRYONET_PASSWORD"):
            check_exposure(address, None)
        with pytest.raises(ConfigError):
            check_exposure(address, "")
        check_exposure(address, "secret")

    def test_origins(self):
        assert allowed_origins("127.0.0.1", 80) == ["127.0.0.1:80", "localhost:80"]
        assert allowed_origins("10.0.0.7", 5006, ["lab.edu"]) == ["10.0.0.7:5006", "lab.edu"]
        for wild in ("*", "*:5006", "http://a.b", "a b", "a:b"):
            with pytest.raises(ConfigError, match="not a host"):
                allowed_origins("127.0.0.1", 80, [wild])

    def test_the_command_refuses_and_exits_with_2(self, scene_folder):
        done = subprocess.run(
            [sys.executable, "-m", "dashboards.server", "--scene", scene_folder,
             "--address", "0.0.0.0"],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert "the dashboard would be open to everyone: 0.0.0.0." in done.stderr
        assert "Traceback" not in done.stderr


class Nobody(AuthProvider):
    """A login that knows nobody."""

    get_user = property(lambda self: lambda handler: None)
    get_user_async = property(lambda self: None)
    login_url = property(lambda self: "/login")
    get_login_url = login_handler = logout_url = logout_handler = property(lambda self: None)


@pytest.fixture
def fetch(project):
    """Ask a server that has the dashboard's own routes for a path; status and body."""
    servers = []

    async def ask(path, *, auth=None):
        application = Application(routes(lambda: project.store))
        application.auth_provider = auth or NullAuth()
        application.prefix = ""
        listening, port = bind_unused_port()
        server = HTTPServer(application)
        server.add_sockets([listening])
        servers.append(server)
        try:
            found = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}{path}")
        except HTTPClientError as error:
            return error.code, error.response.body if error.response else b"", {}
        return found.code, found.body, found.headers

    def run(path, **options):
        import asyncio

        async def once():
            answer = await ask(path, **options)
            for server in servers:
                server.stop()
                await server.close_all_connections()
            return answer

        return asyncio.run(once())

    return run


class TestRoutes:
    pytestmark = network

    def test_a_tile(self, fetch, project):
        for name in ("true-colour", project.opened.classes):
            status, body, headers = fetch(f"/tiles/{name}/14/12101/6830.png?v=1")
            assert (status, headers["Content-Type"]) == (200, "image/png")
            assert body.startswith(b"\x89PNG")
            assert headers["X-Content-Type-Options"] == "nosniff"

    @pytest.mark.parametrize(
        "path",
        [
            "/tiles/nothing/14/1/1.png",
            "/tiles/true-colour/14/1/99999.png",
            "/tiles/true-colour/19/1/1.png",
            "/tiles/true-colour/14/-1/1.png",
            "/tiles/true-colour/14/1/1.tif",
            "/tiles/optical.tif/14/1/1.png",
            "/tiles/../scene.json",
            "/tiles/..%2f..%2fscene.json/14/1/1.png",
            "/tiles/%2e%2e%2fscene.json",
            "/tiles//etc/passwd/14/1/1.png",
            "/widgets/jupyter-leaflet@1/dist/../../../etc/passwd",
            "/widgets/jupyter-leaflet@1/dist/..%2findex",
            "/widgets/jupyter-leaflet@1/dist/%2e%2e%2findex.js",
            "/widgets/..@1/dist/index",
            "/widgets/other@1/dist/index",
            "/widgets/jupyter-leaflet@1/dist/index.txt",
            "/widgets/jupyter-leaflet@1/dist/nothing",
            "/widgets/jupyter-leaflet@1/package.json",
            "/etc/passwd",
        ],
    )
    def test_everything_else_is_404(self, fetch, path):
        status, body, _ = fetch(path)
        assert status == 404
        assert b"Traceback" not in body
        assert b"root:" not in body

    def test_a_link_out_of_the_folder_is_404(self, fetch, monkeypatch, tmp_path):
        folder = tmp_path / "jupyter-leaflet"
        folder.mkdir()
        (tmp_path.parent / "secret.js").write_text("secret")
        (folder / "secret.js").symlink_to(tmp_path.parent / "secret.js")
        (folder / "index.js").write_text("define()")
        monkeypatch.setattr("dashboards.server.widget_root", lambda: tmp_path)
        assert fetch("/widgets/jupyter-leaflet@1/dist/index")[:2] == (200, b"define()")
        assert fetch("/widgets/jupyter-leaflet@1/dist/secret")[0] == 404

    def test_the_widgets_are_the_installed_ones(self, fetch):
        status, body, headers = fetch("/widgets/jupyter-leaflet@%5E0.20/dist/index")
        assert status == 200
        assert headers["Content-Type"].startswith("text/javascript")
        assert body == (widget_root() / "jupyter-leaflet" / "index.js").read_bytes()

    @pytest.mark.parametrize(
        "path", ["/tiles/true-colour/14/12101/6830.png", "/widgets/jupyter-leaflet@1/dist/index"]
    )
    def test_with_a_password_strangers_get_nothing(self, fetch, path):
        assert fetch(path, auth=Nobody())[0] == 403

    def test_a_port_that_is_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with pytest.raises(ConfigError, match="cannot listen"):
                check_port("127.0.0.1", taken.getsockname()[1])


def handshake(port, origin, *, host=None, token="x"):
    """Status of a websocket handshake that comes from `origin`."""
    lines = [
        "GET /ws HTTP/1.1", f"Host: {host or f'127.0.0.1:{port}'}", "Upgrade: websocket",
        "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Protocol: bokeh, {token}",
    ]  # fmt: skip
    if origin is not None:
        lines.append(f"Origin: {origin}")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return int(link.recv(100).split()[1])


@pytest.mark.network
@pytest.mark.enable_socket
def test_only_the_served_host_and_port_may_use_the_websocket(served):
    import urllib.request

    port = served.port
    with urllib.request.urlopen(served.url, timeout=60) as answer:
        token = re.search(r'"token": ?"([^"]+)"', answer.read().decode())[1]
    for origin in (f"http://127.0.0.1:{port}", f"http://localhost:{port}"):
        assert handshake(port, origin, token=token) == 101
    for origin in (
        None,
        "",
        "null",
        "http://evil.example",
        f"http://evil.example:{port}",
        f"http://127.0.0.1.evil.example:{port}",
        f"http://evil127.0.0.1:{port}",
        f"http://localhost.evil.example:{port}",
        f"http://127.0.0.1:{port + 1}",
        f"http://127.0.0.1:{port}0",
        "http://127.0.0.1",
        "file://",
    ):
        assert handshake(port, origin, token=token) == 403, origin
