"""What Dagster keeps of old runs and releases ends; what shows the present, what somebody waits for, and everything in the store stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage

from assets.checks import CHECK_NAME
from assets.keys import RELEASES, environment_key, evidence_key
from assets.publishing import add_partition, is_history, publish_packets
from stella_pipelines.core.settings import InvalidSetting, Settings
from stella_pipelines.evidence.statement import Subject
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.jobs import old_runs
from stella_pipelines.jobs.old_partitions import PARTITIONS_PER_PASS_MAX, published, superfluous
from stella_pipelines.jobs.old_runs import delete_old_runs
from stella_pipelines.jobs.submission import submit_pending
from stella_pipelines.store.metadata import metadata
from tests.support.evidence import NOW
from tests.support.installation import ALICE, NESTED_RESOURCES, SmallInstallation, add_release

pytestmark = pytest.mark.filterwarnings(NESTED_RESOURCES)
DAYS = 90
SENSORS = ("promotions", "approvals", "deployments", "releases")
LONG_AGO = timedelta(days=DAYS + 1)


def a_run(stella: SmallInstallation, *events: dg.AssetMaterialization | dg.AssetCheckEvaluation, age: timedelta = LONG_AGO) -> str:
    """A run that ended so long ago and reported these events."""

    @dg.op(out={})
    def report() -> object:
        yield from events

    @dg.job
    def reporting() -> None:
        report()

    run_id = reporting.execute_in_process(instance=stella.instance).run_id
    set_age(stella, run_id, age)
    return run_id


def set_age(stella: SmallInstallation, run_id: str, age: timedelta) -> None:
    at = (stella.plane.clock.now() - age).replace(tzinfo=None)
    change(stella, "UPDATE runs SET create_timestamp = :at, update_timestamp = :at WHERE run_id = :id", at=at, id=run_id)


def change(stella: SmallInstallation, statement: str, **values: object) -> None:
    storage = stella.instance.run_storage
    assert isinstance(storage, SqlRunStorage)
    with storage.connect() as connection:
        connection.execute(sa.text(statement), values)


def run_ids(stella: SmallInstallation) -> set[str]:
    return {run.run_id for run in stella.runs()}


def deleted(stella: SmallInstallation, *kept: str, dry_run: bool = False) -> int:
    return delete_old_runs(stella.instance, stella.plane.clock.now(), DAYS, kept, dry_run=dry_run)


def execute(stella: SmallInstallation, *, dry_run: bool = False) -> dg.ExecuteInProcessResult:
    result = stella.execute("retention", {"delete_old": {"dry_run": dry_run}})
    assert result.success
    return result


def in_store(stella: SmallInstallation) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table of ours."""
    with stella.plane.store.reading() as tx:
        return {table.name: sorted(map(tuple, tx.connection.execute(sa.select(table))), key=repr) for table in metadata.sorted_tables}


# ---------------------------------------------------------------- runs


def test_an_old_run_goes_with_its_events_and_its_output_and_a_young_one_stays(stella: SmallInstallation) -> None:
    old, young = a_run(stella), a_run(stella, age=timedelta(days=DAYS - 1))
    assert stella.instance.all_logs(old)
    assert output_of(stella, old)
    assert deleted(stella) == 1
    assert run_ids(stella) == {young}
    assert stella.instance.all_logs(old) == []
    assert not output_of(stella, old)
    assert output_of(stella, young)


def output_of(stella: SmallInstallation, run_id: str) -> list[Path]:
    manager = stella.instance.compute_log_manager
    folder = Path(manager.get_captured_local_path([run_id, "compute_logs", "x"], "out")).parent  # type: ignore[attr-defined]
    return list(folder.glob("*")) if folder.is_dir() else []


@pytest.mark.parametrize("status", [status for status in dg.DagsterRunStatus if status not in old_runs.ENDED])
def test_a_run_that_has_not_ended_stays_however_old(stella: SmallInstallation, status: dg.DagsterRunStatus) -> None:
    run_id = a_run(stella, age=10 * LONG_AGO)
    change(stella, "UPDATE runs SET status = :status WHERE run_id = :id", status=status.value, id=run_id)
    assert deleted(stella) == 0
    assert stella.instance.get_runs_count() == 1


def test_what_must_stay_stays_although_it_is_the_oldest(stella: SmallInstallation) -> None:
    kept = [a_run(stella, age=2 * LONG_AGO) for _ in range(3)]
    for _ in range(2):
        a_run(stella)
    assert deleted(stella, *kept) == 2
    assert run_ids(stella) == set(kept)


