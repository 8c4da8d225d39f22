"""Calling a target: a time limit, a few tries where an error may pass by itself, and nothing but our own errors comes out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from stella_pipelines.core.errors import StellaError
from stella_pipelines.deployments.errors import ConnectorBroke, StepTimedOut
from stella_pipelines.deployments.limits import ASK_TIMEOUT_S, STEP_ATTEMPTS_MAX, STEP_BACKOFF_S

T = TypeVar("T")


async def reach(call: Callable[[], Awaitable[T]], reconnect: Callable[[], Awaitable[None]], timeout_s: float = ASK_TIMEOUT_S) -> T:
    """The call's answer. A retryable error is tried again on a fresh connection; the time limit covers all tries together."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _try_again(call, reconnect)
    except TimeoutError as error:
        raise StepTimedOut(
            f"The target did not finish within {timeout_s:g} s.",
            unchanged="Whether the last request took effect is unknown until the target is observed.",
            next_step="Check the target's load and its network, then try again.",
        ) from error


async def _try_again(call: Callable[[], Awaitable[T]], reconnect: Callable[[], Awaitable[None]]) -> T:
    for attempt in range(1, STEP_ATTEMPTS_MAX + 1):
        try:
            return await _our_errors_only(call)
        except StellaError as error:
            with contextlib.suppress(Exception):  # closing what has just failed may fail too; the first error is the one that is reported
                await reconnect()
            if not error.retryable or attempt == STEP_ATTEMPTS_MAX:
                raise
        await asyncio.sleep(STEP_BACKOFF_S * 2 ** (attempt - 1))
    raise AssertionError("the last attempt either returns or raises")


async def _our_errors_only(call: Callable[[], Awaitable[T]]) -> T:
    try:
        return await call()
    except (StellaError, TimeoutError):
        raise
    # A connector is a plugin: whatever it raises becomes a failure of its own target, and never stops the others.
    except Exception as error:
        raise ConnectorBroke(
            f"The connector failed in an unexpected way: {type(error).__name__}: {str(error)[:300]}.",
            unchanged="Whether its last request took effect is unknown until the target is observed.",
            next_step="Report this to the connector's author; the run's log has the full trace.",
        ) from error
