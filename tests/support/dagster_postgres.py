"""Dagster's own storage on the tests' PostgreSQL server, through the variables of `deploy/dagster.postgres.yaml`."""

from __future__ import annotations

import pytest
import sqlalchemy as sa


def point_dagster_at(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the five variables for a database of this server."""
    url = sa.make_url(database_url)
    # The tests' server listens on a socket only: without a host in the URL, the driver takes the socket's folder from PGHOST.
    monkeypatch.setenv("PGHOST", str(url.query["host"]))
    parts = {"HOST": "", "PORT": "5432", "USER": url.username, "PASSWORD": "none", "DATABASE": url.database}
    for name, part in parts.items():
        monkeypatch.setenv(f"DAGSTER_PG_{name}", str(part))
