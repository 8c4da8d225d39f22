"""What goes wrong in a simulation: the whole process dies at the n-th point, or one target's operation fails. Always seeded or counted."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stella_pipelines.connectors.port import ConnectorError, TargetRefused, TargetUnreachable
from stella_pipelines.store.database import Store, Transaction
from stella_pipelines.store.errors import DatabaseUnreachable

Fault = Callable[[str, str, str], ConnectorError | None]
"""(target, operation, "before" or "after" its effect) → what the caller gets instead of the answer."""


class Killed(BaseException):
    """The process is gone (kill -9). Not an Exception: nobody may handle it."""


class Points:
    """Counts every point at which a process could die, and dies at one of them (by number or name). A dead process does nothing more."""

    def __init__(self, die_at: int | str | None = None) -> None:
        self.die_at = die_at
        self.passed: list[str] = []
        self.dead = False

    def reach(self, name: str) -> None:
        if self.dead:
            raise Killed(name)
        self.passed.append(name)
        if self.die_at in (len(self.passed), name):
            self.dead = True
            raise Killed(name)


class MortalStore:
    """A store whose owner may die before or after each writing transaction, and that may be gone for a while."""

    def __init__(self, store: Store, points: Points) -> None:
        self._store = store
        self._points = points
        self.url = store.url
        self.gone: Callable[[], bool] = lambda: False
        self.commits_lost = 0

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        self._points.reach("before a write")
        self._refuse_when_gone()
        with self._store.writing() as tx:
            yield tx
        self._points.reach("after a write")
        if self.commits_lost > 0:
            self.commits_lost -= 1
            raise _unreachable()

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        if self._points.dead:
            raise Killed("read")
        self._refuse_when_gone()
        with self._store.reading() as tx:
            yield tx

    def _refuse_when_gone(self) -> None:
        if self.gone():
            raise _unreachable()


def _unreachable() -> DatabaseUnreachable:
    return DatabaseUnreachable("The simulated database does not answer.", next_step="Wait.")


def no_faults(target: str, operation: str, moment: str) -> ConnectorError | None:
    """Everything goes well."""
    del target, operation, moment
    return None


def random_faults(seed: int, share: float) -> Fault:
    """Connections that break before or after the effect, and refusals, at random."""
    dice = random.Random(seed)

    def fault(target: str, operation: str, moment: str) -> ConnectorError | None:
        if dice.random() >= share:
            return None
        kind = dice.choice([TargetUnreachable, TargetUnreachable, TargetRefused])
        return kind(f"{operation} on {target} broke ({moment}).", next_step="This is a simulated fault.")

    return fault


def always(failing: dict[tuple[str, str], type[ConnectorError]]) -> Fault:
    """Named operations on named targets fail every time, before their effect."""

    def fault(target: str, operation: str, moment: str) -> ConnectorError | None:
        kind = failing.get((target, operation))
        return kind(f"{operation} on {target} fails.", next_step="This is a simulated fault.") if kind and moment == "before" else None

    return fault
