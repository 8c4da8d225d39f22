"""Leases with fencing tokens: who may act on a thing now, and a number that tells a late actor that it is late.

A lease is free, held or expired. Every acquisition gets a higher token than every one before it, for ever: rows are never deleted, and the
database itself refuses a token that falls. Expiry is judged by the caller's clock; two clocks that disagree may hand a lease over early,
and then the token still stops the slower holder at its next `require`. A lease that ends later than any lease can was left behind by a clock
that was ahead, and counts as expired: waiting for it could take as long as that clock was wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from stella_pipelines.core.clock import Instant, format_instant, parse_instant
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.limits import LEASE_CLOCK_TOLERANCE_S, LEASE_TTL_S_MAX
from stella_pipelines.store.tables import leases
from stella_pipelines.store.upsert import insert

_NAMES_A_STATEMENT: Final = 1_000
"""Both databases take more parameters than that in one statement."""


class LeaseHeld(StellaError):
    """Somebody else holds the lease. `holder` is who, when that could be read."""

    code = "SYS_LEASE_HELD"
    retryable = True
    holder: str | None = None


class LeaseLost(StellaError):
    """The lease has expired or was taken over; whoever acted under it must stop."""

    code = "SYS_LEASE_LOST"


class Lease(Value):
    """The right of `holder` to act on `name` until `expires_at`, as the `token`-th one who ever got it."""

    name: str
    holder: str
    token: int
    expires_at: Instant


def acquire(tx: Transaction, name: str, holder: str, now: datetime, ttl_s: float, *, instead_of: str | None = None) -> Lease:
    """Take the lease if it is free, expired, or already this holder's; always with a new, higher token. `LeaseHeld` otherwise.

    `instead_of` names a holder whom the caller knows to be gone: his lease is taken without waiting for its end. Should he be alive after
    all, the higher token stops him.
    """
    expires_at = _end(now, ttl_s)
    wanted = insert(tx, leases).values(name=name, holder=holder, token=1, expires_at=format_instant(expires_at))
    mine = leases.c.holder.is_(None) | leases.c.holder.in_([holder, instead_of or holder])
    earliest, latest = (format_instant(at) for at in believable_ends(now))
    free = mine | (leases.c.expires_at <= earliest) | (leases.c.expires_at > latest)
    # One statement: both databases judge the condition on the row's newest version, so two callers cannot both see it free.
    taken = wanted.on_conflict_do_update(
        index_elements=["name"],
        set_={"holder": wanted.excluded.holder, "expires_at": wanted.excluded.expires_at, "token": leases.c.token + 1},
        where=free,
    ).returning(leases.c.token)
    token = tx.connection.execute(taken).scalar()
    if token is None:
        raise _held(tx, name)
    return Lease(name=name, holder=holder, token=token, expires_at=expires_at)


def holder(tx: Transaction, name: str, now: datetime) -> str | None:
    """Who holds the lease now; None when it is free, or has ended."""
    return holders(tx, [name], now).get(name)


def holders(tx: Transaction, names: Sequence[str], now: datetime) -> dict[str, str]:
    """Who holds which of the leases now; one that is free, or has ended, is left out."""
    held = sa.select(leases.c.name, leases.c.holder, leases.c.expires_at).where(leases.c.name.in_(names), leases.c.holder.is_not(None))
    earliest, latest = believable_ends(now)
    rows = tx.connection.execute(held) if names else ()
    return {row.name: row.holder for row in rows if earliest < parse_instant(row.expires_at) <= latest}


def lift(tx: Transaction, lease: Lease, above: int) -> Lease:
    """Let every token that is given out from now on be higher than `above`. Never lowers it.

    For a store that is older than what it gave out: restored from a backup, or replaced.
    """
    lifted = lease.model_copy(update={"token": max(lease.token, above)})
    done = tx.connection.execute(sa.update(leases).where(*_is(lease)).values(token=lifted.token))
    if done.rowcount != 1:
        raise _lost(lease)
    return lifted


def renew(tx: Transaction, lease: Lease, now: datetime, ttl_s: float) -> Lease:
    """Extend the lease. One that expired but was not taken by anybody is still extended: no one else can have acted in between."""
    expires_at = _end(now, ttl_s)
    done = tx.connection.execute(sa.update(leases).where(*_is(lease)).values(expires_at=format_instant(expires_at)))
    if done.rowcount != 1:
        raise _lost(lease)
    return lease.model_copy(update={"expires_at": expires_at})


def join(tx: Transaction, name: str, holder: str, now: datetime, ttl_s: float) -> Lease:
    """Act under a lease that `holder` already has, in another process of the same work: extended, under the same token. `LeaseLost` if it is not his."""
    token = tx.connection.execute(sa.select(leases.c.token).where(leases.c.name == name, leases.c.holder == holder)).scalar()
    return renew(tx, Lease(name=name, holder=holder, token=token or 0, expires_at=now), now, ttl_s)


def renew_all(tx: Transaction, held: Sequence[Lease], now: datetime, ttl_s: float) -> list[Lease]:
    """Extend many leases like `renew`, in a few statements. When one is lost, none is extended: the caller's transaction must not commit."""
    expires_at, found = _end(now, ttl_s), set()
    for first in range(0, len(held), _NAMES_A_STATEMENT):
        part = held[first : first + _NAMES_A_STATEMENT]
        mine = leases.c.name.in_([lease.name for lease in part]) & leases.c.holder.in_({lease.holder for lease in part})
        extended = sa.update(leases).where(mine).values(expires_at=format_instant(expires_at)).returning(leases.c.name, leases.c.holder, leases.c.token)
        found |= {(row.name, row.holder, row.token) for row in tx.connection.execute(extended)}
    lost = next((lease for lease in held if (lease.name, lease.holder, lease.token) not in found), None)
    if lost is not None:
        raise _lost(lost)
    return [lease.model_copy(update={"expires_at": expires_at}) for lease in held]


