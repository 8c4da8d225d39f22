"""Leases that several processes of one work act under, and many leases of one process at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stella_pipelines.store import leases
from stella_pipelines.store.database import Store
from stella_pipelines.store.leases import LeaseLost

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TTL_S = 30.0


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_joining_extends_the_lease_and_gives_out_no_new_token(store: Store) -> None:
    with store.writing() as tx:
        first = leases.acquire(tx, "environment/prod", "run", NOW, TTL_S)
        second = leases.join(tx, "environment/prod", "run", later(10), TTL_S)
        assert (second.token, second.expires_at) == (first.token, later(10 + TTL_S))
        leases.require(tx, first, later(35))


def test_a_lease_that_ended_and_was_taken_by_nobody_is_joined(store: Store) -> None:
    with store.writing() as tx:
        first = leases.acquire(tx, "environment/prod", "run", NOW, TTL_S)
        assert leases.join(tx, "environment/prod", "run", later(100), TTL_S).token == first.token


@pytest.mark.parametrize("became", ["another's", "released", "never there"])
def test_what_is_not_the_holders_is_not_joined(store: Store, became: str) -> None:
    with store.writing() as tx:
        if became != "never there":
            lease = leases.acquire(tx, "environment/prod", "run", NOW, TTL_S)
            leases.release(tx, lease)
        if became == "another's":
            leases.acquire(tx, "environment/prod", "another", NOW, TTL_S)
        with pytest.raises(LeaseLost):
            leases.join(tx, "environment/prod", "run", NOW, TTL_S)


def test_many_leases_are_extended_together(store: Store) -> None:
    with store.writing() as tx:
        held = [leases.acquire(tx, f"target/host-{number}", "run", NOW, TTL_S) for number in range(1_001)]
        renewed = leases.renew_all(tx, held, later(20), TTL_S)
    assert [lease.token for lease in renewed] == [lease.token for lease in held]
    with store.reading() as tx:
        assert set(leases.holders(tx, [lease.name for lease in held], later(45)).values()) == {"run"}


def test_one_that_is_lost_extends_none(store: Store) -> None:
    with store.writing() as tx:
        held = [leases.acquire(tx, f"target/host-{number}", "run", NOW, TTL_S) for number in range(3)]
    with store.writing() as tx:
        leases.acquire(tx, "target/host-1", "run", later(1), TTL_S)  # the same holder, under a new token: another process of his
    with pytest.raises(LeaseLost, match="host-1"), store.writing() as tx:
        leases.renew_all(tx, held, later(20), TTL_S)
    with store.reading() as tx:
        assert leases.holder(tx, "target/host-0", later(35)) is None


def test_no_leases_need_no_statement(store: Store) -> None:
    with store.writing() as tx:
        assert leases.renew_all(tx, [], NOW, TTL_S) == []
