"""Whoever waits for something to do is woken by what somebody else writes, and by the end of its own pause."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stella_pipelines.store import outbox
from stella_pipelines.store.database import Store
from stella_pipelines.store.wakeups import Wakeups, wakeups

LONG_S = 30.0
AT = datetime(2026, 1, 1, tzinfo=UTC)


def want(store: Store, subject: str) -> None:
    with store.writing() as tx:
        outbox.enqueue(tx, "promotion", subject, 1, {}, f"out_{subject}", AT)


def woken_after_s(waiting: Wakeups, longest_s: float) -> float:
    began = time.monotonic()
    waiting.wait(longest_s)
    return time.monotonic() - began


def settled(store: Store) -> Wakeups:
    """Wake-ups that have nothing left from before."""
    waiting = wakeups(store.url, threading.Event())
    want(store, "before")
    waiting.wait(0.2)
    waiting.wait(0.2)
    return waiting


def test_a_row_that_is_written_wakes_who_waits(store: Store) -> None:
    waiting = settled(store)
    writing = threading.Timer(0.3, want, args=[store, "one"])
    writing.start()
    assert woken_after_s(waiting, LONG_S) < LONG_S / 2
    writing.join()
    waiting.close()


def test_nothing_written_the_pause_ends_by_itself(store: Store) -> None:
    waiting = settled(store)
    assert 0.2 <= woken_after_s(waiting, 0.2) < LONG_S / 2
    waiting.close()


def test_what_was_written_before_the_wait_is_not_slept_through(store: Store) -> None:
    waiting = settled(store)
    want(store, "two")
    assert woken_after_s(waiting, LONG_S) < LONG_S / 2
    waiting.close()


def test_a_transaction_that_is_rolled_back_wants_nothing(store: Store) -> None:
    waiting = settled(store)
    with pytest.raises(InterruptedError), store.writing() as tx:
        outbox.enqueue(tx, "promotion", "never", 1, {}, "out_never", AT)
        raise InterruptedError
    with store.reading() as tx:
        assert outbox.latest(tx, "promotion", "never") is None
    waiting.wait(0.2)
    waiting.close()


def test_a_database_that_cannot_be_reached_leaves_the_pause(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/nowhere/stella.db", "postgresql+psycopg2://nobody@127.0.0.1:1/nothing"):
        waiting = wakeups(url, threading.Event())
        assert 0.2 <= woken_after_s(waiting, 0.2) < LONG_S / 2
        waiting.close()