def test_a_pass_is_bounded_and_the_next_one_goes_on(stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(old_runs, "RUNS_PER_PASS_MAX", 3)
    monkeypatch.setattr(old_runs, "BATCH", 2)
    ids = [a_run(stella, age=LONG_AGO + timedelta(days=5 - number)) for number in range(5)]
    assert deleted(stella, dry_run=True) == 3
    assert run_ids(stella) == set(ids)
    assert deleted(stella) == 3
    assert run_ids(stella) == set(ids[3:])
    assert (deleted(stella), deleted(stella)) == (2, 0)


def test_a_pass_that_died_between_events_and_run_is_completed_by_the_next(stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes last: while it is there, it is found again."""
    run_id = a_run(stella)
    with monkeypatch.context() as dying:
        dying.setattr(stella.instance, "delete_run", _die)
        with pytest.raises(KeyboardInterrupt):
            deleted(stella)
    assert run_ids(stella) == {run_id}
    assert deleted(stella) == 1
    assert (run_ids(stella), stella.instance.all_logs(run_id)) == (set(), [])


def _die(*_: object) -> None:
    raise KeyboardInterrupt


# ---------------------------------------------------------------- the present


def test_the_runs_that_show_what_is_so_now_stay(stella: SmallInstallation) -> None:
    now = [materialized(stella, environment_key("dev")), materialized(stella, evidence_key("dev")), checked(stella)]
    stella.instance.event_log_storage.get_latest_asset_check_execution_by_key([dg.AssetCheckKey(environment_key("dev"), CHECK_NAME)])
    execute(stella)
    assert set(now) < run_ids(stella)
    newer = [materialized(stella, environment_key("dev")), materialized(stella, evidence_key("dev")), checked(stella)]
    execute(stella)
    assert run_ids(stella).isdisjoint(now)
    assert set(newer) < run_ids(stella)


def materialized(stella: SmallInstallation, key: dg.AssetKey) -> str:
    partition = add_release(stella.plane, "1.0.0").partition_key
    add_partition(stella.instance, partition)
    return a_run(stella, dg.AssetMaterialization(key, partition=partition))


def checked(stella: SmallInstallation) -> str:
    return a_run(stella, dg.AssetCheckEvaluation(asset_key=environment_key("dev"), check_name=CHECK_NAME, passed=True))


def test_the_newest_run_of_a_live_promotion_stays_because_recovery_asks_how_it_ended(stella: SmallInstallation) -> None:
    stella.request()
    (run_id,) = submit_pending(stella.plane, stella.submitter())
    run = stella.instance.get_run_by_id(run_id)
    assert run is not None
    stella.instance.report_run_failed(run, "its process was killed")
    set_age(stella, run_id, LONG_AGO)
    execute(stella)
    assert run_id in run_ids(stella)


# ---------------------------------------------------------------- nothing comes back, and nothing of ours goes


def test_a_deleted_run_is_not_started_again_by_anybody(stella: SmallInstallation) -> None:
    promotion = stella.request()
    (run_id,) = submit_pending(stella.plane, stella.submitter())
    run = stella.instance.get_run_by_id(run_id)
    assert run is not None
    stella.instance.report_run_failed(run, "its process was killed")
    stella.plane.promotions.cancel(ALICE, promotion.id, "not wanted any more")
    set_age(stella, run_id, LONG_AGO)
    execute(stella)
    assert run_id not in run_ids(stella)
    left = run_ids(stella)
    for sensor in SENSORS:
        assert stella.tick(sensor).run_requests == []
    assert submit_pending(stella.plane, stella.submitter()) == []
    assert run_ids(stella) == left


def test_the_store_is_the_same_before_and_after(stella: SmallInstallation) -> None:
    record = add_release(stella.plane)
    assert record.digest is not None
    stella.request()
    with stella.plane.store.writing() as tx:
        subject = Subject(name=record.label, digest=record.digest)
        about = {"kind": "rollback", "stream": "environment/dev", "subjects": [subject], "predicate": {"inputs": []}}
        stella.plane.evidence.seal(tx, packet_id="evd_1", at=stella.plane.clock.now() - 2 * LONG_AGO, **about)  # type: ignore[arg-type]
    a_run(stella)
    before = in_store(stella)
    execute(stella)
    assert before["evidence_packets"]
    assert before["audit_entries"]
    assert in_store(stella) == before


def test_a_dry_run_says_what_it_would_delete_and_deletes_nothing(stella: SmallInstallation) -> None:
    old = {a_run(stella), a_run(stella)}
    result = execute(stella, dry_run=True)
    assert result.output_for_node("delete_old") == 2
    assert "2 runs that ended more than 90 days ago would be deleted" in said(stella, result)
    assert old < run_ids(stella)
    assert "2 runs that ended more than 90 days ago deleted" in said(stella, execute(stella))


def said(stella: SmallInstallation, result: dg.ExecuteInProcessResult) -> str:
    return "\n".join(entry.user_message for entry in stella.instance.all_logs(result.run_id))


def test_zero_days_keep_everything(stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STELLA_RUN_RETENTION_DAYS", "0")
    old = a_run(stella)
    assert "kept for ever" in said(stella, execute(stella))
    assert old in run_ids(stella)


@pytest.mark.parametrize("text", ["-1", "ninety", "1.5", "1000000", "٣"])
def test_a_number_of_days_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match="STELLA_RUN_RETENTION_DAYS"):
        Settings.from_environ({"STELLA_RUN_RETENTION_DAYS": text})


@pytest.mark.parametrize(("days", "age_days", "history"), [(90, 89, False), (90, 91, True), (0, 10_000, False)])
def test_when_a_packet_is_history(days: int, age_days: int, history: bool) -> None:
    assert is_history(NOW - timedelta(days=age_days), NOW, days) is history


def test_whoever_lost_the_cursor_does_not_bring_back_what_was_deleted(stella: SmallInstallation) -> None:
    record, now = add_release(stella.plane), stella.plane.clock.now()
    assert record.digest is not None
    subject = Subject(name=record.label, digest=record.digest)
    with stella.plane.store.writing() as tx:
        for number, at in enumerate((now - LONG_AGO, now - timedelta(hours=1))):
            stella.plane.evidence.seal(
                tx, packet_id=f"evd_{number}", kind="rollback", stream="environment/dev", subjects=[subject], predicate={"inputs": []}, at=at
            )
    shown = publish_packets(stella.plane, stella.instance, lambda packet: verify_packet(packet.envelope, [stella.plane.evidence.public_pem]).statement, {})
    assert (shown.shown, shown.problems) == ({"dev": 2}, ())
    assert len(stella.instance.fetch_materializations(evidence_key("dev"), limit=10).records) == 1


# ---------------------------------------------------------------- partitions


def test_the_oldest_partitions_go_that_nobody_uses() -> None:
    names = [f"shop-{number}@{'0' * 12}" for number in range(10)]
    assert superfluous(names, set(), 10) == []
    assert superfluous(names, set(), 7) == names[:3]
    assert superfluous(names, {names[0], names[2]}, 7) == [names[1], names[3], names[4]]
    assert superfluous(names, set(names), 7) == []


def test_no_pass_deletes_more_partitions_than_it_may() -> None:
    names = [str(number) for number in range(PARTITIONS_PER_PASS_MAX + 10)]
    assert superfluous(names, set(), 0) == names[:PARTITIONS_PER_PASS_MAX]


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_partition_of_a_release_on_its_way_stays_and_an_older_one_without_use_goes(
    stella: SmallInstallation, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    limited: Callable[..., list[str]] = superfluous
    monkeypatch.setattr("stella_pipelines.jobs.retention.superfluous", lambda names, used: limited(names, used, 1))
    stella.request(version="1.0.0")
    on_its_way, unused, newest = (add_release(stella.plane, version).partition_key for version in ("1.0.0", "2.0.0", "3.0.0"))
    for partition in (on_its_way, unused, newest):
        add_partition(stella.instance, partition)
    result = execute(stella, dry_run=dry_run)
    assert f"2 partitions of releases {'would be ' if dry_run else ''}deleted" in said(stella, result)
    assert list(published(stella.instance)) == ([on_its_way, unused, newest] if dry_run else [on_its_way])
    assert RELEASES.name == "releases"


def test_the_schedule_runs_once_a_day_by_itself(stella: SmallInstallation) -> None:
    schedule = stella.repository().get_schedule_def("retention")
    assert (schedule.cron_schedule, schedule.default_status) == ("41 3 * * *", dg.DefaultScheduleStatus.RUNNING)
    assert schedule.job_name == "retention"
