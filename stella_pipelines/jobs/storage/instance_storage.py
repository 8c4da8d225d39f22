"""Dagster's own tables: created and upgraded once, whoever starts first, and refused when a newer Dagster wrote them.

`python -m stella_pipelines.jobs.storage.instance_storage` does it by hand; `stella up` does it at every start. Two that start at the same moment take
turns: by an advisory lock on PostgreSQL, by a file lock beside SQLite's files.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import dagster as dg
import dagster_postgres.utils
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.storage.event_log import SqlEventLogStorageMetadata
from dagster._core.storage.runs import RunStorageSqlMetadata
from dagster._core.storage.schedules import ScheduleStorageSqlMetadata
from dagster._core.storage.sql import get_alembic_config, stamp_alembic_rev
from tqdm import tqdm  # type: ignore[import-untyped]  # Dagster's; its stubs are no dependency of ours

from stella_pipelines.jobs.storage.postgres_storage import PooledEventLogStorage, PooledRunStorage, PooledScheduleStorage
from stella_pipelines.store.errors import DatabaseNewer, translating
from stella_pipelines.store.limits import MIGRATION_LOCK_TIMEOUT_S
from stella_pipelines.store.postgres import connect_arguments, milliseconds
from stella_pipelines.store.schemas import DAGSTER_SCHEMA, ensure_schema_exists

_ADVISORY_LOCK: Final = 0x57E11B
"""Another one than the store's: each guards tables of its own."""


def prepare_instance() -> None:
    """Create or upgrade the tables of the instance that `DAGSTER_HOME` names. Leaves no connection and no thread behind."""
    with _alone_on_this_machine(Path(os.environ["DAGSTER_HOME"])), dg.DagsterInstance.get() as instance:
        if isinstance(instance.run_storage, PooledRunStorage):
            _prepare_postgres(instance, sa.make_url(instance.run_storage.postgres_url))
        else:
            _prepare_sqlite(instance)


def _prepare_postgres(instance: dg.DagsterInstance, url: sa.URL) -> None:
    where = f"{url.render_as_string(hide_password=True)} (schema {DAGSTER_SCHEMA})"
    # No pool and no statement timeout: an index over a long history takes its time, and the caller may fork afterwards.
    arguments = connect_arguments(url, {"search_path": DAGSTER_SCHEMA}, application="stella-migration")
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT", connect_args=arguments)
    with translating(where), _alone_on_the_server(engine):
        _create_tables(engine)
        _use(instance, engine)
        _upgrade(instance, where)
        _mark_data_migrations(instance)


def _prepare_sqlite(instance: dg.DagsterInstance) -> None:
    # Dagster creates each of its files at first use.
    instance.get_runs(limit=1)
    instance.get_dynamic_partitions("releases")
    instance.all_instigator_state()
    _upgrade(instance, instance.root_directory)


def _create_tables(engine: sa.Engine) -> None:
    """All of them or none, so that whoever is killed here leaves nothing half made. What is there already stays."""
    with engine.connect().execution_options(isolation_level="READ COMMITTED") as connection, connection.begin():
        ensure_schema_exists(connection, DAGSTER_SCHEMA)
        if sa.inspect(connection).has_table("alembic_version", DAGSTER_SCHEMA):
            return
        for part in (RunStorageSqlMetadata, SqlEventLogStorageMetadata, ScheduleStorageSqlMetadata):
            part.create_all(connection)
        stamp_alembic_rev(alembic_config(), connection)


def _upgrade(instance: dg.DagsterInstance, where: str) -> None:
    """Run Dagster's own migrations if the tables are behind the code; refuse tables that are ahead of it."""
    parts = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
    versions = {version for part in parts if part is not None and (version := part.alembic_version()) is not None}
    known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    unknown = {found for found, _ in versions if found is not None and found not in known}
    if unknown:
        raise DatabaseNewer(
            f"Dagster's tables in {where} have the schema {', '.join(sorted(unknown))}, which Dagster {dg.__version__} does not know.",
            next_step="Upgrade this installation to the version that wrote the database, or restore the backup from before that upgrade.",
        )
    if any(found != newest for found, newest in versions):
        instance.upgrade()


def _mark_data_migrations(instance: dg.DagsterInstance) -> None:
    """Carry out, or on new tables only note as done, what Dagster changes in rows. Each step asks first whether it was done."""
    tqdm.monitor_interval = 0  # the progress bars of these steps would leave a thread behind, and the caller may fork
    instance.run_storage.migrate()
    if instance.schedule_storage is not None:
        instance.schedule_storage.migrate()
    instance.reindex()


def _use(instance: dg.DagsterInstance, engine: sa.Engine) -> None:
    for part in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
        if isinstance(part, PooledRunStorage | PooledEventLogStorage | PooledScheduleStorage):
            part.use(engine)


def alembic_config() -> Config:
    return get_alembic_config(dagster_postgres.utils.__file__, "alembic/alembic.ini")


@contextmanager
def _alone_on_this_machine(home: Path) -> Iterator[None]:
    with (home / "storage.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _alone_on_the_server(engine: sa.Engine) -> Iterator[None]:
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SET lock_timeout = {milliseconds(MIGRATION_LOCK_TIMEOUT_S)}")
        connection.execute(sa.select(sa.func.pg_advisory_lock(_ADVISORY_LOCK)))
        yield  # the lock goes with the connection


if __name__ == "__main__":
    prepare_instance()
