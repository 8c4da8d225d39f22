"""How a pool of PostgreSQL connections is made: its bounds, its timeouts, and the settings of its sessions. The store has one, Dagster's storage another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import sqlalchemy as sa

from stella_pipelines.store import limits
from stella_pipelines.store.idle import IdleConnections

IsolationLevel = Literal["READ COMMITTED", "AUTOCOMMIT"]


def store_session() -> dict[str, str]:
    """The settings of the store's own sessions, as PostgreSQL writes them."""
    return {
        "statement_timeout": milliseconds(limits.STATEMENT_TIMEOUT_S),
        "lock_timeout": milliseconds(limits.BUSY_TIMEOUT_S),
        "idle_in_transaction_session_timeout": milliseconds(limits.IDLE_TRANSACTION_TIMEOUT_S),
    }


def postgres_engine(
    url: sa.URL,
    isolation_level: IsolationLevel,
    session: Mapping[str, str],
    application: str = "stella",
    pool_timeout_s: float = limits.POOL_TIMEOUT_S,
) -> sa.Engine:
    """A bounded pool whose connections are checked before every use and closed when idle. What the URL says goes before what we say.

    The check is one round trip. Without it, whoever comes first after a restart of the server would get the broken connection.
    """
    engine = sa.create_engine(
        url,
        isolation_level=isolation_level,
        pool_pre_ping=True,
        pool_size=limits.POOL_CONNECTIONS,
        max_overflow=limits.POOL_OVERFLOW_CONNECTIONS,
        pool_timeout=pool_timeout_s,
        pool_recycle=int(limits.POOL_RECYCLE_S),
        connect_args=connect_arguments(url, session, application),
    )
    IdleConnections(engine, limits.IDLE_CONNECTION_S)
    return engine


def connect_arguments(url: sa.URL, session: Mapping[str, str], application: str) -> dict[str, Any]:
    """What the driver gets besides the URL; the URL's own parameters, `options` among them, are kept."""
    ours = {
        "connect_timeout": int(limits.CONNECT_TIMEOUT_S),
        "tcp_user_timeout": int(limits.UNACKNOWLEDGED_TIMEOUT_S * 1000),
        "application_name": application,
    }
    options = [*_texts(url.query.get("options")), *(f"-c {name}={value}" for name, value in session.items())]
    return {**{name: value for name, value in ours.items() if name not in url.query}, "options": " ".join(options)}


def _texts(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value or ()


def milliseconds(seconds: float) -> str:
    """A time limit as PostgreSQL takes it."""
    return str(int(seconds * 1000))
