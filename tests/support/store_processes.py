"""What other processes do in the store's concurrency tests. Importable, so that a spawned interpreter finds it."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from stella_pipelines.store import leases
from stella_pipelines.store.database import Store

TTL_S = 60.0


def open_and_count_tables(url: str) -> int:
    """Open (and so migrate) the database, and count what is in it."""
    store = Store.open(url)
    with store.reading() as tx:
        count = len(sa.inspect(tx.connection).get_table_names())
    store.close()
    return count


def take_turns(url: str, holder: str, wanted: int, room: Path) -> list[int]:
    """Acquire one lease `wanted` times; while holding it, be alone in `room` (creating the file fails when somebody else is there)."""
    store = Store.open(url)
    tokens: list[int] = []
    while len(tokens) < wanted:
        try:
            with store.writing() as tx:
                lease = leases.acquire(tx, "target/a", holder, datetime.now(UTC), TTL_S)
        except leases.LeaseHeld:
            time.sleep(0.002)
            continue
        os.close(os.open(room / "occupied", os.O_CREAT | os.O_EXCL))
        time.sleep(0.001)
        (room / "occupied").unlink()
        tokens.append(lease.token)
        with store.writing() as tx:
            leases.require(tx, lease, datetime.now(UTC))
            leases.release(tx, lease)
    store.close()
    return tokens
