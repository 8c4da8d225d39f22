"""Why a target is not healthy, and what a failed component said, in words that are safe to show."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from stella_pipelines.cli.aftermath import OUTPUT_BYTES_MAX, shown
from stella_pipelines.cli.looks import look_document, why_not
from stella_pipelines.connectors.port import Health, Observation, RunningComponent
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.model import EnvironmentObservation, TargetObservation

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GONE = Failure(code="DEPLOY_TARGET_UNREACHABLE", what="prod-1 does not answer.", unchanged="Nothing was changed.", next_step="Look at the host.")


def component(name: str, *, running: bool = True, health: Health = Health.HEALTHY) -> RunningComponent:
    digest = Digest.of(name.encode())
    return RunningComponent(
        component=name, platform_digest=digest, config_digest=None, runtime_id="1", deployment_id=None, release_digest=None, running=running, health=health
    )


def seen(*found: RunningComponent, as_released: bool = True, healthy: bool = False) -> TargetObservation:
    return TargetObservation(
        target="prod-1", observation=Observation(target="prod-1", observed_at=NOW, components=found), as_released=as_released, healthy=healthy
    )


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (seen(component("web"), healthy=True), None),
        (TargetObservation(target="prod-1", observation=None, failure=GONE), "DEPLOY_TARGET_UNREACHABLE: prod-1 does not answer."),
        (TargetObservation(target="prod-1", observation=None), "It did not answer."),
        (seen(component("web", health=Health.UNHEALTHY)), "web is unhealthy."),
        (seen(component("web")), "its health check does not pass."),
        (seen(as_released=False), "nothing runs here."),
        (seen(component("web"), healthy=True, as_released=False), "not everything runs that was proven."),
        (seen(component("web"), component("web", running=False), healthy=True), None),
        (
            seen(component("web"), component("api", running=False), component("api", running=False), as_released=False),
            "api does not run; not everything runs that was proven.",
        ),
    ],
)
def test_why_a_target_is_not_healthy(target: TargetObservation, why: str | None) -> None:
    assert why_not(target) == why
    look = EnvironmentObservation(environment="prod", observed_at=NOW, deployment_id=None, release_digest=None, targets=(target,))
    document = look_document(look)
    assert document["healthy"] is (why is None)
    assert document["targets"][0]["why"] == why


def test_an_output_cannot_change_the_terminal_and_is_bounded() -> None:
    assert shown(b"one\r\ntwo\x1b[2Jthree\x00\xff\n") == "one\ntwo\ufffd[2Jthree\ufffd\ufffd\n"
    long = shown(b"x" * (2 * OUTPUT_BYTES_MAX) + b"the end")
    assert len(long) == OUTPUT_BYTES_MAX
    assert long.endswith("the end")
