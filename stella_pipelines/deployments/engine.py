"""The engine: carries a rollout out. It decides nothing; it asks `rollout.py` what may begin, and does it on the targets that are its own.

Every effect stands between two transactions: the intent before it, which also proves the leases, and the outcome after it. A process that
dies anywhere leaves a journal from which the next engine goes on; a step with an intent and no outcome is done again, which its idempotent
effects allow. When the store is gone for longer than its patience, or a lease is lost, the engine stops before the next effect and raises.

One engine has all targets of a deployment, or several share them, each in a process of its own. Then each follows what the others write, and
takes over targets on which everybody waits and nobody works: of an engine that died, or that never began.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from stella_pipelines.connectors.port import StaleFence
from stella_pipelines.core.clock import Clock
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.limits import FANOUT_MAX
from stella_pipelines.deployments.artifacts import Artifacts
from stella_pipelines.deployments.authority import Authority
from stella_pipelines.deployments.connections import Connections, Connectors
from stella_pipelines.deployments.course import Course, Stopwatch
from stella_pipelines.deployments.events import Aborted, Done, Event, Pause, Step, StepFailed, StepStarted, StepSucceeded
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.limits import CLAIM_AFTER_S, CLAIM_TARGETS_MIN, FOLLOW_S, LOG_BYTES_MAX
from stella_pipelines.deployments.model import Progress
from stella_pipelines.deployments.patience import patiently
from stella_pipelines.deployments.progress import StepKind
from stella_pipelines.deployments.reaching import reach
from stella_pipelines.deployments.recording import Recorder
from stella_pipelines.deployments.rollout import due, next_steps, start, through, under_way
from stella_pipelines.deployments.state import Rollout
from stella_pipelines.deployments.steps import Errand, Finding, perform, started_components, timeout_s
from stella_pipelines.store.database import Store

ProgressListener = Callable[[Progress], None]
MoreArtifacts = Callable[[frozenset[str]], Artifacts]
"""The artifacts of more targets of the same deployment."""


class Engine:
    """One deployment at work. The targets whose artifacts it has are its own, and `authority` has their leases."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        authority: Authority,
        artifacts: Artifacts,
        course: Course,
        *,
        connectors: Connectors,
        listener: ProgressListener,
        more: MoreArtifacts | None = None,
    ) -> None:
        self._clock = clock
        self._authority = authority
        self._artifacts = artifacts
        self._course = course
        self._more = more
        self._listener = listener
        self._stopwatch = Stopwatch(course)
        self._recorder = Recorder(store, clock, authority, course, self._stopwatch)
        self._connections = Connections({name: order.target for name, order in artifacts.orders.items()}, connectors)
        self._places = asyncio.Semaphore(FANOUT_MAX)
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._ended: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()
        self._newest: tuple[int, float] | None = None
        """The newest row, and when it was seen first."""

    async def drive(self, abort: Failure | None = None) -> Rollout:
        """Go on until the rollout has ended. `abort` asks for the way back first; only an engine that has all targets may be asked."""
        self._stopwatch.start(asyncio.get_running_loop().time)
        renewing = asyncio.create_task(self._recorder.keep_leases())
        renewing.add_done_callback(self._ended.put_nowait)
        async with self._connections:  # closed last: an effect that is under way ends, or is cancelled, on its own connection
            try:
                if abort is not None:
                    await self._record(Aborted(failure=abort))
                return await self._work()
            finally:
                await _stopped(renewing, *self._busy.values())

    # ------------------------------------------------------------ what to do next

    async def _work(self) -> Rollout:
        self._begin(under_way(self._course.written, self._own))
        while True:
            rollout = self._course.at(self._stopwatch.elapsed_s())
            match next_steps(rollout, self._own, without=self._busy):
                case Done():
                    return rollout
                case Pause(until_s=until_s):
                    await self._wait(until_s)
                case steps:
                    self._begin(steps)
                    await self._wait(None)

    @property
    def _own(self) -> Collection[str] | None:
        """This engine's targets; None when these are all there are."""
        return None if self._more is None else self._artifacts.orders.keys()

    def _begin(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if step.target not in self._busy:
                task = asyncio.create_task(self._do(step), name=step.target)
                task.add_done_callback(self._ended.put_nowait)
                self._busy[step.target] = task

    async def _wait(self, until_s: float | None) -> None:
        """Until a step ends, the time comes, or others may have written. What a task raised is raised here, and stops the engine."""
        left_s = None if until_s is None or self._busy else until_s - self._stopwatch.elapsed_s()
        try:
            async with asyncio.timeout(_pause_s(left_s, shared=self._more is not None)):
                self._finish(await self._ended.get())
        except TimeoutError:
            return await self._keep_up()
        while not self._ended.empty():
            self._finish(self._ended.get_nowait())

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._busy.pop(task.get_name(), None)
        task.result()

    # ------------------------------------------------------------ beside other engines

    async def _keep_up(self) -> None:
        """Follow the others; when nobody has written for a while, take over what everybody may be waiting for."""
        if self._more is None:
            return
        await self._recorder.follow()
        now_s = asyncio.get_running_loop().time()
        if self._newest is None or self._newest[0] != self._course.seq:
            self._newest = (self._course.seq, now_s)
        elif now_s - self._newest[1] >= CLAIM_AFTER_S:
            self._newest = (self._course.seq, now_s)
            await self._take_over(self._more)

    async def _take_over(self, more: MoreArtifacts) -> None:
        """Not only what is waited for now: what nobody has will be waited for again in the next wave."""
        own, rollout = self._artifacts.orders.keys(), self._course.at(self._stopwatch.elapsed_s())
        waited_for = due(rollout) - own
        if not waited_for:
            return
        others = [progress.target for progress in rollout.targets if progress.target not in own]
        taken = await self._recorder.claim(waited_for, others, max(CLAIM_TARGETS_MIN, len(own)))
        self._artifacts = self._artifacts.and_of(await patiently(lambda: more(taken)))
        self._connections.add({name: self._artifacts.orders[name].target for name in taken})
        self._begin(under_way(self._course.written, taken))

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
            way_back_required=self._course.written.rollback_on_failure,
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

    async def _record(self, event: Event, found: Finding | None = None, log: bytes | None = None) -> bool:
        """Whether it is written; False when a step may not begin any more."""
        entry = await self._recorder.record(event, found, log)
        if entry is None:
            return False
        rollout = self._course.written
        self._listener(
            Progress(
                deployment_id=entry.deployment_id,
                environment=self._artifacts.manifest.environment,
                phase=rollout.phase,
                settled=through(rollout),
                total=len(rollout.targets),
                target=entry.target,
                step=entry.step,
                event="started" if entry.phase == "intent" else "failed" if entry.failure else "succeeded",
                message=entry.failure.what if entry.failure else "",
            )
        )
        return True


def rollout_of(artifacts: Artifacts) -> Rollout:
    """The rollout that the artifacts describe, before anything happened."""
    manifest = artifacts.manifest
    targets = tuple(entry.target for entry in manifest.targets)
    return start(targets, manifest.strategy, rollback_on_failure=manifest.rollback_on_failure, timeout_s=manifest.timeout_s)


def _pause_s(left_s: float | None, *, shared: bool) -> float | None:
    """How long to wait at most. Pure."""
    if shared and (left_s is None or not 0 < left_s < FOLLOW_S):
        return FOLLOW_S  # a time that is over already: it is somebody else's turn
    # At least a millisecond: a remainder too small to move the clock must not become a loop that never waits.
    return None if left_s is None else max(0.001, left_s)


async def _stopped(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
