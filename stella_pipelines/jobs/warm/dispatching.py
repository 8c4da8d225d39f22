"""The runner at work: takes orders, forks runs, reaps and kills them, and becomes a new program when its own is out of date.

One thread, which never waits for anybody for long. What the process is and how it starts: `runner.py`; the book of runs: `children.py`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from stella_pipelines.jobs.warm import renewal
from stella_pipelines.jobs.warm.child import STOP_SIGNALS, fork_a_run
from stella_pipelines.jobs.warm.children import Children
from stella_pipelines.jobs.warm.freshness import Freshness
from stella_pipelines.jobs.warm.listening import Door
from stella_pipelines.jobs.warm.orders import Answer, Launched, Order, Terminated, is_own_account, read_order, send_answer
from stella_pipelines.jobs.warm.presence import here, named
from stella_pipelines.jobs.warm.renewal import Handover, Held

TICK_S: Final = 0.5
QUEUE_TICK_S: Final = 0.05
KILL_AFTER_S: Final = 25.0
"""So long a run has that was asked to end. Run monitoring writes CANCELED after 30 s, and then nothing of the run may be left."""
STOP_TIMEOUT_S: Final = 6.0
"""The supervisor kills after 12 s."""


@dataclass
class Stop:
    """Whether the runner was asked to stop."""

    asked: bool = False


class Dispatcher:
    """Takes orders, forks, reaps, and renews itself."""

    def __init__(self, door: Door, children: Children, freshness: Freshness, execute: Callable[[str], int], stop: Stop) -> None:
        self._door = door
        self._children = children
        self._freshness = freshness
        self._execute = execute
        self._stop = stop
        self._forks = 0
        self._place, self._self = here(), named(os.getpid())

    def serve(self, held: Iterable[Held] = ()) -> None:
        """Answer those who were kept waiting, then take orders until asked to stop."""
        for one in held:
            self._answer_caller(socket.socket(fileno=one.descriptor), one.order)
        while not self._stop.asked:
            ready, _, _ = select.select([self._door], [], [], self._tick_s())
            for connection in self._door.waiting() if ready else ():
                self._answer_caller(connection)
            self._look_after()
        self._stop_children()

    def _tick_s(self) -> float:
        return QUEUE_TICK_S if self._children.is_waited_for and self._freshness.refusal is None else TICK_S

    def _look_after(self) -> None:
        """What has to be done now and then, whoever asks for what."""
        try:
            for connection in self._door.reopened():
                self._answer_caller(connection)
        except OSError as error:  # a full disk, say: the runs go on, and the next look may have more luck
            print(f"the socket's file is gone and cannot be made again now: {error}", flush=True)
        self._reap()
        now_s = time.monotonic()
        self._kill_the_unwilling(now_s)
        if self._children.next_to_start(now_s) is not None and self._why_not_fork() is None:
            self._start_those_whose_turn_it_is()
        why = self._freshness.why_renew_unasked(now_s, self._forks, renewal.resident_bytes())
        if why is not None:
            self._renew(why)

    def _answer_caller(self, connection: socket.socket, order: Order | None = None) -> None:
        with connection, contextlib.suppress(OSError, ValueError):  # a caller that hung up or spoke nonsense gets no answer
            if not is_own_account(connection, os.geteuid()):
                print("a process of another account gave an order and got no answer", flush=True)
                return
            order = order or read_order(connection)
            self._reap()
            send_answer(connection, self._answer(order, connection))

    def _answer(self, order: Order, connection: socket.socket) -> Answer:
        if order.order == "launch":
            return self._launch(order, connection)
        if order.order == "terminate":
            return self._terminate(order.run_id)
        return self._children.standing(order.run_id)

    def _launch(self, order: Order, connection: socket.socket) -> Launched:
        """Asked twice for the same run, the runner starts it once."""
        if not self._children.knows(order.run_id):
            refused = self._why_not_fork(Held(descriptor=connection.fileno(), order=order))
            if refused is None and order.answer_by_s is not None and order.answer_by_s < time.monotonic():
                refused = "The order came too late: whoever gave it listens no more."
            if refused is not None:
                return Launched(refused=refused)
            self._children.enqueue(order.run_id, order.start_by_s)
            self._start_those_whose_turn_it_is(connection)
        child = self._children.alive.get(order.run_id)
        return Launched(
            place=self._place,
            runner=self._self,
            run=child.process if child is not None else None,
            queued_behind=self._children.queued_behind(order.run_id),
            refused=self._children.never_started(order.run_id),
        )

    def _terminate(self, run_id: str) -> Terminated:
        if self._children.queued_behind(run_id) is not None:
            self._children.remove_from_queue(run_id, "it was never started: it was terminated while it waited for its turn")
            return Terminated(was="queued")
        if run_id not in self._children.alive:
            return Terminated(was="ended" if self._children.knows(run_id) else "unknown")
        os.kill(self._children.alive[run_id].process.pid, signal.SIGINT)
        self._children.interrupted(run_id, time.monotonic())
        return Terminated(was="running")

    def _start_those_whose_turn_it_is(self, connection: socket.socket | None = None) -> None:
        def close() -> None:
            self._door.close()
            if connection is not None:
                connection.close()

        while (run_id := self._children.next_to_start(time.monotonic())) is not None:
            try:
                pid = fork_a_run(run_id, self._execute, close)
            except OSError as error:  # no memory, or too many processes
                self._children.remove_from_queue(run_id, f"it was never started: the system gave it no process ({error})")
                continue
            self._forks += 1
            self._children.began(run_id, named(pid))

    def _why_not_fork(self, caller: Held | None = None) -> str | None:
        """Why no run can be started. If that is because the code has changed, this process goes on as a new program, and never returns here."""
        why = self._freshness.why_renew(time.monotonic())
        if why is not None:
            self._renew(why, caller)
        return self._freshness.refusal

    def _renew(self, why: str, caller: Held | None = None) -> None:
        """Become a new program. Returns when that is impossible, or when the runner is to stop."""
        began_ns = time.time_ns()
        problem = renewal.why_the_core_does_not_import()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            if problem is None and not self._stop.asked:
                renewal.become_new(self._handover(why, caller))
        except OSError as error:
            problem = str(error)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        self._freshness.refuse(refusal_because(problem or "the runner is to stop"), began_ns, time.monotonic())

    def _handover(self, why: str, caller: Held | None) -> Handover:
        held = (caller,) if caller is not None else ()
        return Handover(listener=self._door.fileno(), bound=self._door.bound, book=self._children.book(), held=held, why=why)

    def _reap(self) -> None:
        for run_id, child in list(self._children.alive.items()):
            try:
                done, status = os.waitpid(child.process.pid, os.WNOHANG)
            except ChildProcessError:  # not ours, or somebody else has waited for it: either way it is not at work for us
                done, status = child.process.pid, 1 << 8
            if done:
                self._children.has_ended(run_id, os.waitstatus_to_exitcode(status))

    def _kill_the_unwilling(self, now_s: float) -> None:
        for child in self._children.alive.values():
            if child.interrupted_at_s is not None and now_s - child.interrupted_at_s > KILL_AFTER_S:
                os.kill(child.process.pid, signal.SIGKILL)

    def _stop_children(self) -> None:
        """Interrupt the runs, so that each can write down that it ended; kill those that do not end in time."""
        for child in self._children.alive.values():
            os.kill(child.process.pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._children.alive and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.05)
        for child in self._children.alive.values():
            os.kill(child.process.pid, signal.SIGKILL)
            os.waitpid(child.process.pid, 0)


def refusal_because(problem: str) -> str:
    """The words for a launch that is refused because of the code."""
    return f"The code on disk cannot be used ({problem}). Runs that have begun go on; new ones start when it can be."
