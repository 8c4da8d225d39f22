"""The docker library's client, with nothing ambient left in it, and an API version that is agreed on rather than guessed.

No proxies, CA bundles or registry logins from the environment or from `~/.docker`: only what the estate declares counts.
"""

from __future__ import annotations

from typing import Any, Final

import requests
from docker import APIClient
from docker.tls import TLSConfig

from stella_pipelines.connectors.docker.handshake import require_handshake
from stella_pipelines.connectors.docker.unix_socket import UnixSocketAdapter
from stella_pipelines.connectors.port import TargetRefused
from stella_pipelines.core.limits import CONNECT_TIMEOUT_S, ENGINE_TIMEOUT_S

API_VERSION_MIN: Final = (1, 41)
"""Docker Engine 20.10."""
API_VERSION_MAX: Final = (1, 44)
"""The newest API that this code was written for; engines up to 29 still accept it."""
STREAM_SILENCE_S: Final = 180.0
"""A pull that reports nothing for so long has lost its engine."""

_HUNG_UP: Final = ("EOF occurred", "reset by peer", "Broken pipe", "without response")
"""How it looks when an engine ends a connection without a word."""


class EngineClient(APIClient):
    """An `APIClient` that reads no environment and never waits without a limit."""

    def __init__(self, base_url: str, version: str, tls: TLSConfig | None = None) -> None:
        super().__init__(base_url=base_url, version=version, timeout=ENGINE_TIMEOUT_S, tls=tls or False)  # type: ignore[arg-type]  # the stub wants whole seconds
        # With trust_env, REQUESTS_CA_BUNDLE would replace the pinned CA, and a proxy would see the engine's traffic.
        self.trust_env = False
        if base_url.startswith("unix://"):
            self.mount("http+docker://", UnixSocketAdapter(base_url.removeprefix("unix:"), int(ENGINE_TIMEOUT_S)))

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send with a limit on connecting and on silence. The library itself waits for ever when it streams a pull."""
        read_s = kwargs.get("timeout")
        kwargs["timeout"] = (CONNECT_TIMEOUT_S, STREAM_SILENCE_S if read_s is None else read_s)
        return super().send(request, **kwargs)


def connect(base_url: str, tls: TLSConfig | None) -> EngineClient:
    """A client that speaks the newest API version which the engine and this code both know."""
    first = EngineClient(base_url, _text(API_VERSION_MIN), tls)
    try:
        answer = first.version(api_version=False)
    except requests.ConnectionError as error:
        if tls is not None and any(sign in str(error) for sign in _HUNG_UP):
            require_handshake(base_url, tls)
        raise
    finally:
        first.close()
    return EngineClient(base_url, _text(agreed_version(str(answer.get("ApiVersion", "")), str(answer.get("MinAPIVersion", "")))), tls)


def agreed_version(newest: str, oldest: str) -> tuple[int, int]:
    """The API version to speak with an engine that accepts `oldest` to `newest`. Pure."""
    engine_newest, engine_oldest = _parsed(newest), _parsed(oldest or newest)
    if engine_newest < API_VERSION_MIN or engine_oldest > API_VERSION_MAX:
        raise TargetRefused(
            f"The engine speaks API {oldest} to {newest}; {_text(API_VERSION_MIN)} to {_text(API_VERSION_MAX)} is supported.",
            next_step="Use Docker Engine 20.10 or newer; for an engine newer than 29, update this control plane.",
        )
    return min(engine_newest, API_VERSION_MAX)


def _parsed(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    if not (major.isdigit() and minor.isdigit()):
        raise TargetRefused(f"The endpoint says that its API version is {version[:40]!r}: no Docker Engine.", next_step="Check the endpoint in the estate.")
    return int(major), int(minor)


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
