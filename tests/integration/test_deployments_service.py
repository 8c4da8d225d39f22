"""The deployments room on a real database (both kinds) with simulated targets: success, failure, the way back, and the preflight."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from stella_pipelines.connectors.port import TargetRefused, TargetUnreachable
from stella_pipelines.deployments.errors import NothingToRetry, PlanIncomplete
from stella_pipelines.deployments.journal import journal_digest
from stella_pipelines.deployments.model import DeploymentState, TargetState
from stella_pipelines.environments.model import AllAtOnce, Rolling
from stella_pipelines.promotions.promotion import PromotionState
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store
from tests.simulation.faults import always, no_faults
from tests.simulation.installation import Installation, image, make_estate
from tests.simulation.timeline import SimulatedClock, simulate
from tests.simulation.world import World
from tests.support.two_releases import packet_of, two_releases, versions


def test_a_release_goes_onto_every_target(store: Store) -> None:
    clock = SimulatedClock()
    world = World(clock)
    installation = Installation(store, clock, world)
    installation.apply(make_estate(3, AllAtOnce()))
    v1 = installation.release("1")
    promotion = installation.approve(v1)
    record = installation.run(promotion.id)
    assert record.state is DeploymentState.SUCCEEDED
    assert record.packet_id is not None
    assert installation.promotions.get(promotion.id).state is PromotionState.DEPLOYED
    assert {target: runs["web"][0] for target, runs in world.runs().items()} == dict.fromkeys(world.targets, image("web", "1").digest)
    assert {row.state for row in installation.deployments.ledger(record.id)} == {TargetState.SUCCEEDED}


# ---------------------------------------------------------------- success


def test_the_sealed_packet_names_what_runs_and_how_it_got_there(store: Store) -> None:
    installation, v1, v2 = two_releases(store, 2, AllAtOnce())
    record = installation.deploy(v2)
    statement, claim = packet_of(installation, record)
    assert statement.kind == "deployment"
    assert {subject.digest for subject in statement.subject} == {v2, image("web", "2").digest, v1}
    assert claim["deployment"]["state"] == "succeeded"
    assert [row["observed"] for row in claim["targets"]] == [{"web": image("web", "2").digest}] * 2
    named = {entry["name"]: entry["digest"] for entry in claim["inputs"]}
    assert named["plan"] == record.plan_digest
    assert named["journal"] == journal_digest(installation.deployments.journal(record.id))
    assert named["artifacts"] == record.artifacts_digest
    assert named["decision"] == claim["decision"]["digest"]
    assert claim["upstream"][0]["asset"] == "releases/shop"
    assert claim["upstream"][0]["digest"] == v2


def test_the_sticker_on_the_target_is_the_stored_artifact(store: Store) -> None:
    installation, _, v2 = two_releases(store, 1, AllAtOnce())
    record = installation.deploy(v2)
    artifacts = installation.deployments.artifacts(record.id)
    running = installation.world.target("host-1").running("web")
    assert artifacts is not None
    assert running is not None
    assert running.sticker == artifacts.stickers["host-1"]
    sticker = json.loads(running.sticker)
    assert sticker["release"]["digest"] == v2
    assert sticker["deployment_id"] == record.id
    assert sticker["decision"]["packet_id"] == installation.promotions.list()[0].decision_packet


def test_running_it_again_changes_nothing(store: Store) -> None:
    installation, _, v2 = two_releases(store, 2, AllAtOnce())
    promotion = installation.approve(v2)
    first = installation.run(promotion.id)
    effects = len(installation.world.touches)
    assert installation.run(promotion.id) == first
    assert len(installation.world.touches) == effects


def test_a_component_that_does_not_change_is_not_touched(store: Store) -> None:
    clock = SimulatedClock()
    installation = Installation(store, clock, World(clock))
    installation.apply(make_estate(1, AllAtOnce(), ("web", "worker")))
    v1 = installation.release("1", ("web", "worker"))
    before = installation.deploy(v1)
    v2 = installation.release("2", ("web", "worker"), unchanged={"worker": "1"})
    after = installation.deploy(v2)
    runs = installation.world.runs()["host-1"]
    assert runs == {"web": (image("web", "2").digest, after.id), "worker": (image("worker", "1").digest, before.id)}


def test_old_instances_are_retired_and_the_way_back_is_kept(store: Store) -> None:
    installation, _, v2 = two_releases(store, 1, AllAtOnce())
    second = installation.deploy(v2)
    third = installation.deploy(installation.release("3"))
    kept = {deployment for _, deployment in installation.world.target("host-1").instances}
    assert kept == {second.id, third.id}


# ---------------------------------------------------------------- failure and the way back


def test_an_unhealthy_release_goes_back_by_itself_to_the_proven_digest(store: Store) -> None:
    installation, v1, v2 = two_releases(store, 3, Rolling(batch=1))
    installation.world.unhealthy.add(image("web", "2").digest)
    promotion = installation.approve(v2)
    record = installation.run(promotion.id)
    assert record.state is DeploymentState.ROLLED_BACK
    assert record.previous_release_digest == v1
    assert versions(installation) == {"1"}
    assert [row.state for row in installation.deployments.ledger(record.id)] == [TargetState.ROLLED_BACK, TargetState.UNTOUCHED, TargetState.UNTOUCHED]
    assert installation.promotions.get(promotion.id).state is PromotionState.ROLLED_BACK
    assert record.failure is not None
    assert record.failure.code == "DEPLOY_UNHEALTHY"
    statement, claim = packet_of(installation, record)
    assert statement.kind == "rollback"
    assert claim["failure"]["code"] == "DEPLOY_UNHEALTHY"
    log = installation.deployments.ledger(record.id)[0].log
    assert log is not None
    with store.reading() as tx:
        assert b"says what is wrong" in blobs.get(tx, log)


def test_the_way_back_of_a_first_deployment_is_to_remove_it(store: Store) -> None:
    clock = SimulatedClock()
    installation = Installation(store, clock, World(clock))
    installation.apply(make_estate(2, AllAtOnce()))
    installation.world.crashing.add(image("web", "1").digest)
    record = installation.deploy(installation.release("1"))
    assert record.state is DeploymentState.ROLLED_BACK
    assert versions(installation) == {"nothing"}
    assert all(not target.instances for target in installation.world.targets.values())


def test_a_failed_rollback_is_a_visible_state(store: Store) -> None:
    installation, _, v2 = two_releases(store, 2, Rolling(batch=1))
    installation.world.unhealthy.add(image("web", "2").digest)
    installation.world.fault = always({("host-1", "restore"): TargetRefused})
    record = installation.deploy(v2)
    assert record.state is DeploymentState.ROLLBACK_FAILED
    row = installation.deployments.ledger(record.id)[0]
    assert row.state is TargetState.ROLLBACK_FAILED
    assert row.failure is not None
    assert row.restore_failure is not None
    assert row.observed == {"web": image("web", "2").digest}
    assert packet_of(installation, record)[0].kind == "rollback"
    installation.world.fault = no_faults
    assert installation.rollback().state is DeploymentState.SUCCEEDED
    assert versions(installation) == {"1"}


def test_without_rollback_the_failed_targets_stay_and_are_retried_alone(store: Store) -> None:
    installation, _, v2 = two_releases(store, 3, Rolling(batch=1), rollback_on_failure=False)
    installation.world.fault = always({("host-2", "activate"): TargetRefused})
    first = installation.deploy(v2)
    assert first.state is DeploymentState.FAILED
    assert [row.state for row in installation.deployments.ledger(first.id)] == [TargetState.SUCCEEDED, TargetState.FAILED, TargetState.UNTOUCHED]
    installation.world.fault = no_faults
    touched_before = len(installation.world.touches)
    retry = installation.retry(first.id)
    assert retry.state is DeploymentState.SUCCEEDED
    assert (retry.kind, retry.attempt, retry.retry_of) == ("retry", 2, first.id)
    assert {touch.target for touch in installation.world.touches[touched_before:]} == {"host-2", "host-3"}
    assert versions(installation) == {"2"}
    seen = simulate(installation.clock, installation.deployments.observe("prod"))
    assert seen.healthy
    assert seen.deployment_id == retry.id


def test_a_retry_brings_what_was_approved_and_not_an_estate_that_was_edited_since(store: Store) -> None:
    installation, _, v2 = two_releases(store, 2, Rolling(batch=1), rollback_on_failure=False)
    installation.world.fault = always({("host-2", "activate"): TargetRefused})
    first = installation.deploy(v2)
    installation.world.fault = no_faults
    installation.apply(make_estate(2, Rolling(batch=1), rollback_on_failure=False, variables={"MODE": "never approved"}))
    assert installation.retry(first.id).state is DeploymentState.SUCCEEDED
    started = installation.world.target("host-2").running("web")
    assert started is not None
    assert started.spec.variables == {}


def test_a_target_within_the_failure_budget_goes_back_and_the_others_go_on(store: Store) -> None:
    installation, _, v2 = two_releases(store, 3, Rolling(batch=1, failure_budget=1))
    installation.world.fault = always({("host-2", "activate"): TargetRefused})
    record = installation.deploy(v2)
    assert record.state is DeploymentState.SUCCEEDED
    rows = {row.target: row for row in installation.deployments.ledger(record.id)}
    assert {target: row.state for target, row in rows.items()} == {
        "host-1": TargetState.SUCCEEDED,
        "host-2": TargetState.ROLLED_BACK,
        "host-3": TargetState.SUCCEEDED,
    }
    assert rows["host-2"].observed == {"web": image("web", "1").digest}
    observed = installation.deployments.last_observation("prod")
    assert observed is not None
    assert not observed.as_released
    installation.world.fault = no_faults
    assert installation.retry(record.id).state is DeploymentState.SUCCEEDED
    assert versions(installation) == {"2"}


def test_a_retry_of_a_complete_deployment_is_refused(store: Store) -> None:
    installation, _, v2 = two_releases(store, 1, AllAtOnce())
    record = installation.deploy(v2)
    with pytest.raises(NothingToRetry):
        installation.retry(record.id)


def test_a_deployment_that_takes_too_long_goes_back(store: Store) -> None:
    strategy = Rolling(batch=1, pause_s=50.0)
    installation, _, v2 = two_releases(store, 4, strategy)
    installation.apply(make_estate(4, strategy, deployment_timeout_s=60.0))
    record = installation.deploy(v2)
    assert record.state is DeploymentState.ROLLED_BACK
    assert record.failure is not None
    assert record.failure.code == "DEPLOY_TIMEOUT"
    assert versions(installation) == {"1"}


# ---------------------------------------------------------------- preflight: zero targets changed


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (lambda world: setattr(world, "fault", always({("host-2", "prepare"): TargetRefused})), "DEPLOY_TARGET_REFUSED"),
        (lambda world: setattr(world.target("host-2"), "disk_free_bytes", 1000), "DEPLOY_TARGET_DISK_FULL"),
        (lambda world: world.target("host-2").images.discard(image("web", "1").digest), "DEPLOY_WAY_BACK_MISSING"),
    ],
)
def test_nothing_is_touched_when_one_target_is_not_ready(store: Store, harm: Callable[[World], None], code: str) -> None:
    installation, _, v2 = two_releases(store, 3, AllAtOnce())
    promotion = installation.approve(v2)
    effects = len(installation.world.touches)
    harm(installation.world)
    record = installation.run(promotion.id)
    assert record.state is DeploymentState.REFUSED
    assert record.failure is not None
    assert (record.failure.code, record.failure.target) == (code, "host-2")
    assert len(installation.world.touches) == effects
    assert versions(installation) == {"1"}
    assert installation.promotions.get(promotion.id).state is PromotionState.FAILED
    assert packet_of(installation, record)[1]["deployment"]["state"] == "refused"


def test_unknown_disk_space_is_reported_and_not_refused(store: Store) -> None:
    installation, _, v2 = two_releases(store, 1, AllAtOnce())
    record = installation.deploy(v2)
    prepared = next(row for row in installation.deployments.journal(record.id) if row.step == "prepare" and row.phase == "outcome")
    assert prepared.notes == ("the target does not say how much disk is free",)


def test_an_unreachable_target_means_no_plan(store: Store) -> None:
    installation, _, v2 = two_releases(store, 2, AllAtOnce())
    installation.world.fault = always({("host-2", "connect"): TargetUnreachable})
    with pytest.raises(PlanIncomplete, match="host-2"):
        simulate(installation.clock, installation.deployments.plan("prod", v2))


def test_a_plan_that_is_not_the_approved_one_touches_nothing_and_asks_the_gates_again(store: Store) -> None:
    installation, _, v2 = two_releases(store, 2, AllAtOnce())
    promotion = installation.approve(v2)
    effects = len(installation.world.touches)
    installation.apply(make_estate(2, AllAtOnce(), variables={"MODE": "other"}))
    refused = installation.run(promotion.id)
    assert refused.state is DeploymentState.REFUSED
    assert refused.failure is not None
    assert refused.failure.code == "DEPLOY_PLAN_CHANGED"
    assert len(installation.world.touches) == effects
    again = installation.promotions.get(promotion.id)
    assert (again.state, again.refused_starts) == (PromotionState.WAITING, 1)
    installation.promotions.reevaluate(promotion.id)
    installation.evaluate(promotion.id)
    assert installation.run(promotion.id).state is DeploymentState.SUCCEEDED
