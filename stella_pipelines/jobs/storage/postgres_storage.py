"""Dagster's storage on PostgreSQL, in a schema of its own in the store's database, on one small pool per process.

dagster-postgres opens a connection for every statement, and three pools of up to 21 in the web server. Here every instance of a process shares
one pool whose bounds are the store's. A server that is away is waited for before a statement; one that breaks off in the middle of a
statement is an error of that statement, since nobody knows whether it was carried out.
Not here: creating and upgrading the tables (`instance_storage.py`).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any, Final

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.base_storage import DagsterStorage
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage

from stella_pipelines.core.settings import database_url
from stella_pipelines.store import outage
from stella_pipelines.store.limits import IDLE_TRANSACTION_TIMEOUT_S
from stella_pipelines.store.postgres import milliseconds, postgres_engine
from stella_pipelines.store.schemas import DAGSTER_SCHEMA

STATEMENT_TIMEOUT_S: Final = 60.0
"""For every process. The web server's own 15 s is too short for a cold page over a long history, and the daemon's clean-up has none in Dagster."""


def pooled_engine(url: str) -> sa.Engine:
    """This process's engine for a database. A forked child has one of its own: its parent's sockets are not its to use."""
    return _engine_of(url, os.getpid())


@functools.cache
def _engine_of(url: str, _process_id: int) -> sa.Engine:
    session = {
        "search_path": DAGSTER_SCHEMA,
        "statement_timeout": milliseconds(STATEMENT_TIMEOUT_S),
        "idle_in_transaction_session_timeout": milliseconds(IDLE_TRANSACTION_TIMEOUT_S),
    }
    return postgres_engine(sa.make_url(url), "AUTOCOMMIT", session, application="stella-dagster", pool_timeout_s=STATEMENT_TIMEOUT_S)


class _OnThePool:
    """What the three parts have in common: the process's pool in the place of an engine of their own."""

    _engine: sa.Engine

    def use(self, engine: sa.Engine) -> None:
        """Another engine than the process's pool: migrations take longer than a statement may."""
        self._engine = engine

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        """Dagster's web server calls this to get a pool. There is one already, with bounds that the sizing counts on."""


class PooledRunStorage(_OnThePool, PostgresRunStorage):
    """Runs, tags, snapshots, heartbeats."""

    def __init__(self, url: str) -> None:
        super().__init__(url, should_autocreate_tables=False)
        self.use(pooled_engine(url))

    def connect(self) -> sa.Connection:
        return outage.connect(self._engine)


class PooledEventLogStorage(_OnThePool, PostgresEventLogStorage):
    """Events, assets, partitions."""

    def __init__(self, url: str) -> None:
        super().__init__(url, should_autocreate_tables=False)
        self.use(pooled_engine(url))

    def _connect(self) -> sa.Connection:
        return outage.connect(self._engine)


class PooledScheduleStorage(_OnThePool, PostgresScheduleStorage):
    """Sensors and their ticks."""

    def __init__(self, url: str) -> None:
        super().__init__(url, should_autocreate_tables=False)
        self.use(pooled_engine(url))

    def connect(self, run_id: str | None = None) -> sa.Connection:
        del run_id  # PostgreSQL keeps all runs in the same tables
        return outage.connect(self._engine)


class PooledPostgresStorage(DagsterStorage[dg.DagsterInstance], ConfigurableClass):
    """The `storage` of `dagster.yaml`. Its URL comes from the environment, so that no password stands in a file."""

    def __init__(self, url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Dagster's own has no annotations
        self.url = database_url(url)
        self._inst_data = inst_data
        self._runs = PooledRunStorage(self.url)
        self._events = PooledEventLogStorage(self.url)
        self._schedules = PooledScheduleStorage(self.url)

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {"database_url": dg.StringSource}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> PooledPostgresStorage:
        return cls(config_value["database_url"], inst_data)

    @property
    def run_storage(self) -> PooledRunStorage:
        return self._runs

    @property
    def event_log_storage(self) -> PooledEventLogStorage:
        return self._events

    @property
    def schedule_storage(self) -> PooledScheduleStorage:
        return self._schedules