def release(tx: Transaction, lease: Lease) -> None:
    """Give the lease back. Giving back what was lost already is no error: the outcome is the one that was wanted."""
    tx.connection.execute(sa.update(leases).where(*_is(lease)).values(holder=None))


def require(tx: Transaction, lease: Lease, now: datetime) -> None:
    """Raise `LeaseLost` unless the lease is held now. In a writing transaction it stays so until the commit."""
    query = sa.select(leases.c.expires_at).where(*_is(lease))
    # The row lock keeps a successor out until our commit. (SQLite's writing transaction locks the whole file, and knows no row locks.)
    expires_at = tx.connection.execute(query if tx.read_only else query.with_for_update()).scalar()
    if expires_at is None or parse_instant(expires_at) <= now:
        raise _lost(lease)


def believable_ends(now: datetime) -> tuple[datetime, datetime]:
    """A lease that somebody holds now ends after the first of these and not after the second. Pure."""
    return now, now + timedelta(seconds=LEASE_TTL_S_MAX + LEASE_CLOCK_TOLERANCE_S)


def _end(now: datetime, ttl_s: float) -> datetime:
    if not 0 < ttl_s <= LEASE_TTL_S_MAX:
        raise ValueError(f"a lease is taken for at most {LEASE_TTL_S_MAX:g} s, not for {ttl_s:g} s")
    return now + timedelta(seconds=ttl_s)


def _is(lease: Lease) -> tuple[sa.ColumnElement[bool], ...]:
    return leases.c.name == lease.name, leases.c.holder == lease.holder, leases.c.token == lease.token


def _held(tx: Transaction, name: str) -> LeaseHeld:
    row = tx.connection.execute(sa.select(leases.c.holder, leases.c.expires_at).where(leases.c.name == name)).one()
    error = LeaseHeld(
        f"{name} is held by {row.holder or 'a holder that has just released it'} until {row.expires_at}.",
        next_step="Wait until it is released or expires, and try again.",
    )
    error.holder = row.holder
    return error


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(
        f"{lease.holder} no longer holds {lease.name} (token {lease.token}).",
        next_step="Stop acting on it; acquire it again to continue from the journal.",
    )
