"""A small token service (Distribution token specification) for a registry under test. It gives what is asked to who knows the password."""

from __future__ import annotations

import base64
import hmac
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlparse

import jwt

from tests.support.certificates import Certificates

ISSUER: Final = "stella-test-issuer"
SERVICE: Final = "stella-test-registry"
TOKEN_LIFE_S: Final = 300


class TokenService:
    """Runs on a thread inside a `with`. `asked` lists the scopes that tokens were given for, in order."""

    def __init__(self, certificates: Certificates, username: str, password: str) -> None:
        self.asked: list[str] = []
        self._key = certificates.key.read_text()
        self._chain = [base64.b64encode(ssl.PEM_cert_to_DER_cert(certificates.certificate.read_text())).decode()]
        self._basic = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def realm(self) -> str:
        """Where tokens are given."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/token"

    def __enter__(self) -> TokenService:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, target: str, authorization: str) -> tuple[int, bytes]:
        """Status and body for one request."""
        if not hmac.compare_digest(authorization, self._basic):
            return 401, b"{}"
        query = parse_qs(urlparse(target).query)
        scopes = query.get("scope", [])
        self.asked.extend(scopes)
        return 200, json.dumps({"token": self._token(scopes), "expires_in": TOKEN_LIFE_S}).encode()

    def _token(self, scopes: list[str]) -> str:
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        claims: dict[str, Any] = {"iss": ISSUER, "sub": "robot", "aud": SERVICE, "nbf": now - 5, "iat": now, "exp": now + TOKEN_LIFE_S, "jti": str(now)}
        return jwt.encode({**claims, "access": access}, self._key, algorithm="ES256", headers={"x5c": self._chain})


def _handler(service: TokenService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = service.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    return Handler
