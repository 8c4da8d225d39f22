"""The run launcher of `dagster.yaml`: asks the warm runner to fork a run; without a runner it is Dagster's own default launcher.

Falling back is safe only while nothing was asked for yet: no runner configured, or no connection to it. When the runner was asked and did
not answer, nobody knows whether the run lives, so the launch fails, and `recovery.py` follows it with a new attempt.
Not here: how a run is executed (`runner.py`), and how it is judged whether a run of the code server lives (`witnesses.py`).
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from typing import Any, Final

from dagster import DagsterRun
from dagster._core.errors import DagsterLaunchFailedError, DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import ConfigurableClassData, deserialize_value

from stella_pipelines.jobs.witnesses import heard, judged

SOCKET_VARIABLE: Final = "STELLA_RUNNER_SOCKET"
RUNNER_TAG: Final = "stella/runner_pid"
ANSWER_TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 64 * 1024


class RunnerAway(Exception):
    """No runner is configured, or none listens: nothing was asked of anybody."""


def ask_runner(path: str | None, order: str, run_id: str) -> Mapping[str, Any]:
    """One order to the runner and its answer. Raises `RunnerAway` when it was not asked, `OSError` when it did not answer."""
    if not path:
        raise RunnerAway
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_TIMEOUT_S)
        try:
            connection.connect(path)
        except OSError as error:
            raise RunnerAway from error
        connection.sendall(json.dumps({"order": order, "run_id": run_id}).encode() + b"\n")
        with connection.makefile("rb") as answers:
            line = answers.readline(ANSWER_BYTES_MAX)
    if not line:
        raise ConnectionError("the runner closed the connection without an answer")
    answer: Mapping[str, Any] = json.loads(line)
    return answer


def _launch_failed(message: str) -> DagsterLaunchFailedError:
    return DagsterLaunchFailedError(message)  # type: ignore[no-untyped-call]  # Dagster's own class has no annotations


class WarmRunLauncher(DefaultRunLauncher):
    """Launches a run in 0.4 s instead of 4 to 15 s: the runner has imported everything already and forks."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._socket_path = os.environ.get(SOCKET_VARIABLE)

    def launch_run(self, context: LaunchRunContext) -> None:
        run = context.dagster_run
        try:
            answer = ask_runner(self._socket_path, "launch", run.run_id)
        except RunnerAway:
            super().launch_run(context)
            return
        except OSError as error:
            raise _launch_failed(f"The runner did not answer, so this run counts as dead: {error}. A new attempt follows.") from error
        self._instance.add_run_tags(run.run_id, {RUNNER_TAG: str(answer["pid"])})

    def terminate(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if RUNNER_TAG not in run.tags:
            return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]  # Dagster's own method has no annotations
        self._instance.report_run_canceling(run)
        try:
            return bool(ask_runner(self._socket_path, "terminate", run_id)["alive"])
        except (RunnerAway, OSError):
            return False

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the run's process lives. A runner that is away took its runs with it: they die with their parent."""
        if GRPC_INFO_TAG in run.tags and RUNNER_TAG not in run.tags:
            return judged(heard(self._instance, run, self._code_server_has(run.run_id)))
        try:
            answer = ask_runner(self._socket_path, "status", run.run_id)
        except RunnerAway:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the runner is away, and its runs with it")
        except (OSError, ValueError) as error:
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, f"the runner did not answer: {error}")
        return CheckRunHealthResult(WorkerStatus[answer["status"]], answer["says"])

    def _code_server_has(self, run_id: str) -> bool | None:
        """Whether the code server that started the run has it now; None when it cannot be asked."""
        client: DagsterGrpcClient | None = self._get_grpc_client_for_termination(run_id)  # type: ignore[no-untyped-call]  # Dagster's own method
        if client is None:
            return None
        try:
            answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run_id), timeout=int(ANSWER_TIMEOUT_S))
        except DagsterUserCodeUnreachableError:
            return None
        return deserialize_value(answer, CanCancelExecutionResult).can_cancel
