"""The engine: carries a rollout out. It decides nothing; it asks `rollout.py` what may begin, and does it.

Every effect stands between two transactions: the intent before it, which also proves the leases, and the outcome after it. A process that
dies anywhere leaves a journal from which the next engine goes on; a step with an intent and no outcome is done again, which its idempotent
effects allow. When the store is gone for longer than its patience, or a lease is lost, the engine stops before the next effect and raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from stella_pipelines.connectors.port import StaleFence
from stella_pipelines.core.clock import Clock
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.limits import FANOUT_MAX, LEASE_RENEW_S
from stella_pipelines.deployments import journal, ledger
from stella_pipelines.deployments.artifacts import Artifacts
from stella_pipelines.deployments.authority import Authority
from stella_pipelines.deployments.connections import Connections, Connectors
from stella_pipelines.deployments.events import Aborted, Done, Event, Pause, Step, StepFailed, StepStarted, StepSucceeded, Ticked
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.journal import JournalRow
from stella_pipelines.deployments.limits import LOG_BYTES_MAX
from stella_pipelines.deployments.model import LedgerRow, Progress, TargetState
from stella_pipelines.deployments.patience import patiently
from stella_pipelines.deployments.progress import StepKind
from stella_pipelines.deployments.reaching import reach
from stella_pipelines.deployments.rollout import decide, may_begin, next_steps, start
from stella_pipelines.deployments.state import Rollout
from stella_pipelines.deployments.steps import Errand, Finding, perform, started_components, timeout_s
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store

ProgressListener = Callable[[Progress], None]


class Engine:
    """One deployment at work. `rows` are the journal so far: empty for a new deployment."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        authority: Authority,
        artifacts: Artifacts,
        *,
        connectors: Connectors,
        rows: Sequence[JournalRow],
        ledger_rows: Sequence[LedgerRow],
        listener: ProgressListener,
    ) -> None:
        self._store = store
        self._clock = clock
        self._authority = authority
        self._artifacts = artifacts
        self._connections = Connections({name: order.target for name, order in artifacts.orders.items()}, connectors)
        self._ledger = {row.target: row for row in ledger_rows}
        self._listener = listener
        self._rollout = journal.replayed(rollout_of(artifacts), rows)
        self._rows_written = len(rows)
        self._worked_before_s = max((row.elapsed_s for row in rows), default=0.0)
        self._began_s = 0.0
        self._writing = asyncio.Lock()
        self._places = asyncio.Semaphore(FANOUT_MAX)
        self._busy: dict[asyncio.Task[None], str] = {}

    async def drive(self, abort: Failure | None = None) -> Rollout:
        """Go on until the rollout has ended. `abort` asks for the way back first."""
        self._began_s = asyncio.get_running_loop().time()
        renewing = asyncio.create_task(self._keep_leases())
        async with self._connections:  # closed last: an effect that is under way ends, or is cancelled, on its own connection
            try:
                if abort is not None:
                    await self._record(Aborted(failure=abort))
                await self._work(renewing)
            finally:
                await _stopped(renewing, *self._busy)
        return self._rollout

    # ------------------------------------------------------------ what to do next

    async def _work(self, renewing: asyncio.Task[None]) -> None:
        self._begin([Step(target=progress.target, kind=progress.doing) for progress in self._rollout.targets if progress.doing])
        while True:
            self._rollout = decide(self._rollout, Ticked(), self._elapsed_s())
            match next_steps(self._rollout):
                case Done():
                    return
                case Pause(until_s=until_s):
                    await self._wait(renewing, until_s)
                case steps:
                    self._begin(steps)
                    await self._wait(renewing, None)

    def _begin(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if step.target not in self._busy.values():
                self._busy[asyncio.create_task(self._do(step))] = step.target

    async def _wait(self, renewing: asyncio.Task[None], until_s: float | None) -> None:
        """Until a step ends, or the time comes. What a task raised is raised here, and stops the engine."""
        # At least a millisecond: a remainder too small to move the clock must not become a loop that never waits.
        pause_s = None if until_s is None or self._busy else max(0.001, until_s - self._elapsed_s())
        finished, _ = await asyncio.wait({renewing, *self._busy}, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        for task in finished:
            self._busy.pop(task, None)
            task.result()

    def _elapsed_s(self) -> float:
        return self._worked_before_s + asyncio.get_running_loop().time() - self._began_s

    # ------------------------------------------------------------ one step: intent, effect, outcome

    async def _do(self, step: Step) -> None:
        async with self._places:
            if not await self._record(StepStarted(target=step.target, kind=step.kind)):
                return  # the rollout has moved on while this step waited for its place
            try:
                found = await self._act(step)
            except StaleFence:
                raise  # a newer holder is at work on this target: whatever is written now would be about somebody else's doing
            except StellaError as error:
                failure = Failure.of(error, step.target)
                await self._record(StepFailed(target=step.target, kind=step.kind, failure=failure), log=await self._last_output(step))
            else:
                await self._record(StepSucceeded(target=step.target, kind=step.kind), found=found)

    async def _act(self, step: Step) -> Finding:
        order = self._artifacts.orders[step.target]
        errand = Errand(
            kind=step.kind,
            order=order,
            sticker=self._artifacts.stickers[step.target],
            fence=self._authority.fence(step.target),
            clock=self._clock,
            way_back_required=self._rollout.rollback_on_failure,
        )

        async def call() -> Finding:
            return await perform(errand, await self._connections.to(step.target))

        return await reach(call, lambda: self._connections.drop(step.target), timeout_s(step.kind, order))

    async def _last_output(self, step: Step) -> bytes | None:
        """The failed components' last output, if the target still gives it: it explains more than any message."""
        if step.kind not in (StepKind.ACTIVATE, StepKind.PROVE_HEALTH, StepKind.PROVE_DIGEST):
            return None

        async def call() -> bytes:
            connector = await self._connections.to(step.target)
            parts = [await connector.logs(component.name, LOG_BYTES_MAX) for component in started_components(self._artifacts.orders[step.target])]
            return b"\n".join(parts)

        try:
            return await reach(call, lambda: self._connections.drop(step.target))
        except StellaError:
            return None  # the failure itself is recorded; its explanation is a bonus that a dead target cannot give

    # ------------------------------------------------------------ the journal

    async def _record(self, event: Event, found: Finding | None = None, log: bytes | None = None) -> bool:
        """Decide the event and write it, in order, one at a time. False when a step may not begin any more."""
        async with self._writing:
            elapsed_s = self._elapsed_s()
            if isinstance(event, StepStarted):
                self._rollout = decide(self._rollout, Ticked(), elapsed_s)
                if not may_begin(self._rollout, Step(target=event.target, kind=event.kind)):
                    return False
            following = decide(self._rollout, event, elapsed_s)
            target = None if isinstance(event, Aborted | Ticked) else event.target
            entry = self._entry(event, target, elapsed_s, found or Finding(), Digest.of(log) if log else None)
            rows = [ledger.after(self._ledger[target], entry, following)] if target else []
            await patiently(lambda: self._write(entry, rows, log))
            self._rollout, self._rows_written = following, entry.seq
            self._ledger.update({row.target: row for row in rows})
        self._tell(entry)
        return True

    def _entry(self, event: Event, target: str | None, elapsed_s: float, found: Finding, log: Digest | None) -> JournalRow:
        return journal.row_of(
            self._artifacts.manifest.deployment_id,
            self._rows_written + 1,
            event,
            fence=self._authority.fence(target) if target else self._authority.environment_fence,
            elapsed_s=elapsed_s,
            observation=found.observation,
            notes=found.notes,
            log=log,
            at=self._clock.now(),
        )

    def _write(self, entry: JournalRow, rows: Sequence[LedgerRow], log: bytes | None) -> None:
        with self._store.writing() as tx:
            self._authority.hold(tx, entry.target, self._clock.now())
            if log:
                blobs.put(tx, log, "text/plain", entry.at)
            journal.append(tx, entry)
            ledger.write(tx, rows)

    async def _keep_leases(self) -> None:
        def renew() -> None:
            with self._store.writing() as tx:
                self._authority.renew(tx, self._clock.now())

        while True:
            await asyncio.sleep(LEASE_RENEW_S)
            async with self._writing:
                await patiently(renew)

    def _tell(self, entry: JournalRow) -> None:
        rows = self._ledger.values()
        self._listener(
            Progress(
                deployment_id=entry.deployment_id,
                environment=self._artifacts.manifest.environment,
                phase=self._rollout.phase,
                settled=sum(row.state not in (TargetState.PENDING, TargetState.RUNNING) for row in rows),
                total=len(rows),
                target=entry.target,
                step=entry.step,
                event="started" if entry.phase == "intent" else "failed" if entry.failure else "succeeded",
                message=entry.failure.what if entry.failure else "",
            )
        )


def rollout_of(artifacts: Artifacts) -> Rollout:
    """The rollout that the artifacts describe, before anything happened."""
    manifest = artifacts.manifest
    targets = tuple(entry.target for entry in manifest.targets)
    return start(targets, manifest.strategy, rollback_on_failure=manifest.rollback_on_failure, timeout_s=manifest.timeout_s)


async def _stopped(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
