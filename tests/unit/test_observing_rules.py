"""How long an environment was healthy, and when it is looked at again: pure rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stella_pipelines.connectors.port import Observation
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.limits import LOOK_AGAIN_S, OBSERVATION_GAP_S_MAX
from stella_pipelines.deployments.looking import due_for_look
from stella_pipelines.deployments.model import EnvironmentObservation, TargetObservation
from stella_pipelines.deployments.observing import healthy_since

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(hours=1)


def seen(at: datetime, *, healthy: bool = True, deployment: str = "dep_1", since: datetime | None = None) -> EnvironmentObservation:
    target = TargetObservation(target="a", observation=Observation(target="a", observed_at=at, components=()), as_released=healthy, healthy=healthy)
    return EnvironmentObservation(
        environment="prod", observed_at=at, deployment_id=deployment, release_digest=Digest.of(b"1"), targets=(target,), healthy_since=since
    )


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (None, seen(NOW), NOW),
        (seen(NOW - timedelta(seconds=60), since=SINCE), seen(NOW), SINCE),
        (seen(NOW - timedelta(seconds=OBSERVATION_GAP_S_MAX), since=SINCE), seen(NOW), SINCE),
        (seen(NOW - timedelta(seconds=OBSERVATION_GAP_S_MAX + 1), since=SINCE), seen(NOW), NOW),
        (seen(NOW - timedelta(seconds=60), since=SINCE, deployment="dep_0"), seen(NOW), NOW),
        (seen(NOW - timedelta(seconds=60), healthy=False), seen(NOW), NOW),
        (seen(NOW - timedelta(seconds=60), since=SINCE), seen(NOW, healthy=False), None),
        (seen(NOW + timedelta(days=3), since=NOW + timedelta(days=3)), seen(NOW), NOW),
    ],
    ids=["first look", "goes on", "longest gap", "gap too long", "another deployment", "was unhealthy", "is unhealthy", "clock was ahead"],
)
def test_the_time_goes_on_only_while_somebody_looked(before: EnvironmentObservation | None, now: EnvironmentObservation, expected: datetime | None) -> None:
    assert healthy_since(before, now) == expected


def test_the_longest_unseen_comes_first_and_a_look_from_the_future_counts_as_old() -> None:
    looks = [
        ("fresh", NOW - timedelta(seconds=LOOK_AGAIN_S - 1)),
        ("old", NOW - timedelta(seconds=LOOK_AGAIN_S)),
        ("older", NOW - timedelta(hours=1)),
        ("future", NOW + timedelta(hours=1)),
        ("never", None),
    ]
    assert due_for_look(looks, NOW) == ["never", "older", "old", "future"]
