"""Dagster's SQLite storage with connections that stay open: the same files as Dagster's own, and nothing done once per event that is done once."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from stella_pipelines.jobs.storage.sqlite_storage import FILES_OPEN_MAX, WarmEventLogStorage
from stella_pipelines.supervisor.configuration import COMPUTE_LOGS, SQLITE_STORAGE

ROOT = Path(__file__).parents[2]
LINES = 50


@dg.op
def talkative(context: dg.OpExecutionContext) -> None:
    for number in range(LINES):
        context.log.info(f"line {number}")


@dg.op(out=dg.Out(io_manager_key="memory"))
def shown(context: dg.OpExecutionContext) -> Iterator[dg.AssetMaterialization | dg.Output[int]]:
    yield dg.AssetMaterialization("thing", partition="one")
    yield dg.Output(1)


@dg.job(executor_def=dg.in_process_executor, resource_defs={"memory": dg.mem_io_manager})
def chatter() -> None:
    talkative()
    shown()


@contextmanager
def instance_in(folder: Path, *, warm: bool) -> Iterator[dg.DagsterInstance]:
    folder.mkdir(exist_ok=True)
    blocks = SQLITE_STORAGE.format(folder=folder) if warm else ""
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n" + blocks)
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(folder))) as instance:
        yield instance


def ran(instance: dg.DagsterInstance) -> str:
    done = chatter.execute_in_process(instance=instance)
    assert done.success
    return done.run_id


def said(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    return [entry.user_message for entry in instance.all_logs(run_id) if entry.user_message.startswith("line")]


@pytest.mark.parametrize("writer_is_warm", [True, False])
def test_either_storage_reads_what_the_other_wrote(tmp_path: Path, writer_is_warm: bool) -> None:
    with instance_in(tmp_path / "home", warm=writer_is_warm) as writer:
        run_id = ran(writer)
    with instance_in(tmp_path / "home", warm=not writer_is_warm) as reader:
        run = reader.get_run_by_id(run_id)
        assert run is not None
        assert run.status is dg.DagsterRunStatus.SUCCESS
        assert said(reader, run_id) == [f"line {number}" for number in range(LINES)]
        assert reader.get_materialized_partitions(dg.AssetKey("thing")) == {"one"}
        assert said(reader, ran(reader)) == said(reader, run_id)


def test_a_run_opens_a_few_connections_and_not_one_per_event(tmp_path: Path) -> None:
    opened: list[object] = []
    with instance_in(tmp_path / "home", warm=True) as instance:
        ran(instance)
        sa.event.listen(sa.pool.Pool, "connect", lambda *_: opened.append(1))
        run_id = ran(instance)
        assert len(instance.all_logs(run_id)) > LINES
    assert len(opened) <= 3, "the new run's own file, and what two threads may need at once"


def test_a_second_instance_of_the_same_process_does_not_look_through_the_migrations_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with instance_in(tmp_path / "home", warm=True) as instance:
        ran(instance)
    looked: list[object] = []
    monkeypatch.setattr("dagster._core.storage.runs.sqlite.sqlite_run_storage.check_alembic_revision", lambda *_: looked.append(1))
    monkeypatch.setattr("dagster._core.storage.schedules.sqlite.sqlite_schedule_storage.check_alembic_revision", lambda *_: looked.append(1))
    with instance_in(tmp_path / "home", warm=True) as instance:
        ran(instance)
    assert looked == []


def test_the_files_that_stay_open_are_bounded(tmp_path: Path) -> None:
    storage = WarmEventLogStorage(str(tmp_path / "history" / "runs"))
    for number in range(FILES_OPEN_MAX * 2):
        with storage.run_connection(f"run-{number}") as connection:
            assert connection.execute(sa.text("SELECT count(*) FROM event_logs")).scalar() == 0
    assert len(storage._kept) == FILES_OPEN_MAX
    storage.dispose()
    assert storage._kept == {}


def test_many_who_begin_the_same_run_at_once_find_one_whole_file(tmp_path: Path) -> None:
    storages = [WarmEventLogStorage(str(tmp_path / "history" / "runs")) for _ in range(6)]
    found: list[object] = []
    together = threading.Barrier(len(storages))

    def begin(storage: WarmEventLogStorage) -> None:
        together.wait()
        for number in range(5):
            with storage.run_connection(f"run-{number}") as connection:
                found.append(connection.execute(sa.text("SELECT count(*) FROM event_logs")).scalar())

    threads = [threading.Thread(target=begin, args=[storage]) for storage in storages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [0] * 30
    runs = tmp_path / "history" / "runs"
    assert sorted(storages[0].get_all_run_ids()) == [f"run-{number}" for number in range(5)]
    assert [path.name for path in runs.iterdir() if path.name.startswith(".new-")] == []
    for storage in storages:
        storage.dispose()


def test_whoever_dies_while_the_empty_file_is_made_leaves_nothing_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = WarmEventLogStorage(str(tmp_path / "history" / "runs"))
    with monkeypatch.context() as dying:
        dying.setattr(SqliteEventLogStorage, "_initdb", _die)
        with pytest.raises(Died), storage.run_connection("run"):
            pytest.fail("there was a file")
    with storage.run_connection("run") as connection:
        assert sa.inspect(connection).has_table("event_logs")
    storage.dispose()


def test_a_deleted_run_leaves_no_file(tmp_path: Path) -> None:
    with instance_in(tmp_path / "home", warm=True) as instance:
        run_id = ran(instance)
        file = tmp_path / "home" / "history" / "runs" / f"{run_id}.db"
        assert file.exists()
        instance.delete_run(run_id)
        assert not file.exists()
        assert instance.get_run_by_id(run_id) is None
        assert instance.all_logs(run_id) == []


def test_what_a_step_prints_is_in_the_files_that_the_ui_shows_and_no_process_copies_it(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PRINTING, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout) == {"stdout": "hello from the step\n", "stderr_has": True, "complete": True, "children": 0}


PRINTING = f"""
import json, subprocess, sys
from pathlib import Path
import dagster as dg
from dagster._core.instance.ref import InstanceRef

children = []

@dg.op
def loud():
    print("hello from the step")
    print("a complaint", file=sys.stderr)
    children.extend(Path("/proc/self/task").glob("*/children"))
    children[:] = [pid for task in children for pid in task.read_text().split()]

@dg.job(executor_def=dg.in_process_executor)
def job():
    loud()

folder = Path(sys.argv[1])
(folder / "dagster.yaml").write_text("telemetry: {{enabled: false}}\\n" + {COMPUTE_LOGS!r}.format(folder=folder))
with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(folder))) as instance:
    run = job.execute_in_process(instance=instance)
    (captured,) = [e for e in run.all_events if e.event_type_value == "LOGS_CAPTURED"]
    key = [run.run_id, "compute_logs", captured.event_specific_data.file_key]
    found = instance.compute_log_manager.get_log_data(key)
    print(json.dumps({{
        "stdout": found.stdout.decode(), "stderr_has": b"a complaint" in found.stderr,
        "complete": instance.compute_log_manager.is_capture_complete(key), "children": len(children),
    }}))
"""


class Died(Exception):
    """The process ended here."""


def _die(*_: object, **__: object) -> None:
    raise Died
