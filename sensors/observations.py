"""The `observations` sensor: what the environments run, looked at again and again. What nobody looks at, no gate may trust.

When a look has another result than the one before, it is reported as the result of the environment's check: an outage is seen in the catalogue.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Final

import dagster as dg

from assets.checks import report_if_changed
from resources.control_plane import ControlPlaneResource
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value
from stella_pipelines.deployments.model import EnvironmentObservation

INTERVAL_S: Final = 20
LOOK_S_MAX: Final = 40.0
"""How long a tick waits for its looks: Dagster gives up on a tick after a minute."""
ENVIRONMENTS_PER_TICK: Final = 8
"""Looked at side by side in one tick. Fifty environments are all seen within 140 s."""


@dg.sensor(
    name="observations",
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks the targets of every environment what they run, about once a minute, so that soak times and health are known and not assumed. "
    "Reports the result of their check when it is another than the one before.",
)
def observations_sensor(context: dg.SensorEvaluationContext, control_plane: ControlPlaneResource) -> dg.SkipReason:
    plane = control_plane.plane
    environments, tried = chosen(plane.deployments.due_for_look(), json.loads(context.cursor or "{}"), plane.clock.now().timestamp())
    context.update_cursor(json.dumps(tried, sort_keys=True))
    at_work = _being_changed(plane)
    looks = asyncio.run(look_at(plane, environments))
    at_work |= _being_changed(plane)
    said = [f"{look.says}{_reported(plane, context.instance, look, at_work)}" for look in looks]
    return dg.SkipReason("; ".join(said) or "Every environment was looked at a moment ago.")


class Look(Value):
    """One environment as it was seen, or why it was not, in a few words."""

    environment: str
    seen: EnvironmentObservation | None = None
    says: str


def _being_changed(plane: ControlPlane) -> set[str]:
    """Environments that a deployment is changing. What runs there is not what was released before, and that is no outage."""
    return {record.environment for record in plane.deployments.unfinished()}


def _reported(plane: ControlPlane, instance: dg.DagsterInstance, look: Look, at_work: set[str]) -> str:
    """Report what has changed, and say so."""
    if look.seen is None or look.seen.deployment_id is None or look.environment in at_work:
        return ""
    if not report_if_changed(plane, instance, look.seen):
        return ""
    return f" (reported: the check of {look.environment} {'passed' if look.seen.as_released else 'FAILED'})"


def chosen(due: Sequence[str], tried_s: Mapping[str, float], now_s: float) -> tuple[list[str], dict[str, float]]:
    """Which of the due environments this tick looks at, and when each was tried last. Pure.

    One whose look did not come to an end stays due, so those that were not tried for the longest time come first: nobody waits behind it.
    """
    order = sorted(due, key=lambda name: tried_s.get(name, 0.0) if tried_s.get(name, 0.0) <= now_s else 0.0)[:ENVIRONMENTS_PER_TICK]
    return order, {name: at for name, at in tried_s.items() if name in due} | dict.fromkeys(order, now_s)


async def look_at(plane: ControlPlane, environments: list[str]) -> list[Look]:
    """Look at some environments at the same time, and say what was seen. A target that does not answer is part of the answer."""
    looks = {name: asyncio.create_task(plane.deployments.observe(name)) for name in environments}
    if looks:
        _, late = await asyncio.wait(looks.values(), timeout=LOOK_S_MAX)
        for look in late:
            look.cancel()
        await asyncio.gather(*looks.values(), return_exceptions=True)
    return [_look(name, look) for name, look in looks.items()]


def _look(environment: str, look: asyncio.Task[EnvironmentObservation]) -> Look:
    """What came of one look. One environment that cannot be looked at keeps nobody from seeing the others."""
    if look.cancelled():
        late = f"not all targets answered within {LOOK_S_MAX:g} s; it is looked at when a promotion is judged by it"
        return Look(environment=environment, says=f"{environment}: {late}")
    error = look.exception()
    if isinstance(error, StellaError):
        return Look(environment=environment, says=f"{environment}: {error}")
    seen = look.result()
    odd = [target.target for target in seen.targets if not (target.as_released and target.healthy)]
    state = "healthy" if seen.healthy else "not as released or not healthy: " + ", ".join(odd)
    return Look(environment=environment, seen=seen, says=f"{environment}: {state}")
