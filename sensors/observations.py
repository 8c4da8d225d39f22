"""The `observations` sensor: what the environments run, looked at again and again. What nobody looks at, no gate may trust."""

from __future__ import annotations

import asyncio
from typing import Final

import dagster as dg

from resources.control_plane import ControlPlaneResource
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.deployments.model import EnvironmentObservation

INTERVAL_S: Final = 15
ENVIRONMENTS_PER_TICK: Final = 8
"""Looked at side by side in one tick; a tick has to end within Dagster's minute. Fifty environments are all seen within 95 s."""


@dg.sensor(
    name="observations",
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks the targets of every environment what they run, about once a minute, so that soak times and health are known and not assumed.",
)
def observations_sensor(control_plane: ControlPlaneResource) -> dg.SkipReason:
    plane = control_plane.plane
    seen = asyncio.run(look_at(plane, plane.deployments.due_for_look(ENVIRONMENTS_PER_TICK)))
    return dg.SkipReason("; ".join(said(one) for one in seen) or "Every environment was looked at a moment ago.")


async def look_at(plane: ControlPlane, environments: list[str]) -> list[EnvironmentObservation]:
    """Look at some environments at the same time. A target that does not answer is part of the answer."""
    return list(await asyncio.gather(*(plane.deployments.observe(name) for name in environments)))


def said(seen: EnvironmentObservation) -> str:
    """One look in a few words."""
    odd = [target.target for target in seen.targets if not (target.as_released and target.healthy)]
    return f"{seen.environment}: {'healthy' if seen.healthy else 'not as released or not healthy: ' + ', '.join(odd)}"
