"""The deployments room on a real database (both kinds) with simulated targets: the whole life of deployments, and everything that goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from stella_pipelines.connectors.port import StaleFence, TargetRefused, TargetUnreachable
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.limits import LEASE_TTL_S
from stella_pipelines.deployments.errors import DeploymentNotDue, DeploymentUnfinished, JournalTaken, NothingToRetry, NotProven, PlanIncomplete
from stella_pipelines.deployments.history import StoredHistory, in_use, still_running
from stella_pipelines.deployments.journal import journal_digest
from stella_pipelines.deployments.limits import DATABASE_PATIENCE_S, LOOK_AGAIN_S
from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState, Progress, TargetState
from stella_pipelines.environments.model import AllAtOnce, Rolling, Strategy
from stella_pipelines.evidence.statement import Statement
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.promotions.errors import EnvironmentUnknown
from stella_pipelines.promotions.promotion import PromotionState
from stella_pipelines.store import blobs, leases
from stella_pipelines.store.database import Store
from stella_pipelines.store.errors import Conflict, DatabaseUnreachable
from stella_pipelines.store.leases import LeaseHeld, LeaseLost
from tests.simulation.faults import Killed, always, no_faults
from tests.simulation.installation import ALICE, Installation, image, make_estate
from tests.simulation.timeline import SimulatedClock, simulate
from tests.simulation.world import World


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


def _two_releases(store: Store, targets: int, strategy: Strategy, **environment: Any) -> tuple[Installation, Digest, Digest]:
    """An installation in which v1 runs everywhere and v2 is ready."""
    clock = SimulatedClock()
    installation = Installation(store, clock, World(clock))
    installation.apply(make_estate(targets, strategy, **environment))
    v1, v2 = installation.release("1"), installation.release("2")
    assert installation.deploy(v1).state is DeploymentState.SUCCEEDED
    return installation, v1, v2


def _versions(installation: Installation, component: str = "web") -> set[str]:
    digests = {runs[component][0] if component in runs else None for runs in installation.world.runs().values()}
    known = {image(component, version).digest: version for version in "123"}
    return {known[digest] if digest else "nothing" for digest in digests}


def _claim(installation: Installation, record: DeploymentRecord) -> tuple[Statement, dict[str, Any]]:
    assert record.packet_id is not None
    with installation.database.reading() as tx:
        packet = installation.evidence.get(tx, record.packet_id)
    statement = verify_packet(packet.envelope, [installation.evidence.public_pem]).statement
    return statement, statement.claim()


# ---------------------------------------------------------------- success


def test_the_sealed_packet_names_what_runs_and_how_it_got_there(store: Store) -> None:
    installation, v1, v2 = _two_releases(store, 2, AllAtOnce())
    record = installation.deploy(v2)
    statement, claim = _claim(installation, record)
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
    installation, _, v2 = _two_releases(store, 1, AllAtOnce())
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
    installation, _, v2 = _two_releases(store, 2, AllAtOnce())
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
    installation, _, v2 = _two_releases(store, 1, AllAtOnce())
    second = installation.deploy(v2)
    third = installation.deploy(installation.release("3"))
    kept = {deployment for _, deployment in installation.world.target("host-1").instances}
    assert kept == {second.id, third.id}


# ---------------------------------------------------------------- failure and the way back


def test_an_unhealthy_release_goes_back_by_itself_to_the_proven_digest(store: Store) -> None:
    installation, v1, v2 = _two_releases(store, 3, Rolling(batch=1))
    installation.world.unhealthy.add(image("web", "2").digest)
    promotion = installation.approve(v2)
    record = installation.run(promotion.id)
    assert record.state is DeploymentState.ROLLED_BACK
    assert record.previous_release_digest == v1
    assert _versions(installation) == {"1"}
    assert [row.state for row in installation.deployments.ledger(record.id)] == [TargetState.ROLLED_BACK, TargetState.UNTOUCHED, TargetState.UNTOUCHED]
    assert installation.promotions.get(promotion.id).state is PromotionState.ROLLED_BACK
    assert record.failure is not None
    assert record.failure.code == "DEPLOY_UNHEALTHY"
    statement, claim = _claim(installation, record)
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
    assert _versions(installation) == {"nothing"}
    assert all(not target.instances for target in installation.world.targets.values())


def test_a_failed_rollback_is_a_visible_state(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 2, Rolling(batch=1))
    installation.world.unhealthy.add(image("web", "2").digest)
    installation.world.fault = always({("host-1", "restore"): TargetRefused})
    record = installation.deploy(v2)
    assert record.state is DeploymentState.ROLLBACK_FAILED
    row = installation.deployments.ledger(record.id)[0]
    assert row.state is TargetState.ROLLBACK_FAILED
    assert row.failure is not None
    assert row.restore_failure is not None
    assert row.observed == {"web": image("web", "2").digest}
    assert _claim(installation, record)[0].kind == "rollback"
    installation.world.fault = no_faults
    assert installation.rollback().state is DeploymentState.SUCCEEDED
    assert _versions(installation) == {"1"}


def test_without_rollback_the_failed_targets_stay_and_are_retried_alone(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 3, Rolling(batch=1), rollback_on_failure=False)
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
    assert _versions(installation) == {"2"}
    seen = simulate(installation.clock, installation.deployments.observe("prod"))
    assert seen.healthy
    assert seen.deployment_id == retry.id


def test_a_retry_brings_what_was_approved_and_not_an_estate_that_was_edited_since(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 2, Rolling(batch=1), rollback_on_failure=False)
    installation.world.fault = always({("host-2", "activate"): TargetRefused})
    first = installation.deploy(v2)
    installation.world.fault = no_faults
    installation.apply(make_estate(2, Rolling(batch=1), rollback_on_failure=False, variables={"MODE": "never approved"}))
    assert installation.retry(first.id).state is DeploymentState.SUCCEEDED
    started = installation.world.target("host-2").running("web")
    assert started is not None
    assert started.spec.variables == {}


def test_a_target_within_the_failure_budget_goes_back_and_the_others_go_on(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 3, Rolling(batch=1, failure_budget=1))
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
    assert _versions(installation) == {"2"}


def test_a_retry_of_a_complete_deployment_is_refused(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 1, AllAtOnce())
    record = installation.deploy(v2)
    with pytest.raises(NothingToRetry):
        installation.retry(record.id)


def test_a_deployment_that_takes_too_long_goes_back(store: Store) -> None:
    strategy = Rolling(batch=1, pause_s=50.0)
    installation, _, v2 = _two_releases(store, 4, strategy)
    installation.apply(make_estate(4, strategy, deployment_timeout_s=60.0))
    record = installation.deploy(v2)
    assert record.state is DeploymentState.ROLLED_BACK
    assert record.failure is not None
    assert record.failure.code == "DEPLOY_TIMEOUT"
    assert _versions(installation) == {"1"}


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
    installation, _, v2 = _two_releases(store, 3, AllAtOnce())
    promotion = installation.approve(v2)
    effects = len(installation.world.touches)
    harm(installation.world)
    record = installation.run(promotion.id)
    assert record.state is DeploymentState.REFUSED
    assert record.failure is not None
    assert (record.failure.code, record.failure.target) == (code, "host-2")
    assert len(installation.world.touches) == effects
    assert _versions(installation) == {"1"}
    assert installation.promotions.get(promotion.id).state is PromotionState.FAILED
    assert _claim(installation, record)[1]["deployment"]["state"] == "refused"


def test_unknown_disk_space_is_reported_and_not_refused(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 1, AllAtOnce())
    record = installation.deploy(v2)
    prepared = next(row for row in installation.deployments.journal(record.id) if row.step == "prepare" and row.phase == "outcome")
    assert prepared.notes == ("the target does not say how much disk is free",)


def test_an_unreachable_target_means_no_plan(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 2, AllAtOnce())
    installation.world.fault = always({("host-2", "connect"): TargetUnreachable})
    with pytest.raises(PlanIncomplete, match="host-2"):
        simulate(installation.clock, installation.deployments.plan("prod", v2))


def test_a_plan_that_is_not_the_approved_one_touches_nothing_and_asks_the_gates_again(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 2, AllAtOnce())
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


# ---------------------------------------------------------------- rollback on command


def test_a_rollback_on_command_goes_to_the_release_before(store: Store) -> None:
    installation, v1, v2 = _two_releases(store, 3, Rolling(batch=2))
    installation.deploy(v2)
    record = installation.rollback()
    assert (record.kind, record.state, record.release_digest) == ("rollback", DeploymentState.SUCCEEDED, v1)
    assert _versions(installation) == {"1"}
    assert _claim(installation, record)[0].kind == "rollback"
    assert installation.world.changing_most <= 2


def test_a_second_rollback_goes_one_further_back_and_never_forward(store: Store) -> None:
    installation, v1, v2 = _two_releases(store, 1, AllAtOnce())
    installation.deploy(v2)
    installation.deploy(installation.release("3"))
    assert installation.rollback().release_digest == v2
    assert installation.rollback().release_digest == v1
    with pytest.raises(NotProven, match="no earlier"):
        installation.rollback()
    assert installation.rollback(v2).release_digest == v2
    assert installation.rollback().release_digest == v1


def test_a_rollback_brings_the_settings_back_that_were_proven(store: Store) -> None:
    """The estate was edited after v1 was proven. What comes back is what ran, and not v1 with settings that nobody ever tried it with."""
    installation, v1, v2 = _two_releases(store, 2, AllAtOnce())
    installation.apply(make_estate(3, AllAtOnce(), variables={"MODE": "edited"}))
    installation.deploy(v2)
    record = installation.rollback()
    assert (record.state, record.release_digest) == (DeploymentState.SUCCEEDED, v1)
    modes = {name: found.spec.variables.get("MODE") for name in ("host-1", "host-2", "host-3") if (found := installation.world.target(name).running("web"))}
    assert modes == {"host-1": None, "host-2": None, "host-3": "edited"}, "host-3 never ran v1, so it gets what the estate says now"


def test_a_rollback_in_an_unknown_environment_says_so(store: Store) -> None:
    installation, _, _ = _two_releases(store, 1, AllAtOnce())
    with pytest.raises(EnvironmentUnknown):
        installation.rollback(environment="nosuch")


def test_a_rollback_names_an_earlier_proven_release_or_is_refused(store: Store) -> None:
    installation, v1, v2 = _two_releases(store, 1, AllAtOnce())
    never = installation.release("3")
    installation.deploy(v2)
    with pytest.raises(NotProven):
        installation.rollback(never)
    assert _versions(installation) == {"2"}
    assert installation.rollback(v1).state is DeploymentState.SUCCEEDED
    assert _versions(installation) == {"1"}


def test_a_rollback_of_the_only_release_is_refused(store: Store) -> None:
    installation, _, _ = _two_releases(store, 1, AllAtOnce())
    with pytest.raises(NotProven, match="no earlier"):
        installation.rollback()


def test_a_rollback_takes_back_a_deployment_that_died(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 3, Rolling(batch=1))
    promotion = installation.approve(v2)
    mortal = installation.reborn(die_at="after activate on host-2")
    with pytest.raises(Killed):
        mortal.run(promotion.id)
    assert _versions(installation) == {"1", "2"}
    survivor = installation.reborn()
    with pytest.raises(LeaseHeld):
        survivor.rollback()
    survivor.clock.monotonic_s += LEASE_TTL_S
    record = survivor.rollback()
    assert record.state is DeploymentState.ROLLED_BACK
    assert record.failure is not None
    assert record.failure.code == "DEPLOY_ABORTED"
    assert _versions(installation) == {"1"}
    assert survivor.promotions.get(promotion.id).state is PromotionState.ROLLED_BACK


# ---------------------------------------------------------------- the store goes away, the clock jumps, somebody else comes


def test_a_store_that_comes_back_in_time_is_waited_for(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 2, Rolling(batch=1))
    promotion = installation.approve(v2)
    begins_s = installation.clock.monotonic_s + 1.0
    installation.store.gone = lambda: begins_s < installation.clock.monotonic_s < begins_s + DATABASE_PATIENCE_S - 5
    assert installation.run(promotion.id).state is DeploymentState.SUCCEEDED
    assert installation.clock.monotonic_s > begins_s + DATABASE_PATIENCE_S - 5


def test_a_store_that_stays_away_stops_the_engine_before_the_next_effect(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 3, Rolling(batch=1))
    promotion = installation.approve(v2)
    installation.store.gone = lambda: len(installation.world.touches) > 3
    with pytest.raises(DatabaseUnreachable):
        installation.run(promotion.id)
    assert len(installation.world.touches) == 4
    record = installation.reborn().run(promotion.id)
    assert record.state is DeploymentState.SUCCEEDED
    assert set(installation.world.creations.values()) == {1}


def test_a_commit_whose_answer_was_lost_is_not_written_twice(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 1, AllAtOnce())
    promotion = installation.approve(v2)
    installation.store.commits_lost = 1
    record = _lossy_run(installation, promotion.id)
    assert record.state is DeploymentState.SUCCEEDED
    rows = installation.deployments.journal(record.id)
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))


def _lossy_run(installation: Installation, promotion_id: str) -> DeploymentRecord:
    def lose(progress: object) -> None:
        installation.store.commits_lost = 1

    return simulate(installation.clock, installation.deployments.run(promotion_id, "holder", lose))


@pytest.mark.parametrize("jump_s", [-60.0, 3600.0])
def test_a_wall_clock_that_jumps_changes_nothing(store: Store, jump_s: float) -> None:
    installation, _, v2 = _two_releases(store, 3, Rolling(batch=1, pause_s=10.0), deployment_timeout_s=120.0)
    promotion = installation.approve(v2)

    def jump(progress: Progress) -> None:
        if progress.step == "activate" and progress.target == "host-2":
            installation.clock.jump_s = jump_s

    record = simulate(installation.clock, installation.deployments.run(promotion.id, "holder", jump))
    assert record.state is DeploymentState.SUCCEEDED
    assert _versions(installation) == {"2"}


def test_a_lease_that_was_taken_stops_the_engine_at_once(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 3, Rolling(batch=1))
    promotion = installation.approve(v2)

    def steal(progress: Progress) -> None:
        if progress.step == "activate" and progress.target == "host-1" and progress.event == "succeeded":
            with store.writing() as tx:
                now = installation.clock.now() + timedelta(seconds=LEASE_TTL_S + 1)
                leases.acquire(tx, "environment/prod", "somebody else", now, 1.0)

    with pytest.raises(LeaseLost):
        simulate(installation.clock, installation.deployments.run(promotion.id, "holder", steal))
    assert [touch.target for touch in installation.world.touches[3:]] == ["host-1"]
    assert _versions(installation) == {"1", "2"}


def test_two_runs_of_one_promotion_never_act_together(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 2, Rolling(batch=1))
    promotion = installation.approve(v2)

    async def both() -> list[DeploymentRecord | BaseException]:
        one = installation.deployments.run(promotion.id, "run/1")
        two = installation.deployments.run(promotion.id, "run/2")
        return await asyncio.gather(one, two, return_exceptions=True)

    first, second = simulate(installation.clock, both())
    assert isinstance(first, DeploymentRecord)
    assert first.state is DeploymentState.SUCCEEDED
    assert isinstance(second, LeaseHeld), "the second one takes nothing away from the first, which goes on undisturbed"
    assert second.holder == "run/1"
    assert set(installation.world.creations.values()) == {1}


def test_a_run_that_was_believed_dead_and_is_not_stops_before_its_next_effect(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 3, Rolling(batch=1))
    promotion = installation.approve(v2)

    async def both() -> list[DeploymentRecord | BaseException]:
        one = asyncio.create_task(installation.deployments.run(promotion.id, "run/1"))
        await asyncio.sleep(1.0)
        two = installation.deployments.run(promotion.id, "run/2", gone=lambda holder: holder == "run/1")
        return await asyncio.gather(one, two, return_exceptions=True)

    first, second = simulate(installation.clock, both())
    assert isinstance(first, LeaseLost | StaleFence | JournalTaken | Conflict)
    assert isinstance(second, DeploymentRecord)
    assert second.state is DeploymentState.SUCCEEDED
    assert _versions(installation) == {"2"}
    assert set(installation.world.creations.values()) == {1}


def test_another_holder_is_refused_while_a_deployment_goes_on(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 1, AllAtOnce())
    promotion = installation.approve(v2)
    refused: list[StellaError] = []

    async def both() -> DeploymentRecord:
        going_on = asyncio.create_task(installation.deployments.run(promotion.id, "run"))
        await asyncio.sleep(1.0)
        try:
            await installation.deployments.rollback(ALICE, "prod", None, "too early")
        except LeaseHeld as error:
            refused.append(error)
        return await going_on

    assert simulate(installation.clock, both()).state is DeploymentState.SUCCEEDED
    assert len(refused) == 1


def test_a_retry_that_died_is_in_the_way_of_others_and_goes_on(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 2, Rolling(batch=1), rollback_on_failure=False)
    installation.world.fault = always({("host-2", "activate"): TargetRefused})
    first = installation.deploy(v2)
    installation.world.fault = no_faults
    with pytest.raises(Killed):
        installation.reborn(die_at="after activate on host-2").retry(first.id)
    installation.clock.monotonic_s += LEASE_TTL_S
    survivor = installation.reborn()
    with pytest.raises(DeploymentUnfinished):
        survivor.deploy(survivor.release("3"))
    survivor.clock.monotonic_s += LEASE_TTL_S
    assert survivor.retry(first.id).state is DeploymentState.SUCCEEDED
    assert _versions(installation) == {"2"}
    assert set(installation.world.creations.values()) == {1}


def test_a_target_that_remembers_a_higher_token_is_not_touched(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 2, AllAtOnce())
    installation.world.target("host-2").fence = 1000
    record = installation.deploy(v2)
    assert record.state is DeploymentState.REFUSED
    assert record.failure is not None
    assert record.failure.code == "DEPLOY_FENCE_AHEAD"
    assert _versions(installation) == {"1"}


def test_a_promotion_that_is_not_approved_deploys_nothing(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 1, AllAtOnce())
    promotion = installation.promotions.request(ALICE, environment="prod", release_digest=v2, reason="")
    with pytest.raises(DeploymentNotDue):
        installation.run(promotion.id)
    assert _versions(installation) == {"1"}


# ---------------------------------------------------------------- observing


def test_drift_shows_in_the_next_look_and_history_follows(store: Store) -> None:
    installation, v1, _ = _two_releases(store, 2, AllAtOnce())
    history = StoredHistory(installation.clock)
    with store.reading() as tx:
        proven = history.last_proven(tx, "prod", v1)
    assert proven is not None
    assert proven.healthy
    since = proven.healthy_since
    installation.clock.monotonic_s += 100
    simulate(installation.clock, installation.deployments.observe("prod"))
    with store.reading() as tx:
        later = history.last_proven(tx, "prod", v1)
    assert later is not None
    assert later.healthy_since == since
    assert later.observed_at > proven.observed_at
    installation.world.target("host-2").instances.clear()
    seen = simulate(installation.clock, installation.deployments.observe("prod"))
    assert [target.as_released for target in seen.targets] == [True, False]
    with store.reading() as tx:
        drifted = history.last_proven(tx, "prod", v1)
    assert drifted is not None
    assert not drifted.healthy
    assert drifted.healthy_since is None


def test_a_failed_rollout_that_went_back_begins_the_soak_again(store: Store) -> None:
    installation, v1, v2 = _two_releases(store, 2, AllAtOnce())
    installation.clock.monotonic_s += 600
    before = simulate(installation.clock, installation.deployments.observe("prod"))
    installation.world.unhealthy.add(image("web", "2").digest)
    record = installation.deploy(v2)
    assert record.state is DeploymentState.ROLLED_BACK
    with store.reading() as tx:
        proven = StoredHistory(installation.clock).last_proven(tx, "prod", v1)
    assert proven is not None
    assert proven.healthy
    assert before.healthy_since is not None
    assert proven.healthy_since is not None
    assert proven.healthy_since > before.observed_at


def test_a_look_that_was_overtaken_by_a_deployment_is_not_remembered(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 1, AllAtOnce())
    promotion = installation.approve(v2)
    installation.world.look_s = 30.0

    async def both() -> None:
        looking = asyncio.create_task(installation.deployments.observe("prod"))
        await asyncio.sleep(0.1)
        installation.world.look_s = 0.01
        await installation.deployments.run(promotion.id, "run/1")
        await looking

    simulate(installation.clock, both())
    kept = installation.deployments.last_observation("prod")
    assert kept is not None
    assert kept.release_digest == v2
    assert kept.healthy


def test_environments_are_looked_at_again_the_longest_unseen_first(store: Store) -> None:
    installation, _, _ = _two_releases(store, 1, AllAtOnce())
    assert installation.deployments.due_for_look() == []
    installation.clock.monotonic_s += LOOK_AGAIN_S
    assert installation.deployments.due_for_look() == ["prod"]
    simulate(installation.clock, installation.deployments.observe("prod"))
    assert installation.deployments.due_for_look() == []


def test_what_has_not_ended_is_in_use(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 2, Rolling(batch=1))
    promotion = installation.approve(v2)
    with pytest.raises(Killed):
        installation.reborn(die_at="after activate on host-2").run(promotion.id)
    with store.reading() as tx:
        assert set(in_use(tx)) == {"environment/prod", "target/host-1", "target/host-2"}
    installation.reborn().run(promotion.id)
    with store.reading() as tx:
        assert in_use(tx) == {}


def test_a_target_that_went_back_still_runs_what_was_proven_there_before(store: Store) -> None:
    installation, _, v2 = _two_releases(store, 3, Rolling(batch=1, failure_budget=1))
    (first,) = installation.deployments.list("prod")
    with store.reading() as tx:
        assert {target: first.id in said for target, said in still_running(tx, "prod").items()} == {"host-1": True, "host-2": True, "host-3": True}
        assert still_running(tx, "dev") == {}
    installation.world.fault = always({("host-2", "activate"): TargetRefused})
    second = installation.deploy(v2)
    with store.reading() as tx:
        said = still_running(tx, "prod")
    assert {target: second.id in sentence for target, sentence in said.items()} == {"host-1": True, "host-2": False, "host-3": True}
    assert first.id in said["host-2"]
