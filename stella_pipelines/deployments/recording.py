"""Writing the journal: one event at a time, decided on everything that is written before it, under leases that are proven in the same transaction.

The transaction first proves and locks the leases, then reads what other engines have written since, then decides, then writes. So two engines
that share a deployment never decide on the same state, and a step that another one's event has just forbidden does not begin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from stella_pipelines.core.clock import Clock
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.limits import LEASE_RENEW_S
from stella_pipelines.deployments import journal, ledger
from stella_pipelines.deployments.authority import Authority
from stella_pipelines.deployments.course import Course, Stopwatch
from stella_pipelines.deployments.events import Aborted, Event, Step, StepStarted, Ticked
from stella_pipelines.deployments.journal import JournalRow
from stella_pipelines.deployments.patience import patiently
from stella_pipelines.deployments.rollout import decide, may_begin
from stella_pipelines.deployments.steps import Finding
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store


class Recorder:
    """The pen of one engine. Whatever it does to the store, it does one after the other."""

    def __init__(self, store: Store, clock: Clock, authority: Authority, course: Course, stopwatch: Stopwatch) -> None:
        self._store = store
        self._clock = clock
        self._authority = authority
        self._course = course
        self._stopwatch = stopwatch
        self._turn = asyncio.Lock()

    async def record(self, event: Event, found: Finding | None = None, log: bytes | None = None) -> JournalRow | None:
        """Decide the event and write it. None when it is a step that may not begin any more."""
        tried: list[JournalRow] = []
        async with self._turn:
            return await patiently(lambda: self._write(event, found or Finding(), log, tried))

    async def follow(self) -> None:
        """Read what other engines have written."""

        def read() -> None:
            with self._store.reading() as tx:
                self._course.follow(tx)

        async with self._turn:
            await patiently(read)

    async def claim(self, waited_for: Collection[str], others: Collection[str], targets_max: int) -> frozenset[str]:
        """If nobody at work has some of the targets that are waited for, take these, and others that nobody has; which ones."""

        def take() -> frozenset[str]:
            with self._store.writing() as tx:
                self._authority.hold(tx, None, self._clock.now())
                free = self._authority.free_targets(tx, {*waited_for, *others}, self._clock.now())
                taken = sorted(free, key=lambda target: (target not in waited_for, target))[:targets_max] if free.intersection(waited_for) else ()
                self._authority.take_targets(tx, taken, self._clock.now())
                return frozenset(taken)

        async with self._turn:
            return await patiently(take)

    async def keep_leases(self) -> None:
        """Renew everything that is held, until cancelled; `LeaseLost` when something is lost."""

        def renew() -> None:
            with self._store.writing() as tx:
                self._authority.renew(tx, self._clock.now())

        while True:
            await asyncio.sleep(LEASE_RENEW_S)
            async with self._turn:
                await patiently(renew)

    # ------------------------------------------------------------ inside

    def _write(self, event: Event, found: Finding, log: bytes | None, tried: list[JournalRow]) -> JournalRow | None:
        """One try. `tried` are the rows of earlier ones: a commit may have come through although its answer was lost."""
        target = None if isinstance(event, Aborted | Ticked) else event.target
        with self._store.writing() as tx:
            self._authority.hold(tx, target, self._clock.now())
            written = self._course.follow(tx)
            if tried and tried[-1] in written:
                return tried[-1]
            elapsed_s = self._stopwatch.elapsed_s()
            if isinstance(event, StepStarted) and not may_begin(self._course.at(elapsed_s), Step(target=event.target, kind=event.kind)):
                return None
            following = decide(self._course.written, event, elapsed_s)
            entry = self._entry(event, target, elapsed_s, found, log)
            tried.append(entry)
            journal.append(tx, entry)
            if log:
                blobs.put(tx, log, "text/plain", entry.at)
            if target is not None:
                ledger.write(tx, [ledger.after(ledger.read_one(tx, entry.deployment_id, target), entry, following)])
        self._course.wrote(entry, following)
        return entry

    def _entry(self, event: Event, target: str | None, elapsed_s: float, found: Finding, log: bytes | None) -> JournalRow:
        return journal.row_of(
            self._course.deployment_id,
            self._course.seq + 1,
            event,
            fence=self._authority.fence(target) if target else self._authority.environment_fence,
            elapsed_s=elapsed_s,
            observation=found.observation,
            notes=found.notes,
            log=Digest.of(log) if log else None,
            at=self._clock.now(),
        )
