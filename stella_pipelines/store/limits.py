"""The limits of talking to a database, with their units and reasons."""

from __future__ import annotations

from typing import Final

BUSY_TIMEOUT_S: Final = 10.0
"""How long a writer waits for another one (SQLite's busy handler, PostgreSQL's lock timeout) before SYS_DATABASE_BUSY."""
STATEMENT_TIMEOUT_S: Final = 30.0
"""The longest single statement; every query of the product is bounded and indexed, so a longer one is a fault."""
CONNECT_TIMEOUT_S: Final = 5.0
"""Opening a connection to PostgreSQL."""
UNACKNOWLEDGED_TIMEOUT_S: Final = 15.0
"""How long sent bytes may stay unacknowledged before a silent network counts as gone."""
IDLE_TRANSACTION_TIMEOUT_S: Final = 60.0
"""PostgreSQL ends a transaction of ours that does nothing for so long: a stopped process must not hold locks for ever."""
MIGRATION_LOCK_TIMEOUT_S: Final = 120.0
"""How long a starting process waits for another one that is migrating."""
POOL_CONNECTIONS: Final = 3
"""PostgreSQL connections of one pool that may stay open between uses."""
POOL_OVERFLOW_CONNECTIONS: Final = 5
"""PostgreSQL connections that one pool opens on top when it is busy. A process has at most two pools: the store's and Dagster's."""
IDLE_CONNECTION_S: Final = 3.0
"""Connections that nobody used for so long are closed: a run that waits for its targets shall hold none."""
OUTAGE_PATIENCE_S: Final = 60.0
"""How long whoever had a database before waits for it to come back; a restart takes seconds, a fail-over up to a minute."""
OUTAGE_POLL_S: Final = 0.5
"""How often a database that is away is tried again."""
POSTGRES_VERSION_MIN: Final = 14
"""The oldest PostgreSQL that is accepted."""
POOL_TIMEOUT_S: Final = 10.0
"""How long a thread waits for a free connection of the pool."""
POOL_RECYCLE_S: Final = 1800.0
"""Age at which a pooled connection is replaced; below the idle limits of common proxies."""
LEASE_TTL_S_MAX: Final = 60.0
"""The longest that anybody may take a lease for, so that a lease which ends later than this from now was taken by a clock that was ahead."""
LEASE_CLOCK_TOLERANCE_S: Final = 120.0
"""How far two machines' clocks may differ before one of them takes the other's lease for one that a wrong clock left behind."""
BLOB_BYTES_MAX: Final = 64 * 1024 * 1024
"""One content-addressed blob; the largest are vulnerability reports."""
SQLITE_CONNECTIONS_KEPT: Final = 2
"""Open files per process; more threads than that open and close their own."""
