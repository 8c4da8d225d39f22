"""An HTTP server on loopback that answers each request as a test says: wrong bodies, wrong headers, half answers, silence."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.certificates import Certificates

Behaviour = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    authorization: str | None
    cookie: str | None


@dataclass
class LyingRegistry:
    """Runs inside a `with`, over TLS when it has certificates. `behaviours` maps a path to what happens there; every other path is 404.

    `stop` ends endless answers.
    """

    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    certificates: Certificates | None = None

    def __enter__(self) -> LyingRegistry:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = False
        if self.certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificates.certificate, self.certificates.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def host(self) -> str:
        """`127.0.0.1:port`."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def silence(self, request: BaseHTTPRequestHandler) -> None:
        """Accept the request and never answer."""
        self.stop.wait(timeout=30)

    def endless(self, request: BaseHTTPRequestHandler) -> None:
        """A body without an end."""
        _head(request, 200, {})
        while not self.stop.is_set():
            try:
                request.wfile.write(b"x" * 65536)
            except OSError:
                return

    def dripping(self, request: BaseHTTPRequestHandler) -> None:
        """A byte now and then, for ever: every single wait is short."""
        _head(request, 200, {})
        self._drip(request)

    def dripping_head(self, request: BaseHTTPRequestHandler) -> None:
        """The same, before the body begins."""
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        self._drip(request)

    def _drip(self, request: BaseHTTPRequestHandler) -> None:
        while not self.stop.wait(timeout=0.05):
            try:
                request.wfile.write(b"x")
                request.wfile.flush()
            except OSError:
                return


def answering(body: bytes = b"", status: int = 200, **headers: str) -> Behaviour:
    """A complete answer; `content_type="…"` is written as `Content-Type`."""

    def behave(request: BaseHTTPRequestHandler) -> None:
        _head(request, status, {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}})
        request.wfile.write(body)

    return behave


def truncated(body: bytes) -> Behaviour:
    """Promises the whole body, sends half of it and hangs up."""

    def behave(request: BaseHTTPRequestHandler) -> None:
        _head(request, 200, {"Content-Length": str(len(body))})
        request.wfile.write(body[: len(body) // 2])

    return behave


def in_pieces(body: bytes, pieces: int, pause_s: float) -> Behaviour:
    """The whole body, slowly."""

    def behave(request: BaseHTTPRequestHandler) -> None:
        _head(request, 200, {"Content-Length": str(len(body))})
        size = -(-len(body) // pieces)
        for start in range(0, len(body), size):
            time.sleep(pause_s)
            request.wfile.write(body[start : start + size])

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """One after the other; the last one stays."""
    left = list(behaviours)

    def behave(request: BaseHTTPRequestHandler) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(request)

    return behave


def _head(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
    request.send_response(status)
    for name, value in {**headers, "Connection": "close"}.items():
        request.send_header(name, value)
    request.end_headers()


def _handler(registry: LyingRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            registry.seen.append(Seen(self.command, self.path, self.headers.get("Authorization"), self.headers.get("Cookie")))
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.close_connection = True
            registry.behaviours.get(self.path.partition("?")[0], answering(status=404))(self)

        def do_GET(self) -> None:
            self._any()

        def do_HEAD(self) -> None:
            self._any()

        def do_POST(self) -> None:
            self._any()

        def do_PUT(self) -> None:
            self._any()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    return Handler
