"""A container of ours as the engine describes it, read once into a frozen value. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stella_pipelines.connectors.docker import labels
from stella_pipelines.connectors.port import Health
from stella_pipelines.core.values import Value

_NEVER: Final = "0001-01-01T00:00:00Z"
STOP_TIMEOUT_S: Final = 10
"""What engines wait for when a container does not say."""


class Instance(Value):
    """One container: running, kept as the way back, or created and never started."""

    id: str
    image_id: str
    labels: dict[str, str]
    created: str
    status: str
    was_started: bool
    exit_code: int
    error: str
    health: str | None
    restart_policy: str
    stop_timeout_s: int

    @property
    def component(self) -> str:
        """Whose container this is."""
        return self.labels.get(labels.COMPONENT, "")

    @property
    def deployment_id(self) -> str:
        """Which deployment created it."""
        return self.labels.get(labels.DEPLOYMENT, "")

    @property
    def fence(self) -> int:
        """Under which fencing token it was created."""
        return labels.fence_of(self.labels)

    @property
    def runs(self) -> bool:
        """Whether it runs now."""
        return self.status == "running"

    @property
    def is_active(self) -> bool:
        """Whether it runs, or will run again by itself."""
        return self.status in ("running", "restarting", "paused")

    def container_health(self) -> Health | None:
        """What the engine says; None when it runs and the image has no health check."""
        if not self.is_active:
            return Health.STARTING if self.status == "created" else Health.UNHEALTHY
        if self.status != "running":
            return Health.UNHEALTHY
        known = {"healthy": Health.HEALTHY, "unhealthy": Health.UNHEALTHY, "starting": Health.STARTING}
        return None if self.health is None else known.get(self.health, Health.UNKNOWN)


def read_instance(answer: Mapping[str, Any]) -> Instance:
    """The value for what `GET /containers/{id}/json` answers."""
    state, config, host = answer["State"], answer["Config"], answer.get("HostConfig") or {}
    health = (state.get("Health") or {}).get("Status")
    return Instance(
        id=answer["Id"],
        image_id=answer["Image"],
        labels=config.get("Labels") or {},
        created=answer["Created"],
        status=state["Status"],
        was_started=state.get("StartedAt", _NEVER) != _NEVER,
        exit_code=state.get("ExitCode") or 0,
        error=state.get("Error") or "",
        health=None if health in (None, "", "none") else health,
        restart_policy=(host.get("RestartPolicy") or {}).get("Name") or "no",
        stop_timeout_s=STOP_TIMEOUT_S if config.get("StopTimeout") is None else config["StopTimeout"],
    )


def newest_first(instances: list[Instance]) -> list[Instance]:
    """Those that run first, then by the time they were created, newest first."""
    return sorted(sorted(instances, key=lambda one: one.created, reverse=True), key=lambda one: not one.runs)
