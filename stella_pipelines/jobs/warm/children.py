"""The runner's book of runs: which have a process, which wait for their turn, and what became of those that ended.

It forks nothing and kills nothing (`runner.py`). The book survives a renewal of the runner: it is written down and read again.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from stella_pipelines.core.values import Value
from stella_pipelines.jobs.warm.orders import Standing
from stella_pipelines.jobs.warm.presence import ProcessName

ENDED_KEPT_MAX: Final = 1_000
"""A run that is asked for again after so many others is started again, and finds out from Dagster that it has ended."""


class Child(Value):
    """A run's process."""

    process: ProcessName
    interrupted_at_s: float | None = None


class Waiting(Value):
    """A run without a process yet."""

    run_id: str
    start_by_s: float | None


class Ended(Value):
    """Why a run has no process any more. Without a code it never had one."""

    code: int | None
    says: str


class Book(Value):
    """The written form."""

    alive: dict[str, Child] = Field(default_factory=dict)
    queue: tuple[Waiting, ...] = ()
    ended: dict[str, Ended] = Field(default_factory=dict)


class Children:
    """The book, with at most `alive_max` processes at once."""

    def __init__(self, alive_max: int, book: Book | None = None) -> None:
        found = book or Book()
        self._alive_max = alive_max
        self.alive: dict[str, Child] = dict(found.alive)
        self._queue: list[Waiting] = list(found.queue)
        self._ended: dict[str, Ended] = dict(found.ended)

    def book(self) -> Book:
        """What has to survive."""
        return Book(alive=self.alive, queue=tuple(self._queue), ended=self._ended)

    def knows(self, run_id: str) -> bool:
        """Whether the run was asked for before."""
        return run_id in self.alive or run_id in self._ended or self.queued_behind(run_id) is not None

    def queued_behind(self, run_id: str) -> int | None:
        """How many runs a waiting run waits for, those at work and those before it; None when it does not wait."""
        before = next((index for index, one in enumerate(self._queue) if one.run_id == run_id), None)
        return None if before is None else len(self.alive) + before

    @property
    def is_waited_for(self) -> bool:
        """Whether any run waits for its turn."""
        return bool(self._queue)

    def enqueue(self, run_id: str, start_by_s: float | None) -> None:
        """Let it wait for its turn."""
        self._queue.append(Waiting(run_id=run_id, start_by_s=start_by_s))

    def next_to_start(self, now_s: float) -> str | None:
        """The run whose turn it is, if there is room. One that waited too long is given up, because Dagster gives it up as well."""
        for one in [one for one in self._queue if one.start_by_s is not None and one.start_by_s < now_s]:
            self.remove_from_queue(one.run_id, f"it was never started: its turn had not come in time, behind {len(self.alive)} runs")
        return self._queue[0].run_id if self._queue and len(self.alive) < self._alive_max else None

    def began(self, run_id: str, process: ProcessName) -> None:
        """It has a process now."""
        self._queue = [one for one in self._queue if one.run_id != run_id]
        self.alive[run_id] = Child(process=process)

    def remove_from_queue(self, run_id: str, says: str) -> None:
        """It will never start."""
        self._queue = [one for one in self._queue if one.run_id != run_id]
        self._end(run_id, Ended(code=None, says=says))

    def interrupted(self, run_id: str, now_s: float) -> None:
        """It was asked to end. The first time counts."""
        child = self.alive[run_id]
        if child.interrupted_at_s is None:
            self.alive[run_id] = child.model_copy(update={"interrupted_at_s": now_s})

    def has_ended(self, run_id: str, code: int) -> None:
        """Its process is gone."""
        del self.alive[run_id]
        self._end(run_id, Ended(code=code, says=f"the run's process ended with {code}"))

    def standing(self, run_id: str) -> Standing:
        """What is known about a run."""
        behind = self.queued_behind(run_id)
        if behind is not None:
            return Standing(status="RUNNING", says=f"queued behind {behind} runs")
        if run_id in self.alive:
            return Standing(status="RUNNING", says=f"process {self.alive[run_id].process.pid}")
        ended = self._ended.get(run_id)
        if ended is None:
            return Standing(status="NOT_FOUND", says="this runner never started it")
        return Standing(status="SUCCESS" if ended.code == 0 else "FAILED", says=ended.says)

    def never_started(self, run_id: str) -> str | None:
        """Why it never had a process and never will; None when it had one, or may have."""
        ended = self._ended.get(run_id)
        return f"{ended.says[0].upper()}{ended.says[1:]}." if ended is not None and ended.code is None else None

    def _end(self, run_id: str, ended: Ended) -> None:
        self._ended[run_id] = ended
        while len(self._ended) > ENDED_KEPT_MAX:
            del self._ended[next(iter(self._ended))]
