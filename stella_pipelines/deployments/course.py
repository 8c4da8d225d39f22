"""The course of a deployment: its rollout as the journal tells it, whoever wrote the rows.

Several engines may share one deployment. Each follows the rows that the others have written before it decides anything, inside the
transaction that writes its own: so there is one rollout, in one order, and no engine acts on an older one. Only what is written counts here.
That time has passed is not written; `at` says what follows from it, and forgets it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from stella_pipelines.deployments import journal
from stella_pipelines.deployments.events import Ticked
from stella_pipelines.deployments.journal import JournalRow
from stella_pipelines.deployments.rollout import decide
from stella_pipelines.deployments.state import Rollout
from stella_pipelines.store.database import Transaction


class Course:
    """One deployment's rollout, up to the newest row that this process has read or written."""

    def __init__(self, deployment_id: str, beginning: Rollout, rows: Iterable[JournalRow] = ()) -> None:
        self.deployment_id = deployment_id
        self.written = beginning
        self.seq = 0
        self.elapsed_s = 0.0
        """The time at work when the newest row was written: nobody's clock is behind it."""
        for row in rows:
            self._replay(row)

    def at(self, elapsed_s: float) -> Rollout:
        """The rollout at a time."""
        return decide(self.written, Ticked(), elapsed_s)

    def follow(self, tx: Transaction) -> list[JournalRow]:
        """Read what others have written since, and return it."""
        rows = journal.read(tx, self.deployment_id, self.seq)
        for row in rows:
            self._replay(row)
        return rows

    def wrote(self, row: JournalRow, following: Rollout) -> None:
        """This process has written the next row, and decided it already."""
        self.written, self.seq, self.elapsed_s = following, row.seq, row.elapsed_s

    def _replay(self, row: JournalRow) -> None:
        self.wrote(row, decide(self.written, row.event(), row.elapsed_s))


class Stopwatch:
    """Seconds at work, on a monotonic clock, over all engines of a deployment one after the other and side by side."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._now_s: Callable[[], float] = lambda: 0.0
        self._zero_s = -course.elapsed_s

    def start(self, now_s: Callable[[], float]) -> None:
        """Count from now on; time in which nobody worked does not count."""
        self._now_s = now_s
        self._zero_s = now_s() - self._course.elapsed_s

    def elapsed_s(self) -> float:
        """The time at work. An engine whose clock is behind what another one has written sets it forward."""
        self._zero_s = min(self._zero_s, self._now_s() - self._course.elapsed_s)
        return max(self._course.elapsed_s, self._now_s() - self._zero_s)  # the subtractions may round it down
