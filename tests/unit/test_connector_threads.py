"""Blocking work on behalf of asyncio: an effect that has begun is over before anybody goes on."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from stella_pipelines.connectors.threads import THREADS_MAX, Threads


def test_a_cancelled_effect_is_over_before_the_cancellation_is_seen() -> None:
    begun, done = threading.Event(), threading.Event()

    def effect() -> None:
        begun.set()
        time.sleep(0.2)
        done.set()

    async def run() -> None:
        threads = Threads("test")
        task = asyncio.create_task(threads.change(effect))
        await asyncio.to_thread(begun.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done.is_set()
        await threads.close()

    asyncio.run(run())


def test_a_cancelled_effect_that_fails_is_still_a_cancellation() -> None:
    begun = threading.Event()

    def effect() -> None:
        begun.set()
        time.sleep(0.1)
        raise ValueError("too late")

    async def run() -> None:
        threads = Threads("test")
        task = asyncio.create_task(threads.change(effect))
        await asyncio.to_thread(begun.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await threads.close()

    asyncio.run(run())


def test_no_more_calls_than_threads_are_under_way() -> None:
    busy, most, lock = 0, 0, threading.Lock()

    def call() -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.02)
        with lock:
            busy -= 1

    async def run() -> None:
        threads = Threads("test")
        await asyncio.gather(*(threads.read(call) for _ in range(3 * THREADS_MAX)))
        await threads.close()

    asyncio.run(run())
    assert 1 <= most <= THREADS_MAX
