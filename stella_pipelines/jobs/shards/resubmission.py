"""A queued step that is queued again when its worker is gone. Knows neither Celery nor Dagster.

A step may be done twice: what it does is in a journal, and whoever comes second finds it done, or leaves it to the one who is at work. So a
step that is queued again by mistake costs a worker's time, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

PATIENCE_S: Final = 30.0
"""Nobody is at work on the deployment for so long after the step was queued: then it is queued again, and the patience doubles."""
PATIENCE_S_MAX: Final = 600.0
GRACE_S: Final = 5.0
"""One of the steps that end together has ended, and another one has not for so long: its worker is gone."""
LOOK_EVERY_S: Final = 5.0


class Result(Protocol):
    """A queued step, as the queue shows it."""

    def ready(self) -> bool: ...

    def get(self) -> Any: ...

    def revoke(self) -> None: ...


class Together:
    """Steps that end at about the same time, because each of them ends when all of the work is done."""

    def __init__(self) -> None:
        self.ended_at_s: float | None = None

    def one_ended(self, now_s: float) -> None:
        """The first one counts."""
        self.ended_at_s = now_s if self.ended_at_s is None else self.ended_at_s


class PersistentStep:
    """The step's result, from whichever worker brings it."""

    def __init__(
        self,
        submit: Callable[[], Result],
        *,
        together: Together,
        worker_died: Callable[[Result], bool],
        nobody_at_work: Callable[[], bool],
        now_s: Callable[[], float],
        tell: Callable[[str], None],
    ) -> None:
        self._submit = submit
        self._together = together
        self._worker_died = worker_died
        self._nobody_at_work = nobody_at_work
        self._now_s = now_s
        self._tell = tell
        self._patience_s = PATIENCE_S
        self._queue()

    def ready(self) -> bool:
        """Whether there is a result. Looks after the step on the way."""
        if self._result.ready():
            if not self._worker_died(self._result):
                return True
            self._again("its process died")
        elif self._is_late():
            self._again("the rollout is over and its worker says nothing")
        elif self._is_abandoned():
            self._patience_s = min(2 * self._patience_s, PATIENCE_S_MAX)
            self._again("nobody is at work on the deployment")
        return False

    def get(self) -> Any:
        """The result; whatever the step raised is raised."""
        return self._result.get()

    def revoke(self) -> None:
        """Nobody shall begin it any more."""
        self._result.revoke()

    def _queue(self) -> None:
        self._result = self._submit()
        self._queued_at_s = self._looked_at_s = self._now_s()

    def _again(self, why: str) -> None:
        self._tell(f"Queued again: {why}.")
        self._result.revoke()
        self._queue()

    def _is_late(self) -> bool:
        ended_at_s = self._together.ended_at_s
        return ended_at_s is not None and self._now_s() - max(ended_at_s, self._queued_at_s) >= GRACE_S

    def _is_abandoned(self) -> bool:
        now_s = self._now_s()
        if now_s - self._queued_at_s < self._patience_s or now_s - self._looked_at_s < LOOK_EVERY_S:
            return False
        self._looked_at_s = now_s
        return self._nobody_at_work()
