"""Schemas of PostgreSQL inside the store's database, for guests that keep their tables apart from ours."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

DAGSTER_SCHEMA: Final = "dagster"
"""Where Dagster's tables live: no name collides with ours, and one dump of the database is one consistent backup of both."""
_ADVISORY_LOCK: Final = 0x57E11C


def ensure_schema_exists(connection: sa.Connection, name: str) -> None:
    """Create it unless it is there, inside the caller's transaction.

    Asked first, because PostgreSQL wants the right to create schemas even for one that exists; under a lock, because two that create it at the
    same moment collide in spite of IF NOT EXISTS.
    """
    if sa.inspect(connection).has_schema(name):
        return
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    connection.execute(sa.schema.CreateSchema(name, if_not_exists=True))
