"""What the board says runs somewhere, and what `stella plan` says about the way back: from what was seen, never from what was wanted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from stella_pipelines.cli.deployments import _row
from stella_pipelines.cli.observed import what_runs
from stella_pipelines.connectors.port import Health, Observation, RunningComponent
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.model import EnvironmentObservation, TargetObservation
from stella_pipelines.deployments.plan import ComponentChange
from stella_pipelines.releases.model import PlatformImage, Release, ReleaseComponent, ReleaseRecord, ReleaseState

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)


def image(component: str, version: str) -> Digest:
    return Digest.of(f"{component}:{version}".encode())


def release(version: str, *components: str) -> ReleaseRecord:
    pinned = tuple(
        ReleaseComponent(
            name=name,
            repository=f"registry.test/{name}",
            digest=image(name, version),
            platforms=(PlatformImage(platform="linux/amd64", digest=image(name, version), config_digest=image(name, version)),),
        )
        for name in components
    )
    content = Release(name="shop", version=version, components=pinned, created_at=NOW)
    return ReleaseRecord(release=content, state=ReleaseState.FINALIZED, digest=Digest.of(f"release {version}".encode()))


V1, V2 = release("1", "web", "db"), release("2", "web", "db")
KNOWN = {record.digest: record for record in (V1, V2)}


def target(number: int, release: ReleaseRecord | None, *images: tuple[str, str]) -> TargetObservation:
    """A target that runs these (component, version), each labelled with the release."""
    running = tuple(
        RunningComponent(
            component=component,
            platform_digest=image(component, version),
            config_digest=None,
            runtime_id=component,
            deployment_id="dep_1",
            release_digest=release.digest if release else Digest.of(b"another installation"),
            running=True,
            health=Health.HEALTHY,
        )
        for component, version in images
    )
    return TargetObservation(target=f"host-{number}", observation=Observation(target=f"host-{number}", observed_at=NOW, components=running))


def seen(*targets: TargetObservation) -> EnvironmentObservation:
    return EnvironmentObservation(environment="prod", observed_at=NOW, deployment_id="dep_1", release_digest=V1.digest, targets=targets)


WHOLE_V1, WHOLE_V2 = (("web", "1"), ("db", "1")), (("web", "2"), ("db", "2"))


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ([target(n, V2, *WHOLE_V2) for n in (1, 2, 3)], "shop-2 on 3 of 3 (shop-1 was proven)"),
        (
            [target(1, V2, *WHOLE_V2), target(2, V2, *WHOLE_V2), target(3, V1, *WHOLE_V1)],
            "mixed: shop-2 on 2, shop-1 on 1 of 3 (shop-1 was proven)",
        ),
        ([target(1, V1)], "nothing on 1 of 1 (shop-1 was proven)"),
        ([target(1, V1, ("web", "1"))], "only a part of shop-1 on 1 of 1 (shop-1 was proven)"),
        ([target(1, V1, ("web", "9"), ("db", "1"))], "something else than shop-1 on 1 of 1 (shop-1 was proven)"),
        ([target(1, None, *WHOLE_V1)], "something unknown on 1 of 1 (shop-1 was proven)"),
        ([TargetObservation(target="host-1", observation=None)], "no answer on 1 of 1 (shop-1 was proven)"),
    ],
)
def test_what_was_seen_stands_before_what_was_proven(targets: list[TargetObservation], said: str) -> None:
    assert what_runs(V1, seen(*targets), (), KNOWN.get) == said


def test_two_releases_on_one_target_are_said_to_be_so() -> None:
    two = target(1, V1, ("web", "1")).observation
    other = target(1, V2, ("db", "2")).observation
    assert two is not None
    assert other is not None
    both = TargetObservation(target="host-1", observation=two.model_copy(update={"components": two.components + other.components}))
    assert what_runs(V1, seen(both), (), KNOWN.get) == "several releases on 1 of 1 (shop-1 was proven)"
    assert what_runs(V1, seen(both), ("web",), KNOWN.get) == "shop-1 on 1 of 1 (shop-1 was proven)"


def test_what_is_as_released_is_named_alone() -> None:
    as_released = [one.model_copy(update={"as_released": True}) for one in (target(1, V1, *WHOLE_V1), target(2, V1, *WHOLE_V1))]
    assert what_runs(V1, seen(*as_released), (), KNOWN.get) == "shop-1"
    assert what_runs(V1, None, (), KNOWN.get) == "shop-1"
    assert what_runs(V2, seen(*as_released), (), KNOWN.get) == "shop-1 on 2 of 2 (shop-2 was proven)"


def test_where_nothing_was_proven() -> None:
    assert what_runs(None, None, (), KNOWN.get) == "nothing yet"
    assert what_runs(None, seen(target(1, V1)), (), KNOWN.get) == "nothing yet"
    assert what_runs(None, seen(target(1, V2, *WHOLE_V2)), (), KNOWN.get) == "shop-2 on 1 of 1 (not proven)"


@pytest.mark.parametrize(
    ("changes", "runs", "way_back"),
    [
        ({"action": "start", "risk": "first deployment"}, "nothing", "remove it again\n[yellow]first deployment[/]"),
        ({"action": "replace", "way_back": "dep_1", "current_digest": image("web", "1")}, image("web", "1").short, "the running instance, kept stopped"),
        ({"action": "replace", "way_back": "dep_1", "risk": "cannot be proven"}, "unknown", "the running instance, kept stopped\n[yellow]cannot be proven[/]"),
        (
            {"action": "replace", "current_digest": image("web", "1"), "risk": "not by Stella"},
            image("web", "1").short,
            "none: only remove it again\n[yellow]not by Stella[/]",
        ),
        ({"action": "none", "way_back": "dep_1", "current_digest": image("web", "2")}, image("web", "2").short, "nothing changes"),
    ],
)
def test_the_way_back_in_a_plan(changes: dict[str, object], runs: str, way_back: str) -> None:
    digest = image("web", "2")
    plain: dict[str, object] = {"name": "web", "current_digest": None, "wanted_digest": digest, "index_digest": digest}
    change = ComponentChange.model_validate({**plain, "config_digest": digest, "spec_digest": digest, **changes})
    assert _row("host-1", change)[3:] == (runs, digest.short, way_back)
