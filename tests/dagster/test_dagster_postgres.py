"""Dagster's storage on a real PostgreSQL server: where its tables are, who makes them, and how many connections its work costs."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.sql import stamp_alembic_rev
from dagster._serdes import serialize_value

from assets.keys import release_key
from assets.publishing import publish_release
from stella_pipelines.jobs.storage import instance_storage
from stella_pipelines.jobs.storage.postgres_storage import PooledRunStorage, pooled_engine
from stella_pipelines.jobs.submission import submit_pending
from stella_pipelines.store import limits
from stella_pipelines.store.database import Store
from stella_pipelines.store.schemas import DAGSTER_SCHEMA
from tests.support.dagster_postgres import ROOT, preparing
from tests.support.databases import Databases
from tests.support.installation import SmallInstallation, add_release, fast_home, shop_estate, small_installation

pytestmark = pytest.mark.postgres
EVENTS = 60
LAST_WORDS = """
import json, os, threading
from stella_pipelines.jobs.storage.instance_storage import prepare_instance
prepare_instance()
sockets = [fd for fd in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{fd}") and "socket:" in os.readlink(f"/proc/self/fd/{fd}")]
print(json.dumps({"threads": len(os.listdir("/proc/self/task")), "sockets": len(sockets)}))
"""


@pytest.fixture
def url(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database with our tables and Dagster's, also in the environment."""
    with databases.fresh("postgres", with_dagster=True) as found:
        monkeypatch.setenv("STELLA_DATABASE_URL", found)
        yield found


@pytest.fixture
def empty_url(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with databases.fresh("postgres", migrated=False) as found:
        monkeypatch.setenv("STELLA_DATABASE_URL", found)
        yield found


@pytest.fixture
def stella(url: str) -> Iterator[SmallInstallation]:
    with fast_home() as home, small_installation(home, database_url=url) as installation:
        installation.apply(shop_estate())
        yield installation


@contextmanager
def connections_opened() -> Iterator[list[object]]:
    """Every connection that any pool of this process opens in the block."""
    opened: list[object] = []

    def note(connection: object, _record: object) -> None:
        opened.append(connection)

    sa.event.listen(sa.pool.Pool, "connect", note)
    try:
        yield opened
    finally:
        sa.event.remove(sa.pool.Pool, "connect", note)


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        done = connection.execute(sa.text(statement))
        return [tuple(row) for row in done] if done.returns_rows else []


def tables(url: str) -> dict[str, set[str]]:
    rows = query(url, "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')")
    return {schema: {str(name) for where, name in rows if where == schema} for schema in {str(where) for where, _ in rows}}


def prepare_here(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, environ = preparing(url, folder)
    monkeypatch.setenv("DAGSTER_HOME", environ["DAGSTER_HOME"])
    instance_storage.prepare_instance()


# ------------------------------------------------------------------ one database for both


def test_both_live_in_one_database_and_no_name_collides(url: str) -> None:
    found = tables(url)
    assert found.keys() == {"public", DAGSTER_SCHEMA}
    assert {"outbox", "leases", "stella_alembic_version"} <= found["public"]
    assert {"runs", "event_logs", "instigators", "alembic_version"} <= found[DAGSTER_SCHEMA]
    assert query(url, f"SELECT count(*) FROM {DAGSTER_SCHEMA}.alembic_version") == [(1,)]


def test_rows_become_runs_and_releases_are_shown_once(stella: SmallInstallation) -> None:
    stella.request()
    (run_id,) = submit_pending(stella.plane, stella.submitter())
    assert submit_pending(stella.plane, stella.submitter()) == []
    assert [run.run_id for run in stella.runs()] == [run_id]

    record = add_release(stella.plane)
    assert [publish_release(stella.instance, record) for _ in range(3)] == [2, 0, 0]
    assert len(stella.instance.fetch_materializations(release_key("shop"), limit=10).records) == 1


def test_what_the_url_asks_for_reaches_both(url: str) -> None:
    asked = f"{url}&sslmode=disable&options=-c%20work_mem%3D8MB&application_name=shop"
    store = Store.open(asked)
    with store.reading() as ours, pooled_engine(asked).connect() as theirs:
        for connection, path in ((ours.connection, '"$user", public'), (theirs, DAGSTER_SCHEMA)):
            settings = [connection.execute(sa.text(f"SHOW {name}")).scalar() for name in ("work_mem", "application_name", "search_path")]
            assert settings == ["8MB", "shop", path]
            raw = connection.connection.driver_connection
            assert raw is not None
            assert raw.info.dsn_parameters["sslmode"] == "disable"
    store.close()


def test_no_file_and_no_reference_of_an_instance_holds_the_password(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_password = url.replace("postgres@", "postgres:hunter2@")
    monkeypatch.setenv("STELLA_DATABASE_URL", with_password)
    with fast_home() as home, small_installation(home, database_url=with_password) as stella:
        stella.instance.report_runless_asset_event(dg.AssetMaterialization("a"))
        shown = stella.instance.info_str() + serialize_value(stella.instance.get_ref()) + repr(stella.plane.settings)
        assert "database_url" in serialize_value(stella.instance.get_ref())
        assert "hunter2" not in shown
        written = [path for path in home.rglob("*") if path.is_file()]
        assert written
        assert [path for path in written if b"hunter2" in path.read_bytes()] == []


# ------------------------------------------------------------------ connections


def test_a_run_opens_a_handful_of_connections_and_not_one_per_event(stella: SmallInstallation) -> None:
    @dg.op
    def talk(context: dg.OpExecutionContext) -> None:
        for number in range(EVENTS):
            context.log_event(dg.AssetMaterialization("talk", partition=str(number)))

    @dg.job
    def talking() -> None:
        talk()

    stella.instance.dispose()
    pooled_engine(stella.plane.settings.database_url).dispose()
    with connections_opened() as opened:
        assert talking.execute_in_process(instance=stella.instance).success
    assert len(stella.instance.fetch_materializations(dg.AssetKey("talk"), limit=EVENTS + 1).records) == EVENTS
    assert 1 <= len(opened) <= 3


def test_two_instances_of_a_process_share_its_pool(stella: SmallInstallation) -> None:
    with connections_opened() as opened:
        for _ in range(10):
            with dg.DagsterInstance.from_ref(stella.instance.get_ref()) as other:
                assert other.get_runs_count() == 0
    assert len(opened) <= 1


def test_a_crowd_of_threads_stays_within_the_bound(stella: SmallInstallation) -> None:
    stella.instance.optimize_for_webserver(statement_timeout=15_000, pool_recycle=3_600, max_overflow=20)  # as the web server does
    runs = stella.instance.run_storage
    assert isinstance(runs, PooledRunStorage)
    start, counted = threading.Barrier(20), []

    def ask() -> None:
        start.wait()
        with runs.connect() as connection:
            connection.execute(sa.text("SELECT pg_sleep(0.05)"))
            asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'stella-dagster'"
            counted.append(connection.execute(sa.text(asked)).scalar_one())

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted) == 20
    assert 1 < max(counted) <= limits.POOL_CONNECTIONS + limits.POOL_OVERFLOW_CONNECTIONS


def test_a_forked_child_opens_connections_of_its_own(stella: SmallInstallation) -> None:
    ref, before = stella.instance.get_ref(), stella.instance.get_runs_count()
    child = os.fork()
    if child == 0:  # the child must not return into pytest, whatever happens
        code = 1
        try:
            with dg.DagsterInstance.from_ref(ref) as inherited:
                inherited.report_runless_asset_event(dg.AssetMaterialization("from_the_child"))
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert stella.instance.get_runs_count() == before
    assert stella.instance.get_latest_materialization_event(dg.AssetKey("from_the_child")) is not None


# ------------------------------------------------------------------ making and upgrading the tables


def test_two_that_start_at_the_same_moment_on_an_empty_database_make_the_tables_once(empty_url: str, tmp_path: Path) -> None:
    started = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        command, environ = preparing(empty_url, tmp_path / name)
        started.append(subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
    said = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert query(empty_url, f"SELECT count(*) FROM {DAGSTER_SCHEMA}.alembic_version") == [(1,)]
    steps = query(empty_url, f"SELECT count(*), count(DISTINCT name) FROM {DAGSTER_SCHEMA}.secondary_indexes")
    assert steps[0][0] == steps[0][1] > 5


def test_whoever_prepares_leaves_nothing_that_a_fork_would_copy(empty_url: str, tmp_path: Path) -> None:
    _, environ = preparing(empty_url, tmp_path)
    said = subprocess.run([sys.executable, "-c", LAST_WORDS], env=environ, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert json.loads(said) == {"threads": 1, "sockets": 0}


def test_preparing_again_changes_nothing(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dg.DagsterInstance, "upgrade", lambda _: pytest.fail("there was nothing to upgrade"))
    before = tables(url)
    prepare_here(tmp_path, url, monkeypatch)
    assert tables(url) == before


def test_tables_of_an_older_dagster_are_upgraded(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = query(url, f"SELECT version_num FROM {DAGSTER_SCHEMA}.alembic_version")
    engine = pooled_engine(url)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {DAGSTER_SCHEMA}.concurrency_limits DROP COLUMN using_default_limit")
        stamp_alembic_rev(instance_storage.alembic_config(), connection, "6b7fb194ff9c")
    assert query(url, f"SELECT version_num FROM {DAGSTER_SCHEMA}.alembic_version") != newest
    prepare_here(tmp_path, url, monkeypatch)
    assert query(url, f"SELECT version_num FROM {DAGSTER_SCHEMA}.alembic_version") == newest
    assert query(url, f"SELECT using_default_limit FROM {DAGSTER_SCHEMA}.concurrency_limits") == []


def test_whoever_dies_half_way_leaves_nothing_half_made(empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as dying:
        dying.setattr(instance_storage, "stamp_alembic_rev", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare_here(tmp_path, empty_url, dying)
    assert tables(empty_url) == {}
    prepare_here(tmp_path, empty_url, monkeypatch)
    assert "event_logs" in tables(empty_url)[DAGSTER_SCHEMA]
