"""A file server on loopback, for tests of what is fetched: ranges, queries, faults."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Request:
    """What is asked for; `path` begins with the host where the server stands in for one."""

    method: str
    path: str
    query: str
    span: tuple[int, int] | None
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What is answered. `wait` seconds pass before it.

    `cut` sends that share of the body; `honest` says so in the length that is stated.
    """

    status: int = 200
    body: bytes = b""
    kind: str = "application/json"
    cut: float = 1.0
    honest: bool = False
    wait: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


class Server:
    """Serves a folder on loopback, and fails as often as it is told to.

    `failures` answers so many requests with 503. `fault` is asked first and may answer in
    the server's place; its answer with status 200 changes how a file is sent. `route` answers
    what is no file. `sent` counts the bytes of files by path.
    """

    def __init__(
        self, folder: Path, *, route: Callable[[Request], Answer | None] = lambda _: None
    ) -> None:
        self.folder = folder
        self.route = route
        self.fault: Callable[[Request], Answer | None] = lambda _: None
        self.failures = 0
        self.asked: list[str] = []
        self.requests: list[Request] = []
        self.sent: dict[str, int] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._answer(self)

            do_HEAD = do_POST = do_GET  # noqa: N815

            def log_message(self, *args: object) -> None: ...

        class Quiet(ThreadingHTTPServer):
            # A client that hangs up is no error of the server's.
            def handle_error(self, request: object, client_address: object) -> None: ...

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        request = _parse(handler)
        self.asked.append(handler.path)
        self.requests.append(request)
        if self.failures:
            self.failures -= 1
            _send(handler, Answer(503))
            return
        fault = self.fault(request)
        if fault is not None and fault.status != 200:
            _send(handler, fault)
            return
        file = self.folder / request.path
        if not file.is_file():
            _send(handler, self.route(request) or Answer(404))
            return
        _send(handler, self._file(request, file, fault or Answer()))

    def _file(self, request: Request, file: Path, how: Answer) -> Answer:
        size = file.stat().st_size
        first, last = request.span or (0, size - 1)
        last = min(last, size - 1)
        if first > last:
            return Answer(416, headers={"Content-Range": f"bytes */{size}"})
        with file.open("rb") as stream:
            stream.seek(first)
            body = stream.read(last - first + 1)
        if request.method == "GET":
            self.sent[request.path] = self.sent.get(request.path, 0) + len(body)
        headers = {"Accept-Ranges": "bytes"}
        if request.span:
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        status = 206 if request.span else 200
        return replace(
            how, status=status, body=body, kind="image/tiff", headers={**headers, **how.headers}
        )


def _parse(handler: BaseHTTPRequestHandler) -> Request:
    url = urlsplit(handler.path)
    path = unquote(url.path.strip("/"))
    if url.netloc and url.hostname != "127.0.0.1":  # asked as a proxy
        path = f"{url.netloc}/{path}"
    span = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("Range", ""))
    length = int(handler.headers.get("Content-Length") or 0)
    return Request(
        handler.command,
        path,
        url.query,
        (int(span[1]), int(span[2])) if span else None,
        handler.rfile.read(length),
    )


def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    time.sleep(answer.wait)
    handler.send_response(answer.status)
    body = answer.body[: int(len(answer.body) * answer.cut)]
    stated = body if answer.honest else answer.body
    handler.send_header("Content-Length", str(len(stated)))
    if answer.body:
        handler.send_header("Content-Type", answer.kind)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
        if answer.cut < 1:
            handler.close_connection = True


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Yield a server over `folder`, closed at the end."""
    server = Server(folder)
    try:
        yield server
    finally:
        server.close()
