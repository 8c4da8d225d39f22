"""The reconcilers: what one tick does, what the next one does not do again, and what a person's decision stops."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta

import dagster as dg
import pytest

from assets.differences import DIFFERENCES_SAID_MAX, says
from assets.keys import DATA_VERSION_TAG, image_key, release_key
from assets.publishing import publish_release
from sensors import observations
from stella_pipelines.connectors.port import ComponentSpec, Observation, RunningComponent
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments import records
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState, EnvironmentObservation, TargetObservation
from stella_pipelines.jobs import resumption
from stella_pipelines.jobs.recovery import follow_dead_runs
from stella_pipelines.jobs.resumption import resume_commanded
from stella_pipelines.jobs.submission import run_id_of, submit_pending
from stella_pipelines.promotions import dead_runs
from stella_pipelines.promotions.errors import unknown_environment
from stella_pipelines.promotions.promotion import PromotionState
from stella_pipelines.store import leases, outbox
from tests.support.installation import ALICE, NESTED_RESOURCES, SmallInstallation, add_release

pytestmark = pytest.mark.filterwarnings(NESTED_RESOURCES)
SENSORS = ("promotions", "approvals", "deployments", "observations", "releases")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead run is followed at once."""
    monkeypatch.setattr(dead_runs, "PAUSE_S", 0.0)


def materializations(stella: SmallInstallation, key: dg.AssetKey) -> list[dg.AssetMaterialization]:
    records = stella.instance.fetch_materializations(key, limit=100).records
    return [found.asset_materialization for found in records if found.asset_materialization is not None]


def attempts(stella: SmallInstallation, promotion_id: str) -> int:
    with stella.plane.store.reading() as tx:
        row = outbox.latest(tx, "promotion", promotion_id)
    assert row is not None
    return row.attempt


# ---------------------------------------------------------------- releases


def test_a_release_appears_once_with_its_images_and_partition(stella: SmallInstallation) -> None:
    record = add_release(stella.plane)
    first = stella.tick("releases")
    assert "shop-1.0.0" in (first.skip_message or "")
    assert stella.instance.get_dynamic_partitions("releases") == [record.partition_key]
    (release,) = materializations(stella, release_key("shop"))
    assert (release.partition, (release.tags or {})[DATA_VERSION_TAG]) == (record.partition_key, record.digest)
    (image,) = materializations(stella, image_key("web"))
    assert (image.tags or {})[DATA_VERSION_TAG] == record.release.components[0].digest
    assert stella.tick("releases", first.cursor).skip_message == "No new release."


def test_a_tick_that_lost_its_cursor_reports_nothing_again(stella: SmallInstallation) -> None:
    add_release(stella.plane)
    stella.tick("releases")
    assert "reported before" in (stella.tick("releases", cursor=None).skip_message or "")
    assert len(materializations(stella, release_key("shop"))) == 1
    assert len(materializations(stella, image_key("web"))) == 1


