"""Leases: at most one holder, tokens that only grow, and a late holder that is stopped."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stella_pipelines.store import leases
from stella_pipelines.store.database import Store, Transaction
from stella_pipelines.store.limits import LEASE_CLOCK_TOLERANCE_S, LEASE_TTL_S_MAX
from stella_pipelines.store.tables import leases as table
from tests.support.store_processes import take_turns

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
TTL_S = 30.0


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_a_held_lease_names_its_holder_and_until_when(store: Store) -> None:
    with store.writing() as tx:
        leases.acquire(tx, "target/a", "first", NOW, TTL_S)
        with pytest.raises(leases.LeaseHeld, match=r"target/a is held by first until 2026-01-31T09:00:30"):
            leases.acquire(tx, "target/a", "second", later(29.9), TTL_S)
        assert leases.acquire(tx, "target/b", "second", NOW, TTL_S).token == 1


def test_the_same_holder_gets_a_new_token_and_the_old_one_is_void(store: Store) -> None:
    with store.writing() as tx:
        old = leases.acquire(tx, "target/a", "first", NOW, TTL_S)
        new = leases.acquire(tx, "target/a", "first", NOW, TTL_S)
        assert (old.token, new.token) == (1, 2)
        leases.require(tx, new, NOW)
        with pytest.raises(leases.LeaseLost):
            leases.require(tx, old, NOW)


def test_an_expired_lease_goes_to_the_next_one(store: Store) -> None:
    with store.writing() as tx:
        first = leases.acquire(tx, "target/a", "first", NOW, TTL_S)
        leases.require(tx, first, later(29.9))
        with pytest.raises(leases.LeaseLost):
            leases.require(tx, first, later(30))
        second = leases.acquire(tx, "target/a", "second", later(30), TTL_S)
        assert second.token == 2
        with pytest.raises(leases.LeaseLost):
            leases.renew(tx, first, later(31), TTL_S)


def test_a_lease_that_a_clock_ahead_left_behind_goes_to_the_next_one(store: Store) -> None:
    """A process whose clock was a day ahead died; nobody can wait until its lease has expired."""
    with store.writing() as tx:
        ahead = leases.acquire(tx, "target/a", "first", later(86_400), TTL_S)
        second = leases.acquire(tx, "target/a", "second", NOW, TTL_S)
        assert (second.token, second.expires_at) == (2, later(TTL_S))
        with pytest.raises(leases.LeaseLost):
            leases.require(tx, ahead, later(86_400))
        with pytest.raises(leases.LeaseHeld):
            leases.acquire(tx, "target/a", "third", later(1), TTL_S)


def test_a_lease_of_a_clock_that_is_a_little_ahead_is_respected(store: Store) -> None:
    ahead_s = LEASE_TTL_S_MAX + LEASE_CLOCK_TOLERANCE_S - TTL_S
    with store.writing() as tx:
        leases.acquire(tx, "target/a", "first", later(ahead_s), TTL_S)
        with pytest.raises(leases.LeaseHeld):
            leases.acquire(tx, "target/a", "second", NOW, TTL_S)
        leases.acquire(tx, "target/b", "first", later(ahead_s + 0.001), TTL_S)
        assert leases.acquire(tx, "target/b", "second", NOW, TTL_S).token == 2


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, LEASE_TTL_S_MAX + 1, float("nan")])
def test_no_lease_is_taken_for_longer_than_can_be_believed(store: Store, ttl_s: float) -> None:
    with store.writing() as tx:
        with pytest.raises(ValueError, match="at most 60 s"):
            leases.acquire(tx, "target/a", "first", NOW, ttl_s)
        assert leases.acquire(tx, "target/a", "second", NOW, TTL_S).token == 1


def test_renewing_extends_and_an_expired_but_free_lease_is_still_ones_own(store: Store) -> None:
    with store.writing() as tx:
        lease = leases.acquire(tx, "target/a", "first", NOW, TTL_S)
        renewed = leases.renew(tx, lease, later(40), TTL_S)
        assert (renewed.token, renewed.expires_at) == (lease.token, later(70))
        leases.require(tx, renewed, later(69))


def test_a_released_lease_is_free_and_releasing_late_disturbs_nobody(store: Store) -> None:
    with store.writing() as tx:
        first = leases.acquire(tx, "target/a", "first", NOW, TTL_S)
        leases.release(tx, first)
        second = leases.acquire(tx, "target/a", "second", NOW, TTL_S)
        leases.release(tx, first)
        leases.require(tx, second, NOW)
        assert second.token == 2


def test_a_lease_can_be_looked_at_in_a_reading_block(store: Store) -> None:
    with store.writing() as tx:
        lease = leases.acquire(tx, "target/a", "first", NOW, TTL_S)
    with store.reading() as tx, pytest.raises(leases.LeaseLost):
        leases.require(tx, lease, later(31))


@pytest.mark.parametrize("statement", [sa.delete(table), sa.update(table).values(token=0), sa.update(table).values(name="other")])
def test_the_database_itself_refuses_a_falling_token(store: Store, statement: sa.Delete | sa.Update) -> None:
    with store.writing() as tx:
        leases.acquire(tx, "target/a", "first", NOW, TTL_S)
    with pytest.raises(sa.exc.DBAPIError, match="never"), store.writing() as tx:
        tx.connection.execute(statement)
    with store.reading() as tx:
        assert tx.connection.execute(sa.select(table.c.name, table.c.token)).all() == [("target/a", 1)]


COMMANDS = st.tuples(st.sampled_from(["acquire", "renew", "release", "require"]), st.sampled_from(["x", "y", "z"]), st.floats(0, 20))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commands=st.lists(COMMANDS, min_size=1, max_size=25))
def test_two_holders_never_both_hold_and_tokens_only_grow(store: Store, commands: list[tuple[str, str, float]]) -> None:
    with store.writing() as tx:
        name = f"random/{tx.connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()}"
        now, newest, held = NOW, 0, dict[str, leases.Lease]()
        for command, holder, seconds in commands:
            now += timedelta(seconds=seconds)
            if command == "acquire":
                newest = max(newest, try_acquire(tx, name, holder, now, held, newest))
            elif holder in held:
                try_command(tx, command, holder, now, held)
            holding = [one for one, lease in held.items() if still_held(tx, lease, now)]
            assert len(holding) <= 1


def try_acquire(tx: Transaction, name: str, holder: str, now: datetime, held: dict[str, leases.Lease], newest: int) -> int:
    others = [one for one, lease in held.items() if one != holder and still_held(tx, lease, now)]
    try:
        held[holder] = leases.acquire(tx, name, holder, now, TTL_S)
    except leases.LeaseHeld:
        assert others, "a free lease was refused"
        return newest
    assert not others, "a held lease was given away"
    assert held[holder].token == newest + 1
    return held[holder].token


def try_command(tx: Transaction, command: str, holder: str, now: datetime, held: dict[str, leases.Lease]) -> None:
    if command == "release":
        leases.release(tx, held.pop(holder))
        return
    try:
        if command == "renew":
            held[holder] = leases.renew(tx, held[holder], now, TTL_S)
        leases.require(tx, held[holder], now)
    except leases.LeaseLost:
        assert not still_held(tx, held.pop(holder), now)


def still_held(tx: Transaction, lease: leases.Lease, now: datetime) -> bool:
    try:
        leases.require(tx, lease, now)
    except leases.LeaseLost:
        return False
    return True


def test_real_processes_are_never_in_the_same_room(database_url: str, tmp_path: Path) -> None:
    jobs = [(database_url, f"holder-{number}", 15, tmp_path) for number in range(4)]
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        tokens = pool.starmap(take_turns, jobs, chunksize=1)
        pool.close()
        pool.join()
    assert all(own == sorted(own) for own in tokens)
    assert sorted(token for own in tokens for token in own) == list(range(1, 61))
