"""One installation at a time on a PostgreSQL database. Dagster supports one daemon per database, and our supervisor starts one.

The right is a lease in the store that the supervisor renews. Whoever comes second is refused while the first one renews it, and takes over
when it does not. A home on the same machine gets its own lease back at once, after a crash as well: a file lock keeps a home to one supervisor.
SQLite needs none of this: its file lies on one machine, and belongs to one home.
"""

from __future__ import annotations

import logging
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from stella_pipelines.control_plane import open_store
from stella_pipelines.core.clock import Clock, SystemClock
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.settings import Settings
from stella_pipelines.store import leases
from stella_pipelines.store.database import Store
from stella_pipelines.store.schemas import DAGSTER_SCHEMA, ensure_schema_exists
from stella_pipelines.store.tables import leases as lease_rows
from stella_pipelines.supervisor.errors import AlreadyUp

log = logging.getLogger("stella.supervisor")

LEASE: Final = "installation"
TTL_S: Final = 30.0
RENEW_S: Final = 10.0
RETRY_S: Final = 1.0


class Occupancy:
    """The right to run on a database, renewed by a thread for as long as it is held."""

    def __init__(self, store: Store, lease: leases.Lease, clock: Clock, stopping: threading.Event) -> None:
        self._store = store
        self._lease = lease
        self._clock = clock
        self._stopping = stopping
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="occupancy", daemon=True)
        self._lost: AlreadyUp | None = None
        self._thread.start()

    def check(self) -> None:
        """Raise if the right was lost, and the installation stopped for it."""
        if self._lost is not None:
            raise self._lost

    def end(self) -> None:
        """Give the right back. If the database is away, it ends by itself."""
        self._ended.set()
        self._thread.join()
        try:
            with self._store.writing() as tx:
                leases.release(tx, self._lease)
        except StellaError as error:
            log.warning("The right to run on the database was not given back and ends within %.0f s: %s", TTL_S, error)

    def _keep(self) -> None:
        away = False
        while not self._ended.wait(RETRY_S if away else RENEW_S):
            try:
                self._renew()
                away = False
            except leases.LeaseLost:
                self._lost = _taken_over(self._store)
                self._stopping.set()
                return
            except StellaError as error:
                if not away:
                    log.warning("Trying every second to renew the right to run on the database: %s", error)
                away = True

    def _renew(self) -> None:
        with self._store.writing() as tx:
            self._lease = leases.renew(tx, self._lease, self._clock.now(), TTL_S)


@contextmanager
def occupied(settings: Settings, stopping: threading.Event, clock: Clock | None = None) -> Iterator[Occupancy | None]:
    """Open the database, so that what is wrong with it is said before anything starts, and hold the right to run on it."""
    store = open_store(settings, patience_s=0.0)
    try:
        if settings.database_url.startswith("sqlite"):
            yield None
            return
        if not (settings.home / "dagster.yaml").is_file():  # the operator's own may keep Dagster elsewhere
            with store.writing() as tx:
                ensure_schema_exists(tx.connection, DAGSTER_SCHEMA)
        clock = clock or SystemClock()
        occupancy = Occupancy(store, _acquire(store, _holder(settings.home), clock, stopping), clock, stopping)
        try:
            yield occupancy
        finally:
            occupancy.end()
    finally:
        store.close()


def _acquire(store: Store, holder: str, clock: Clock, stopping: threading.Event) -> leases.Lease:
    """Take the lease; wait for one that nobody renews any more, and refuse when somebody does."""
    seen: str | None = None
    while True:
        try:
            with store.writing() as tx:
                return leases.acquire(tx, LEASE, holder, clock.now(), TTL_S)
        except leases.LeaseHeld as held:
            other, until = _holder_now(store)
            if stopping.is_set() or seen not in (None, until):
                raise _refused(other) from held
            if seen is None:
                log.warning("%s holds this database until %s. Waiting to see whether it still runs.", other, until)
            seen = until
        stopping.wait(RETRY_S)


def _refused(other: str) -> AlreadyUp:
    return AlreadyUp(
        f"An installation is already up on this database: {other}.",
        next_step="Stop it first, or use another database.",
    )


def _taken_over(store: Store) -> AlreadyUp:
    try:
        other, _ = _holder_now(store)
    except StellaError:
        other = "an unknown one"
    return AlreadyUp(
        f"Another installation has taken over this database, so this one stops: {other}.",
        unchanged="Runs of this one are ended; what they had recorded is continued by the other.",
        next_step="Let one machine run 'stella up' on a database, and see why this one did not reach the database for so long.",
    )


def _holder_now(store: Store) -> tuple[str, str]:
    with store.reading() as tx:
        row = tx.connection.execute(sa.select(lease_rows.c.holder, lease_rows.c.expires_at).where(lease_rows.c.name == LEASE)).one_or_none()
    return (row.holder or "nobody", row.expires_at) if row is not None else ("nobody", "")


def _holder(home: Path) -> str:
    """This home, told apart from one of the same name in another container."""
    path = home / "installation.id"
    try:
        with path.open("x") as file:
            file.write(secrets.token_hex(4))
    except FileExistsError:
        pass
    return f"{socket.gethostname()}, home {home.resolve()}, id {path.read_text()}"
