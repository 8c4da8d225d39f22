"""What can go wrong with a database, and the one place where a library's error becomes one of ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from stella_pipelines.core.errors import StellaError
from stella_pipelines.store.refusals import Refusal, refusal_in

UNKNOWN_OUTCOME = "The connection broke during the commit: it is unknown whether this last transaction was saved."


class DatabaseBusy(StellaError):
    """Another transaction held what this one needed for longer than the time limit."""

    code = "SYS_DATABASE_BUSY"
    retryable = True


class DatabaseUnreachable(StellaError):
    """The database cannot be opened, or the connection broke, or its disk is full."""

    code = "SYS_DATABASE_UNREACHABLE"
    retryable = True


class DatabaseNewer(StellaError):
    """The database was written by a newer version of the product; this one does not know how to read it."""

    code = "SYS_DATABASE_NEWER"


class DatabaseOfADraft(StellaError):
    """The database was written before the first release, in a form that no version reads any more."""

    code = "SYS_DATABASE_DRAFT"


class DatabaseOlder(StellaError):
    """The database has not been migrated yet, and the caller asked not to migrate it."""

    code = "SYS_DATABASE_OLDER"


class DatabaseDamaged(StellaError):
    """The file is not a database, or its pages are damaged."""

    code = "SYS_DATABASE_DAMAGED"


class DatabaseRefused(StellaError):
    """PostgreSQL does not let this user in: a wrong password, no such user, or no line for it in pg_hba.conf."""

    code = "SYS_DATABASE_REFUSED"


class DatabaseUrlUnusable(StellaError):
    """A parameter of the database's URL is unknown, or what it asks for cannot be had, such as a root certificate that is not there."""

    code = "SYS_DATABASE_URL_UNUSABLE"


class DatabaseMissing(StellaError):
    """The server runs, and the database that the URL names does not exist there."""

    code = "SYS_DATABASE_MISSING"


class DatabaseForbidden(StellaError):
    """The database's user may not do what is needed, such as create tables."""

    code = "SYS_DATABASE_FORBIDDEN"


class DatabaseTooOld(StellaError):
    """The server is a version of PostgreSQL that is older than the oldest one that is supported."""

    code = "SYS_DATABASE_TOO_OLD"


class Conflict(StellaError):
    """Somebody else changed the same row in the meantime (compare-and-swap, or a unique key taken by another transaction)."""

    code = "SYS_CONFLICT"
    retryable = True


_BUSY_NEXT = "Try again in a moment; if it lasts, look for a process that holds a transaction open."
_WORDS: dict[type[StellaError], tuple[str, str]] = {
    DatabaseBusy: ("{where} is in use by another transaction: {reason}.", _BUSY_NEXT),
    DatabaseUnreachable: ("{where} cannot be used: {reason}.", "Check that it runs and has free space, and try again."),
    DatabaseRefused: ("{where} does not let this user in: {reason}.", "Check the user and the password of the URL, and the server's pg_hba.conf."),
    DatabaseUrlUnusable: ("{where} cannot be reached as its URL asks: {reason}.", "Correct the URL's parameters (sslmode, sslrootcert, host, options …)."),
    DatabaseMissing: ("{where} does not exist: {reason}.", "Create it ('createdb NAME' as an administrator), or correct the URL."),
    DatabaseForbidden: (
        "The user of {where} may not do what is needed: {reason}.",
        "Make the user the owner of the database (ALTER DATABASE … OWNER TO …); where another role owns it, migrate with STELLA_DATABASE_OWNER_URL.",
    ),
    DatabaseDamaged: ("{where} cannot be read: {reason}.", "Check the path, or restore the database from a backup."),
    Conflict: ("Another transaction has just written the same thing to {where}.", "Read it again, and repeat the call if it is still wanted."),
}
_POSTGRES_BUSY = frozenset({"40001", "40P01", "55P03", "57014", "53300"})  # serialization, deadlock, lock, statement timeout, connections
_POSTGRES_GONE = ("08", "57P", "53", "58", "25P03")  # connection, shutdown, resources (disk full), system, idle transaction ended
_POSTGRES_BY_CODE: dict[str | None, type[StellaError]] = {"23505": Conflict, "42501": DatabaseForbidden}
_REFUSALS: dict[Refusal, type[StellaError]] = {
    "credentials": DatabaseRefused,
    "database": DatabaseMissing,
    "privilege": DatabaseForbidden,
    "parameters": DatabaseUrlUnusable,
}
_SQLITE_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SQLITE_GONE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})
_SQLITE_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_SQLITE_UNIQUE = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY})


def translated(error: sa.exc.SQLAlchemyError | sqlite3.Error, where: str, *, committing: bool = False) -> StellaError | None:
    """Our error for a library error, or None for one that is a mistake in the code and must surface as it is.

    `where` names the database without its password. The library's text is shortened to its first line; it names no values.
    """
    if isinstance(error, sa.exc.TimeoutError):
        return DatabaseBusy(f"No connection to {where} became free in time.", next_step=_BUSY_NEXT)
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    kind = _sqlite_kind(cause) if isinstance(cause, sqlite3.Error) else _postgres_kind(error)
    if kind is None:
        return None
    reason = (str(cause).splitlines() or ["no reason given"])[0][:300]
    what, next_step = _WORDS[kind]
    unchanged = UNKNOWN_OUTCOME if committing and kind is DatabaseUnreachable else "Nothing was changed."
    return kind(what.format(where=where, reason=reason), unchanged=unchanged, next_step=next_step)


@contextmanager
def translating(where: str) -> Iterator[None]:
    """Whatever the library raises in the block leaves it as one of ours, if it is one."""
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        ours = translated(error, where)
        if ours is None:
            raise
        raise ours from error


def _sqlite_kind(error: sqlite3.Error) -> type[StellaError] | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    if code in _SQLITE_UNIQUE:
        return Conflict
    primary = code & 0xFF  # the extended codes carry the primary one in their low byte
    if primary in _SQLITE_BUSY:
        return DatabaseBusy
    if primary in _SQLITE_GONE:
        return DatabaseUnreachable
    return DatabaseDamaged if primary in _SQLITE_DAMAGED else None


def _postgres_kind(error: Exception) -> type[StellaError] | None:
    if not isinstance(error, sa.exc.DBAPIError):
        return None
    code = getattr(error.orig, "pgcode", None)
    if code in _POSTGRES_BY_CODE:
        return _POSTGRES_BY_CODE[code]
    if code in _POSTGRES_BUSY:
        return DatabaseBusy
    if code is None:  # libpq spoke, not the server: no connection, or one that broke
        return _kind_of_no_connection(error)
    return DatabaseUnreachable if code.startswith(_POSTGRES_GONE) else None


def _kind_of_no_connection(error: sa.exc.DBAPIError) -> type[StellaError] | None:
    refusal = refusal_in(str(error.orig))
    if refusal is not None:
        return _REFUSALS[refusal]
    return DatabaseUnreachable if isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError) or error.connection_invalidated else None
