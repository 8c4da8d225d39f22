"""The plan: what it says for every situation on a target, and that its digest is the same for the same world and no other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from stella_pipelines.connectors.port import ComponentSpec, Health, Observation, Probe, RunningComponent
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.artifacts import make_artifacts, read_artifacts
from stella_pipelines.deployments.errors import ArtifactsDamaged, PlanIncomplete
from stella_pipelines.deployments.plan import Plan, make_plan
from stella_pipelines.deployments.wanted import EarlierSpecs, as_earlier, rendered
from stella_pipelines.environments.model import Component, Environment, Estate, ProcessAccess, Target
from stella_pipelines.releases.model import PlatformImage, Release, ReleaseComponent, ReleaseRecord, ReleaseState

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
AMD, ARM = "linux/amd64", "linux/arm64/v8"
OLD_RELEASE = Digest.of(b"old release")


def image(text: str, platform: str = AMD) -> PlatformImage:
    name = f"{text} {platform}".encode()
    return PlatformImage(platform=platform, digest=Digest.of(name), config_digest=Digest.of(b"config " + name))


def record(*names: str, state: ReleaseState = ReleaseState.FINALIZED) -> ReleaseRecord:
    components = tuple(
        ReleaseComponent(name=name, repository=f"registry.test/{name}", digest=Digest.of(name.encode()), platforms=(image(name), image(name, "linux/arm64/v8")))
        for name in names
    )
    release = Release(name="shop", version="2", components=components, created_at=NOW)
    return ReleaseRecord(release=release, state=state, digest=Digest.of(b"release 2") if state is ReleaseState.FINALIZED else None)


def estate(*targets: str, components: tuple[str, ...] = ("web",), **environment: Any) -> Estate:
    return Estate(
        components=tuple(Component(name=name, repository=f"registry.test/{name}", variables={"A": "estate", "B": "estate"}) for name in components),
        environments=(Environment(name="prod", gates="none", **environment),),
        targets=tuple(Target(name=name, environment="prod", kind="process", process=ProcessAccess(directory=f"/{name}")) for name in targets),
    )


def seen(target: str, **running: Digest | None) -> Observation:
    found = tuple(
        RunningComponent(
            component=name,
            platform_digest=digest,
            config_digest=None,
            runtime_id=name,
            deployment_id="dep_old",
            release_digest=OLD_RELEASE,
            running=True,
            health=Health.HEALTHY,
        )
        for name, digest in running.items()
    )
    return Observation(target=target, observed_at=NOW, components=found)


def plan(house: Estate, *observations: Observation, release: ReleaseRecord | None = None, **given: Any) -> Plan:
    environment = house.environment("prod")
    assert environment is not None
    probes = {observed.target: Probe(platform=given.get("platform", AMD), engine="test") for observed in observations}
    pinned = release or record("web")
    return make_plan(
        pinned,
        environment,
        house,
        revision=given.get("revision", 7),
        observations={observed.target: observed for observed in observations},
        probes=probes,
        known_specs=given.get("known", {}),
        wanted=given.get("wanted") or rendered(pinned.release, environment, house),
    )


def specs(house: Estate) -> tuple[ComponentSpec, ...]:
    """What the house wants of the release, rendered for its one environment."""
    environment = house.environment("prod")
    assert environment is not None
    return rendered(record("web").release, environment, house)("a", AMD)


def test_nothing_runs_so_it_is_started_and_the_way_back_is_to_remove_it() -> None:
    change = plan(estate("a"), seen("a")).targets[0].components[0]
    assert (change.action, change.current_digest, change.way_back) == ("start", None, None)
    assert change.wanted_digest == image("web").digest
    assert "remove" in change.risk


def test_another_version_runs_so_it_is_replaced_and_is_the_way_back() -> None:
    change = plan(estate("a"), seen("a", web=Digest.of(b"old"))).targets[0].components[0]
    assert (change.action, change.current_digest, change.way_back) == ("replace", Digest.of(b"old"), "dep_old")
    assert change.previous_release_digest == OLD_RELEASE
    assert change.risk == "none"


def test_the_same_image_with_the_same_settings_is_left_alone() -> None:
    house = estate("a")
    spec = specs(house)[0]
    same = plan(house, seen("a", web=spec.platform_digest), known={("dep_old", "a", "web"): spec.content_digest()}).targets[0]
    assert same.components[0].action == "none"
    assert same.changes == ()


def test_the_same_image_with_other_or_unknown_settings_is_replaced() -> None:
    running = seen("a", web=image("web").digest)
    assert plan(estate("a"), running).targets[0].components[0].action == "replace"
    assert plan(estate("a"), running, known={("dep_old", "a", "web"): Digest.of(b"other")}).targets[0].components[0].action == "replace"


def test_a_target_that_cannot_prove_what_it_runs_is_a_risk() -> None:
    change = plan(estate("a"), seen("a", web=None)).targets[0].components[0]
    assert change.action == "replace"
    assert "cannot prove" in change.risk


def test_each_target_gets_the_image_of_its_own_platform() -> None:
    change = plan(estate("a"), seen("a"), platform="linux/arm64").targets[0].components[0]
    assert change.wanted_digest == image("web", ARM).digest
    assert change.index_digest == Digest.of(b"web")


def test_variables_of_the_environment_win_over_the_components() -> None:
    assert specs(estate("a", variables={"B": "environment"}))[0].variables == {"A": "estate", "B": "environment"}


def test_what_was_stored_earlier_wins_over_an_estate_that_was_edited_since() -> None:
    before, edited = estate("a"), estate("a", "b", variables={"A": "edited"})
    earlier = {"a": EarlierSpecs(platform=AMD, components=specs(before))}
    wanted = as_earlier(earlier, lambda *_: specs(edited))
    assert wanted("a", AMD)[0].variables["A"] == "estate"
    assert wanted("b", AMD)[0].variables["A"] == "edited", "a target that the earlier deployment did not have"
    assert wanted("a", ARM)[0].variables["A"] == "edited", "a target that is another machine now"
    made = plan(edited, seen("a"), seen("b"), wanted=wanted)
    assert [target.components[0].spec_digest for target in made.targets] == [specs(before)[0].content_digest(), specs(edited)[0].content_digest()]


def test_an_environment_may_run_some_of_the_components() -> None:
    made = plan(estate("a", components=("web", "worker"), **{}), seen("a"), release=record("web", "worker"))
    assert [change.name for change in made.targets[0].components] == ["web", "worker"]


@pytest.mark.parametrize(
    ("house", "release", "platform", "what"),
    [
        (estate("a"), record("web", "worker"), AMD, "estate has no component worker"),
        (estate("a", components=("web", "db")), record("web"), "windows/amd64", "no image for windows/amd64"),
        (estate(), record("web"), AMD, "no targets"),
        (estate("a"), record("web", state=ReleaseState.DRAFT), AMD, "draft"),
    ],
)
def test_what_stands_in_the_way_is_said(house: Estate, release: ReleaseRecord, platform: str, what: str) -> None:
    observations = [seen(target.name) for target in house.targets]
    with pytest.raises(PlanIncomplete, match=what):
        plan(house, *observations, release=release, platform=platform)


def test_every_problem_is_listed() -> None:
    house = estate("a", "b")
    with pytest.raises(PlanIncomplete, match=r"a: .*; b: "):
        plan(house, seen("a"), seen("b"), platform="windows/amd64")


def test_the_same_world_gives_the_same_digest_and_any_change_another() -> None:
    one = plan(estate("a"), seen("a")).content_digest()
    later = seen("a").model_copy(update={"observed_at": datetime(2027, 1, 1, tzinfo=UTC)})
    assert plan(estate("a"), later).content_digest() == one
    others = [
        plan(estate("a"), seen("a"), revision=8),
        plan(estate("a", variables={"A": "2"}), seen("a")),
        plan(estate("a"), seen("a", web=Digest.of(b"old"))),
        plan(estate("a", "b"), seen("a"), seen("b")),
    ]
    assert len({one, *(other.content_digest() for other in others)}) == 5


def test_artifacts_are_the_same_every_time_and_read_back_from_their_hashes() -> None:
    house = estate("a", "b")
    planned = plan(house, seen("a"), seen("b"))
    made = [make_artifacts("dep_1", record("web"), house, planned, wanted=lambda *_: specs(house), decision=None, previous=lambda *_: {}) for _ in range(2)]
    assert made[0].manifest.canonical() == made[1].manifest.canonical()
    blobs = {Digest.of(content): content for content, _ in made[0].blobs()}
    assert read_artifacts(made[0].manifest.content_digest(), blobs.__getitem__) == made[0]
    assert {entry.sticker for entry in made[0].manifest.targets} <= set(blobs)


def test_damaged_artifacts_are_refused() -> None:
    with pytest.raises(ArtifactsDamaged):
        read_artifacts(Digest.of(b"{}"), lambda _: b"{}")
