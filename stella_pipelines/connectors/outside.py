"""Asking a component from outside, where its users stand: one HTTP request or one TCP connection to the published port.

One look, without waiting and without memory: how long to keep looking, and how many good answers are enough, is the rollout's matter.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

import httpx

from stella_pipelines.connectors.port import ComponentSpec, Health
from stella_pipelines.environments.model import HealthCheck

ANSWER_TIMEOUT_S: Final = 2.0
"""One health question. A component that needs longer than this is asked again by the rollout."""
_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody: the questions are plain HTTP, and loading the machine's CA store for each of them would cost more than asking."""


async def ask(component: ComponentSpec, target_address: str) -> Health:
    """The health of a running component by its `http` or `tcp` check. No answer yet is `STARTING`, a wrong answer is `UNHEALTHY`."""
    check = component.health
    if check.port is None:
        return Health.UNKNOWN
    address = _published_address(component, check.port, target_address)
    if check.kind == "http":
        return await _ask_http(check, address, check.port)
    return await _ask_tcp(address, check.port)


def _published_address(component: ComponentSpec, host_port: int, target_address: str) -> str:
    published = next((port for port in component.ports if port.host == host_port), None)
    return (published.address if published else None) or target_address


async def _ask_http(check: HealthCheck, address: str, port: int) -> Health:
    host = f"[{address}]" if ":" in address else address
    path = check.path if check.path.startswith("/") else f"/{check.path}"
    try:
        # No proxy from the environment, no redirects: the question is about this component alone. The body is never read.
        async with (
            httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=ANSWER_TIMEOUT_S, verify=_NO_TLS) as client,
            client.stream("GET", f"http://{host}:{port}{path}") as answer,
        ):
            return Health.HEALTHY if answer.status_code == check.expect_status else Health.UNHEALTHY
    except (httpx.HTTPError, OSError):
        return Health.STARTING


async def _ask_tcp(address: str, port: int) -> Health:
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            _, writer = await asyncio.open_connection(address, port)
    except OSError:  # refused, unreachable, and TimeoutError, which is one
        return Health.STARTING
    writer.close()
    return Health.HEALTHY
