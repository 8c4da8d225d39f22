"""The run launcher of `dagster.yaml`: asks the warm runner to fork a run; without a runner it is Dagster's own default launcher.

Falling back is safe only while nothing was asked for yet: no runner configured, or no connection to it. When the runner was asked and did
not answer, nobody knows whether the run lives, so the launch fails, and `recovery.py` follows it with a new attempt.
Not here: how a run is executed (`runner.py`), and how it is judged whether a run lives that nobody can be asked about (`witnesses.py`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Final

from dagster import DagsterRun, DefaultRunLauncher
from dagster._core.errors import DagsterLaunchFailedError, DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import ConfigurableClassData, deserialize_value

from stella_pipelines.jobs.warm.orders import ANSWER_TIMEOUT_S, Launched, RunnerAway, Standing, ask_standing, ask_to_launch, ask_to_terminate
from stella_pipelines.jobs.warm.presence import Whereabouts, here, is_alive
from stella_pipelines.jobs.warm.witnesses import WHEREABOUTS_TAG, RunnerSays, heard, judged, seen, seen_from_here, whereabouts_of

SOCKET_VARIABLE: Final = "STELLA_RUNNER_SOCKET"
RUNNER_TAG: Final = "stella/runner_pid"
"""The run's process, for people; `queued` when it had to wait for its turn. What is judged by is `WHEREABOUTS_TAG`."""
START_MARGIN_S: Final = 10.0
"""So long before run monitoring gives up on a run that has not started, the runner does: a run that was failed must not start."""


def _launch_failed(message: str) -> DagsterLaunchFailedError:
    return DagsterLaunchFailedError(message)  # type: ignore[no-untyped-call]  # Dagster's own class has no annotations


class WarmRunLauncher(DefaultRunLauncher):
    """Launches a run in a tenth of a second instead of some seconds: the runner has imported everything already and forks."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._socket_path = os.environ.get(SOCKET_VARIABLE)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Have it forked. A launch that fails leaves no run behind that could still start."""
        run = context.dagster_run
        try:
            launched = ask_to_launch(self._socket_path, run.run_id, self._start_timeout_s())
        except RunnerAway:
            super().launch_run(context)
            return
        except (OSError, ValueError) as error:
            raise _launch_failed(f"The runner did not answer, so this run counts as dead: {error}. A new attempt follows.") from error
        if launched.refused is not None:
            raise _launch_failed(f"The runner did not start this run. {launched.refused} A new attempt follows.")
        self._instance.add_run_tags(run.run_id, _tags(launched))

    def terminate(self, run_id: str) -> bool:
        """Ask the run's process to end; it writes CANCELED itself. A run without a process is canceled here."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if GRPC_INFO_TAG in run.tags and RUNNER_TAG not in run.tags:
            return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]  # Dagster's own method has no annotations
        self._instance.report_run_canceling(run)
        try:
            was = ask_to_terminate(self._socket_path, run_id).was
        except (RunnerAway, OSError, ValueError):
            return _interrupted(whereabouts_of(run))
        if was == "queued":
            self._instance.report_run_canceled(run, "This run was canceled while it waited for its turn; nothing was executed.")
        return was in ("running", "queued")

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring asks us."""
        return True

    @property
    def supports_resume_run(self) -> bool:
        """Never: a resumed run would replay steps that took effect. `recovery.py` starts a new attempt, which goes on from the journal."""
        return False

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the run's process lives. Run monitoring fails a run that is neither RUNNING nor SUCCESS, whatever else is said."""
        if GRPC_INFO_TAG in run.tags and RUNNER_TAG not in run.tags:
            return judged(heard(self._instance, run, self._code_server_has(run.run_id)))
        runner, standing = self._standing(run.run_id)
        if standing is None or standing.status == "NOT_FOUND":
            return seen_from_here(seen(self._instance, run, runner, time.time()))
        if standing.status == "SUCCESS" and self._is_unfinished(run.run_id):
            return CheckRunHealthResult(WorkerStatus.FAILED, f"{standing.says}, and nobody wrote down how the run ended")
        return CheckRunHealthResult(WorkerStatus[standing.status], standing.says)

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """What the runner says about it: Dagster writes this into the log of a run that it fails because it did not start."""
        del include_container_logs
        _, standing = self._standing(run.run_id)
        return f"The runner says: {standing.says}." if standing is not None else None

    def _standing(self, run_id: str) -> tuple[RunnerSays, Standing | None]:
        try:
            standing = ask_standing(self._socket_path, run_id)
        except RunnerAway:
            return "away", None
        except (OSError, ValueError):
            return "silent", None
        return "unknown" if standing.status == "NOT_FOUND" else "known", standing

    def _is_unfinished(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        return run is not None and not run.is_finished

    def _start_timeout_s(self) -> float:
        """How long the run may wait for its turn; 0 when nobody watches over its start."""
        timeout_s = self._instance.run_monitoring_start_timeout_seconds if self._instance.run_monitoring_enabled else 0
        return max(timeout_s - START_MARGIN_S, timeout_s / 2) if timeout_s > 0 else 0.0

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


def _tags(launched: Launched) -> dict[str, str]:
    tags = {RUNNER_TAG: str(launched.run.pid) if launched.run is not None else "queued"}
    if launched.place is not None and launched.runner is not None:
        tags[WHEREABOUTS_TAG] = Whereabouts(place=launched.place, runner=launched.runner, run=launched.run).model_dump_json()
    return tags


def _interrupted(where: Whereabouts | None) -> bool:
    """Interrupt the process itself, when the runner cannot be asked and the process is one of this place."""
    if where is None or where.run is None or where.place != here() or not is_alive(where.run):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(where.run.pid, signal.SIGINT)
        return True
    return False