def test_a_tick_that_died_half_way_is_completed_by_the_next_one(stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    record = add_release(stella.plane)
    reports = stella.instance.report_runless_asset_event
    with monkeypatch.context() as dying:
        once = itertools.count()
        dying.setattr(stella.instance, "report_runless_asset_event", lambda event: reports(event) if next(once) == 0 else _die())
        with pytest.raises(KeyboardInterrupt):
            publish_release(stella.instance, record)
    assert publish_release(stella.instance, record) == 1
    assert publish_release(stella.instance, record) == 0
    assert len(materializations(stella, image_key("web"))) == len(materializations(stella, release_key("shop"))) == 1


def test_a_draft_is_not_shown(stella: SmallInstallation) -> None:
    assert stella.tick("releases").skip_message == "Every release was reported before."
    assert stella.instance.get_dynamic_partitions("releases") == []


# ---------------------------------------------------------------- lost and dead runs


def test_the_sensor_submits_what_no_submitter_did(stella: SmallInstallation) -> None:
    promotion = stella.request()
    said = stella.tick("promotions").skip_message or ""
    assert run_id_of("promotion", promotion.id, 1) in said
    assert [run.status for run in stella.runs()] == [dg.DagsterRunStatus.QUEUED]


def test_repeated_ticks_of_every_sensor_start_nothing_twice(stella: SmallInstallation) -> None:
    stella.request()
    for _ in range(3):
        for sensor in SENSORS:
            assert stella.tick(sensor).run_requests == []
    assert len(stella.runs()) == 1


@pytest.mark.usefixtures("impatient")
def test_an_evaluation_whose_run_died_is_followed_by_one_new_attempt(stella: SmallInstallation) -> None:
    promotion = stella.request()
    (run_id,) = submit_pending(stella.plane, stella.submitter())
    stella.instance.report_run_failed(_run(stella, run_id), "its process was killed")
    stella.tick("promotions")
    assert {run.run_id for run in stella.runs()} == {run_id, run_id_of("promotion", promotion.id, 2)}
    stella.tick("promotions")
    assert len(stella.runs()) == 2
    assert stella.plane.promotions.get(promotion.id).attempt == 2


def test_a_dead_run_is_left_alone_for_a_while_first(stella: SmallInstallation) -> None:
    stella.request()
    (run_id,) = submit_pending(stella.plane, stella.submitter())
    stella.instance.report_run_failed(_run(stella, run_id), "its process was killed")
    assert follow_dead_runs(stella.plane, stella.instance, "promotion") == []


@pytest.mark.usefixtures("impatient")
def test_a_run_that_is_queued_or_running_is_not_followed(stella: SmallInstallation) -> None:
    stella.request()
    submit_pending(stella.plane, stella.submitter())
    assert follow_dead_runs(stella.plane, stella.instance, "promotion") == []


@pytest.mark.usefixtures("impatient")
def test_a_deleted_run_stays_deleted_until_a_person_continues(stella: SmallInstallation) -> None:
    promotion = stella.request()
    (run_id,) = submit_pending(stella.plane, stella.submitter())
    stella.instance.delete_run(run_id)
    for sensor in SENSORS:
        stella.tick(sensor)
    assert stella.runs() == []
    done = stella.launch("continue_promotion", {"promotion": "dev", "actor": "alice"})
    assert done.success
    assert attempts(stella, promotion.id) == 2
    stella.tick("promotions")
    assert run_id_of("promotion", promotion.id, 2) in {run.run_id for run in stella.runs()}


@pytest.mark.usefixtures("impatient")
def test_a_cancelled_promotion_is_not_followed(stella: SmallInstallation) -> None:
    promotion = stella.request()
    (run_id,) = submit_pending(stella.plane, stella.submitter())
    stella.instance.report_run_failed(_run(stella, run_id), "its process was killed")
    stella.plane.promotions.cancel(ALICE, promotion.id, "not wanted")
    stella.tick("promotions")
    assert len(stella.runs()) == 1


# ---------------------------------------------------------------- looking


def test_one_environment_that_cannot_be_looked_at_in_time_keeps_nobody_from_seeing_the_others(
    stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def observe(name: str) -> EnvironmentObservation:
        if name == "slow":
            await asyncio.sleep(60)
        if name == "gone":
            raise unknown_environment(name)
        return EnvironmentObservation(environment=name, observed_at=stella.plane.clock.now(), deployment_id=None, release_digest=None, targets=())

    monkeypatch.setattr(stella.plane.deployments, "observe", observe)
    monkeypatch.setattr(observations, "LOOK_S_MAX", 0.1)
    said = [look.says for look in asyncio.run(observations.look_at(stella.plane, ["slow", "gone", "dev"]))]
    assert said[0].startswith("slow: not all targets answered within 0.1 s")
    assert "PROM_ENVIRONMENT_UNKNOWN" in said[1]
    assert said[2].startswith("dev: not as released or not healthy")
    assert asyncio.run(observations.look_at(stella.plane, [])) == []


def test_a_difference_names_its_target_its_component_and_its_reason(stella: SmallInstallation) -> None:
    released, other = Digest.of(b"released"), Digest.of(b"other")
    wanted = {name: (ComponentSpec.model_construct(name="web", platform_digest=released),) for name in ("away", "wrong", "off", "fine")}
    running = RunningComponent.model_construct(component="web", platform_digest=other, running=True)
    away = Failure(code="INT_TARGET_UNREACHABLE", what="No answer on port 40123.", unchanged="Nothing.", next_step="Start it.")

    def target(name: str, *components: RunningComponent) -> TargetObservation:
        return TargetObservation.model_construct(target=name, observation=Observation.model_construct(components=components))

    targets = (
        TargetObservation(target="away", observation=None, failure=away),
        target("wrong", running),
        target("off"),
        TargetObservation.model_construct(target="fine", as_released=True),
        target("new"),
    )
    seen = EnvironmentObservation.model_construct(environment="dev", deployment_id="dep_1", targets=targets)
    assert says(seen, wanted) == (
        "away: no answer (INT_TARGET_UNREACHABLE). "
        f"wrong: web runs {other.short} instead of {released.short}. "
        "off: web does not run. "
        "new: nothing is proven to have been released there."
    )
    many = seen.model_copy(update={"targets": targets[:1] * (DIFFERENCES_SAID_MAX + 2)})
    assert says(many, wanted).endswith("And 2 more differences.")
    assert says(seen.model_copy(update={"targets": ()}), wanted) == "dev has no targets, so nothing can be proven."
    assert says(seen.model_copy(update={"deployment_id": None}), wanted) == "Nothing was deployed into dev yet."


def test_environments_whose_looks_never_end_do_not_starve_the_others() -> None:
    due = [f"hanging-{number}" for number in range(observations.ENVIRONMENTS_PER_TICK)] + ["answers"]
    first, tried = observations.chosen(due, {}, now_s=1_000.0)
    second, tried = observations.chosen(due, tried, now_s=1_015.0)
    assert len(first) == len(second) == observations.ENVIRONMENTS_PER_TICK
    assert "answers" in second
    assert set(first) | set(second) == set(due)
    assert observations.chosen(["answers"], tried, now_s=1_030.0) == (["answers"], {"answers": 1_030.0})
    assert observations.chosen(due, {"hanging-0": 9_999.0}, now_s=1_030.0)[0][0] == "hanging-0", "a time from the future counts as never"


def test_a_commanded_deployment_that_nobody_works_on_gets_a_run_and_only_one(stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    record = DeploymentRecord(
        id="dep_01jdz000000000000000000001",
        sequence=1,
        kind="rollback",
        promotion_id=None,
        environment="dev",
        release_digest=Digest.of(b"release"),
        previous_release_digest=None,
        state=DeploymentState.RUNNING,
        attempt=1,
        plan_digest=Digest.of(b"plan"),
        artifacts_digest=None,
        actor=ALICE,
        reason="",
        started_at=stella.plane.clock.now(),
    )
    promoted = record.model_copy(update={"id": "dep_01jdz000000000000000000002", "kind": "promotion", "environment": "prod"})
    with stella.plane.store.writing() as tx:
        records.insert(tx, record)
        records.insert(tx, promoted)
        lease = leases.acquire(tx, "environment/dev", "somebody at work", stella.plane.clock.now(), 30.0)
    assert resume_commanded(stella.plane, stella.instance) == []
    with stella.plane.store.writing() as tx:
        leases.release(tx, lease)
    assert len(resume_commanded(stella.plane, stella.instance)) == 1
    assert resume_commanded(stella.plane, stella.instance) == [], "its run was not submitted yet"
    (run_id,) = submit_pending(stella.plane, stella.submitter())
    run = _run(stella, run_id)
    assert (run.job_name, run.tags["stella/deployment"], run.tags["stella/environment"]) == ("resumption", record.id, "dev")
    assert resume_commanded(stella.plane, stella.instance) == [], "its run is queued"
    stella.instance.report_run_failed(run, "its process was killed")
    monkeypatch.setattr(resumption, "rest_after", lambda _: timedelta(0))
    assert len(resume_commanded(stella.plane, stella.instance)) == 1


# ---------------------------------------------------------------- waiting


def test_a_wait_whose_time_has_come_is_asked_again(stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no targets, so the plan fails, which waits a few seconds and is asked again."""
    promotion = stella.request()
    stella.execute("promotion", {"gather_plan": {"promotion_id": promotion.id, "attempt": 1}})
    waiting = stella.plane.promotions.get(promotion.id)
    assert (waiting.state, waiting.waiting_until is not None) == (PromotionState.WAITING, True)
    assert waiting.waiting_until is not None
    due = waiting.waiting_until
    monkeypatch.setattr(type(stella.plane.clock), "now", lambda _: due)
    said = stella.tick("approvals").skip_message or ""
    assert "the time that it waited for has come" in said
    assert stella.plane.promotions.get(promotion.id).attempt == 2
    assert run_id_of("promotion", promotion.id, 2) in said


def _run(stella: SmallInstallation, run_id: str) -> dg.DagsterRun:
    run = stella.instance.get_run_by_id(run_id)
    assert run is not None
    return run


def _die() -> None:
    raise KeyboardInterrupt
