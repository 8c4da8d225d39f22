"""Dagster's SQLite storage with connections that stay open: the same files and tables, a tenth of the time per event.

Dagster opens a database, and makes an engine for it, at every statement, and looks through all of its migrations at every start. A run of ours
writes about seventy events, and a person waits for it. Here an engine is made once per file, the schema is checked once per process and its
forks, and a run's own database begins as a copy of an empty one.
Not here: tables and queries, which are Dagster's, and PostgreSQL.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import create_db_conn_string
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData

BUSY_TIMEOUT_S: Final = 30.0
FILES_OPEN_MAX: Final = 16
"""Databases that one process keeps open; a web server that shows many runs opens the others anew."""
CONNECTIONS_KEPT: Final = 2
_CHECKED: Final[set[str]] = set()
"""Folders whose schema this process, or the one that it was forked from, has looked at."""


def _engine(url: str, *, synchronous: str = "FULL") -> sa.Engine:
    engine = sa.create_engine(url, pool_size=CONNECTIONS_KEPT, max_overflow=-1, connect_args={"timeout": BUSY_TIMEOUT_S})

    def prepare(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA synchronous={synchronous}")

    sa.event.listen(engine, "connect", prepare)
    return engine


class _OneFile:
    """A storage in one file, whose engine is made at its first use."""

    _conn_string: str
    _kept: sa.Engine | None = None

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """A transaction on a connection that was open already."""
        if self._kept is None:
            self._kept = _engine(self._conn_string)
        with self._kept.begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Close the connections."""
        if self._kept is not None:
            self._kept.dispose()
            self._kept = None


class WarmRunStorage(_OneFile, SqliteRunStorage):
    """Runs and their tags. A run that was submitted survives a power cut, as the row that wanted it does."""


class WarmScheduleStorage(_OneFile, SqliteScheduleStorage):
    """The sensors' ticks and cursors."""


class WarmEventLogStorage(SqliteEventLogStorage):
    """The events: one file per run, and an index with those of assets and of runs' states.

    Only the index waits for the disk at every event. A power cut may cost the last events of a run that it killed anyway.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._kept: OrderedDict[str, sa.Engine] = OrderedDict()
        super().__init__(base_dir, inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with self._db_lock, self._engine_of(shard).begin() as connection:
            yield connection

    def _engine_of(self, shard: str) -> sa.Engine:
        known = self._kept.get(shard)
        if known is None:
            self._begin_file(shard)
            known = self._kept[shard] = _engine(self.conn_string_for_shard(shard), synchronous="FULL" if shard == INDEX_SHARD_NAME else "NORMAL")
        self._kept.move_to_end(shard)
        self._close_oldest()
        return known

    def _close_oldest(self) -> None:
        while len(self._kept) > FILES_OPEN_MAX:
            _, oldest = self._kept.popitem(last=False)
            oldest.dispose()

    def _begin_file(self, shard: str) -> None:
        """A run's first event finds an empty database, made whole at one stroke, so that nobody meets a half-made one."""
        path = Path(self.path_for_shard(shard))
        if path.exists():
            return
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-") as copy:
            shutil.copyfile(self._empty(), copy.name)
            with suppress(FileExistsError):  # another process was quicker
                os.link(copy.name, path)

    def _empty(self) -> Path:
        """An empty database of this version of Dagster, made once."""
        empty = Path(self._base_dir).parent / f"empty-{dg.__version__}.db"
        if not empty.exists():
            with tempfile.TemporaryDirectory(dir=empty.parent, prefix=".new-") as folder:
                made = Path(folder) / empty.name
                engine = _engine(f"sqlite:///{made}")
                self._initdb(engine)
                engine.dispose()  # the last one to close a database moves its log into it
                made.replace(empty)
        return empty

    def delete_events(self, run_id: str) -> None:
        """Delete a run's events, and the file that held them."""
        super().delete_events(run_id)
        with self._db_lock:
            engine = self._kept.pop(run_id, None)
            if engine is not None:
                engine.dispose()
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path_for_shard(run_id)}{suffix}").unlink(missing_ok=True)

    def dispose(self) -> None:
        """Close the connections."""
        super().dispose()
        for engine in self._kept.values():
            engine.dispose()
        self._kept.clear()


class WarmSqliteStorage(DagsterSqliteStorage):
    """All three below one folder, where `DagsterSqliteStorage` has them too: either finds what the other wrote."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        DagsterStorage.__init__(self)  # type: ignore[no-untyped-call, arg-type]  # not the parent's, which makes the three that are replaced here
        self.base_dir = base_dir
        self._inst_data = inst_data
        runs, events, schedules = (os.path.join(base_dir, *parts) for parts in (("history",), ("history", "runs"), ("schedules",)))
        if base_dir in _CHECKED:
            self._run_storage = WarmRunStorage(create_db_conn_string(runs, "runs"))
            self._schedule_storage = WarmScheduleStorage(create_db_conn_string(schedules, "schedules"))
        else:
            self._run_storage = WarmRunStorage.from_local(runs)
            self._schedule_storage = WarmScheduleStorage.from_local(schedules)
            _CHECKED.add(base_dir)
        self._event_log_storage = WarmEventLogStorage(events)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Dagster's way of making what `dagster.yaml` names."""
        return cls(inst_data=inst_data, **config_value)
