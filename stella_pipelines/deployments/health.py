"""Waiting until a component is healthy under its own rules: timeout, interval, successes in a row. Durations on the loop's monotonic clock."""

from __future__ import annotations

import asyncio

from stella_pipelines.connectors.port import ComponentSpec, ConnectorError, Health, TargetConnector, Unhealthy
from stella_pipelines.core.clock import Clock
from stella_pipelines.deployments.limits import HEALTH_LOOK_TIMEOUT_S


async def wait_until_healthy(connector: TargetConnector, component: ComponentSpec, clock: Clock) -> None:
    """Return when the component was seen healthy `successes` times in a row; raise `Unhealthy` when its time is up."""
    rules = component.health
    loop = asyncio.get_running_loop()
    deadline_s, in_a_row = loop.time() + rules.timeout_s, 0
    while True:
        seen = await _look(connector, component, clock)
        in_a_row = in_a_row + 1 if seen is Health.HEALTHY else 0
        if in_a_row >= rules.successes:
            return
        if loop.time() + rules.interval_s > deadline_s:
            raise Unhealthy(
                f"{component.name} did not become healthy within {rules.timeout_s:g} s; the last look said {seen}.",
                unchanged="The version before it is still there.",
                next_step="Read the component's last output with 'stella logs', and its health check in the estate.",
            )
        await asyncio.sleep(rules.interval_s)


async def _look(connector: TargetConnector, component: ComponentSpec, clock: Clock) -> Health:
    try:
        async with asyncio.timeout(HEALTH_LOOK_TIMEOUT_S):
            return await connector.health(component, clock.now())
    except TimeoutError:
        return Health.UNKNOWN
    except ConnectorError as error:
        if not error.retryable:
            raise
        return Health.UNKNOWN  # one lost look is no verdict: the next one may come through
