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
POOL_CONNECTIONS: Final = 5
"""PostgreSQL connections that one process keeps."""
POOL_OVERFLOW_CONNECTIONS: Final = 10
"""PostgreSQL connections that one process opens on top when it is busy."""
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
