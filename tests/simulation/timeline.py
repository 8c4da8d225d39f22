"""Simulated time: an event loop whose clock is moved forward instead of waited for. A minute of a rollout takes a millisecond."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")
BEGINNING = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)


class SimulatedClock:
    """Monotonic seconds that never go back, and a wall clock beside them that may jump."""

    def __init__(self) -> None:
        self.monotonic_s = 0.0
        self.jump_s = 0.0

    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.monotonic_s + self.jump_s)


class _Selector(selectors.SelectSelector):
    """Instead of waiting for the next timer, the clock is set to it."""

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("the simulation waits for something that will never happen")
        self._clock.monotonic_s += max(0.0, timeout)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__(_Selector(clock))
        self._simulated = clock

    def time(self) -> float:
        return self._simulated.monotonic_s


def simulate(clock: SimulatedClock, work: Coroutine[Any, Any, T]) -> T:
    """Run to the end in simulated time."""
    with asyncio.Runner(loop_factory=lambda: _Loop(clock)) as runner:
        return runner.run(work)
