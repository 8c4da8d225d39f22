"""What is said over the runner's socket, both sides: one order and one answer per connection, each a line of JSON.

The socket is private: the runner answers only callers of its own account. Not here: what an order does (`runner.py`).
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Final, Literal, TypeVar

from stella_pipelines.core.values import Value
from stella_pipelines.jobs.warm.presence import Place, ProcessName

ANSWER_TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 64 * 1024
ORDER_BYTES_MAX: Final = 64 * 1024
ORDER_TIMEOUT_S: Final = 5.0
_CREDENTIALS: Final = struct.Struct("3i")
"""The kernel's `struct ucred`: process, user and group of the peer."""


class Order(Value):
    """What somebody asks of the runner. Times are seconds of the kernel's monotonic clock, which all processes of a machine share."""

    order: Literal["launch", "terminate", "status"]
    run_id: str
    answer_by_s: float | None = None
    """Afterwards nobody listens to the answer: the caller has told Dagster that the launch failed."""
    start_by_s: float | None = None
    """Afterwards the run must not start any more: run monitoring fails what does not start in time."""


class Launched(Value):
    """The run is started (`run` is its process), waits for its turn, has ended before (`run` is None, nothing before it), or was refused."""

    place: Place | None = None
    runner: ProcessName | None = None
    run: ProcessName | None = None
    queued_behind: int | None = None
    refused: str | None = None


class Terminated(Value):
    """What the run was when it was asked to end. Only a running process writes its own end down."""

    was: Literal["running", "queued", "ended", "unknown"]


class Standing(Value):
    """What the runner knows about a run."""

    status: Literal["RUNNING", "SUCCESS", "FAILED", "NOT_FOUND"]
    says: str


Answer = Launched | Terminated | Standing
Wanted = TypeVar("Wanted", Launched, Terminated, Standing)


class RunnerAway(Exception):
    """No runner is configured, or none listens: nothing was asked of anybody."""


def ask_to_launch(path: str | None, run_id: str, start_timeout_s: float = 0.0) -> Launched:
    """Ask for a run's start, at the latest `start_timeout_s` from now (0: whenever its turn comes)."""
    now = time.monotonic()
    start_by_s = now + start_timeout_s if start_timeout_s > 0 else None
    return _asked(path, Order(order="launch", run_id=run_id, answer_by_s=now + ANSWER_TIMEOUT_S, start_by_s=start_by_s), Launched)


def ask_to_terminate(path: str | None, run_id: str) -> Terminated:
    """Ask that a run ends."""
    return _asked(path, Order(order="terminate", run_id=run_id), Terminated)


def ask_standing(path: str | None, run_id: str) -> Standing:
    """Ask what the runner knows about a run."""
    return _asked(path, Order(order="status", run_id=run_id), Standing)


def _asked(path: str | None, order: Order, wanted: type[Wanted]) -> Wanted:
    """Raises `RunnerAway` when nobody was asked, `OSError` or `ValueError` when somebody was and gave no answer."""
    if not path:
        raise RunnerAway
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_TIMEOUT_S)
        try:
            connection.connect(path)
        except OSError as error:
            raise RunnerAway from error
        connection.sendall(order.model_dump_json().encode() + b"\n")
        with connection.makefile("rb") as answers:
            line = answers.readline(ANSWER_BYTES_MAX)
    if not line:
        raise ConnectionError("the runner closed the connection without an answer")
    return wanted.model_validate_json(line)


def read_order(connection: socket.socket) -> Order:
    """The caller's order. `ValueError` for nonsense, `OSError` for a caller who hung up or says nothing."""
    connection.settimeout(ORDER_TIMEOUT_S)
    with connection.makefile("rb") as orders:
        return Order.model_validate_json(orders.readline(ORDER_BYTES_MAX))


def send_answer(connection: socket.socket, answer: Answer) -> None:
    """Answer the caller."""
    connection.sendall(answer.model_dump_json().encode() + b"\n")


def is_own_account(connection: socket.socket, own_uid: int) -> bool:
    """Whether the process at the other end belongs to this account: the kernel says so, and the caller cannot lie about it."""
    _, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return bool(uid == own_uid)
