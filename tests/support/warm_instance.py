"""A Dagster instance whose runs are forked by a real runner, with jobs that wait (`waiting_jobs.py`), and the mutations that the UI sends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import dagster as dg
import yaml
from dagster._core.code_pointer import CodePointer
from dagster._core.instance.ref import InstanceRef
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster_graphql.schema import create_schema

from stella_pipelines.core.settings import HOME_VARIABLE, Settings
from stella_pipelines.jobs.warm.launcher import WarmRunLauncher
from stella_pipelines.jobs.warm.runner import CHILDREN_VARIABLE
from stella_pipelines.supervisor.home import dagster_home
from tests.support import waiting_jobs
from tests.support.installation import ROOT
from tests.support.waiting import eventually
from tests.support.warm_runner import alive

PROGRAM = """
import sys
from stella_pipelines.jobs.warm import dispatching, runner, watching
watching.LOOK_EVERY_S, watching.PATIENCE_S, dispatching.KILL_AFTER_S = 0.2, 0.5, 4.0
runner.main(sys.argv[1])
"""
"""The runner, less patient than in life."""
TERMINATE = """mutation ($runId: String!, $policy: TerminateRunPolicy) {
  terminateRun(runId: $runId, terminatePolicy: $policy) { __typename ... on TerminateRunFailure { message } ... on PythonError { message } }
}"""


class WarmInstance:
    """An instance, its runner, and the folder in which runs and tests leave each other files."""

    def __init__(self, instance: dg.DagsterInstance, runner: subprocess.Popen[bytes], folder: Path, socket_path: Path) -> None:
        self.instance, self.runner, self.folder, self.socket_path = instance, runner, folder, socket_path
        launcher = instance.run_launcher
        assert isinstance(launcher, WarmRunLauncher)
        self.launcher = launcher

    def forget(self) -> None:
        """Let no file of an earlier test speak to a later one."""
        for path in self.folder.iterdir():
            path.unlink()

    def create(self, job: dg.JobDefinition = waiting_jobs.patient, status: dg.DagsterRunStatus = dg.DagsterRunStatus.NOT_STARTED) -> str:
        """A run that nobody has launched."""
        pointer = CodePointer.from_module("tests.support.waiting_jobs", "defs", working_directory=None)
        repository = RepositoryPythonOrigin(executable_path=sys.executable, code_pointer=pointer, entry_point=["dagster"])
        location = GrpcServerCodeLocationOrigin(host="localhost", socket="/nowhere.sock", location_name="waiting")
        return self.instance.create_run_for_job(
            job,
            status=status,
            job_code_origin=JobPythonOrigin(job.name, repository),
            remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job.name),
        ).run_id

    def launch(self, run_id: str) -> str:
        """As the daemon does it when the run's turn in Dagster's queue has come."""
        self.instance.launch_run(run_id, cast(Any, None))
        return run_id

    def began(self, job: dg.JobDefinition = waiting_jobs.patient) -> str:
        """A run whose op is at work."""
        run_id = self.launch(self.create(job))
        eventually(lambda: self.did(run_id, "began"))
        return run_id

    def run(self, run_id: str) -> dg.DagsterRun:
        found = self.instance.get_run_by_id(run_id)
        assert found is not None
        return found

    def status(self, run_id: str) -> str:
        return self.run(run_id).status.value

    def has_ended(self, run_id: str) -> bool:
        return self.run(run_id).is_finished

    def did(self, run_id: str, what: str) -> bool:
        """Whether the run's op came so far: `began`, `effect`."""
        return (self.folder / f"{what} {run_id}").exists()

    def process_of(self, run_id: str) -> int:
        """The process that the launcher wrote down; 0 while it waits for its turn."""
        tag = self.run(run_id).tags["stella/runner_pid"]
        return int(tag) if tag.isdecimal() else 0

    def is_gone(self, run_id: str) -> bool:
        return not alive(self.process_of(run_id))

    def let_go(self) -> None:
        """Every op goes on."""
        (self.folder / "go").touch()

    def terminate(self, run_id: str, policy: str = "SAFE_TERMINATE") -> dict[str, Any]:
        """What the button in the UI does."""
        with WorkspaceProcessContext(instance=self.instance, workspace_load_target=EmptyWorkspaceTarget()) as context:
            result = create_schema().execute(TERMINATE, context=context.create_request_context(), variables={"runId": run_id, "policy": policy})
        assert result.errors is None, result.errors
        answer: dict[str, Any] = result.data["terminateRun"]
        return answer


@contextmanager
def warm_instance(home: Path, children_max: int = 8, monitoring: Mapping[str, int] | None = None) -> Iterator[WarmInstance]:
    """One with a runner of its own."""
    settings, folder = Settings(home=home, database_url=f"sqlite:///{home / 'stella.db'}"), home / "files"
    folder.mkdir(parents=True)
    with dagster_home(settings) as files:
        configuration = yaml.safe_load((files.folder / "dagster.yaml").read_text())
        configuration["run_monitoring"] |= monitoring or {}
        (files.folder / "dagster.yaml").write_text(yaml.safe_dump(configuration))
        environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DAGSTER_HOME": str(files.folder),
            HOME_VARIABLE: str(home),
            CHILDREN_VARIABLE: str(children_max),
            waiting_jobs.FOLDER_VARIABLE: str(folder),
            "IN_A_RUN": "yes",
        }
        with (home / "runner.log").open("wb") as log:
            runner = subprocess.Popen([sys.executable, "-c", PROGRAM, str(files.runner_socket)], env=environ, stdout=log, stderr=log)
        try:
            eventually(lambda: files.runner_socket.exists() or runner.poll() is not None, 60)
            assert runner.poll() is None, (home / "runner.log").read_text()
            with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(files.folder))) as instance:
                made = WarmInstance(instance, runner, folder, files.runner_socket)
                made.launcher._socket_path = str(files.runner_socket)
                yield made
        finally:
            runner.kill()
            runner.wait()
