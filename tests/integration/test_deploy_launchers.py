"""The two `dagster.yaml` for runs that are containers or ECS tasks: Dagster takes them, they keep what was decided, and their runs behave like ours.

No container and no task is started here. ECS is answered by a stand-in below botocore, which checks every request against AWS's own model first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.httpsession
import dagster as dg
import pytest
import yaml
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from dagster._core.events import DagsterEvent
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher import LaunchRunContext, RunLauncher
from dagster._grpc.types import ExecuteRunArgs
from dagster_aws.ecs import EcsRunLauncher
from dagster_docker import DockerRunLauncher

from stella_pipelines.core.settings import DATABASE_VARIABLE, HOME_VARIABLE
from stella_pipelines.jobs.elsewhere import REFUSED
from stella_pipelines.jobs.submission import submit_pending
from tests.support.databases import Databases
from tests.support.deploy_files import DEPLOY, ROOT
from tests.support.installation import NESTED_RESOURCES, SmallInstallation, fast_home, shop_estate, small_installation

pytestmark = pytest.mark.filterwarnings(NESTED_RESOURCES)
VARIANTS = ("docker", "ecs")
IMAGE = "registry.example.com/stella-pipelines@sha256:" + "a" * 64
TASK = "arn:aws:ecs:eu-central-1:123456789012:task-definition/stella-run:7"
START_TIMEOUT_S = 60.0
WORKER = ["python", "-m", "stella_pipelines.jobs.elsewhere"]


def configuration(variant: str) -> dict[str, Any]:
    name = f"dagster.{variant}-launcher.yaml" if variant else "dagster.postgres.yaml"
    found: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return found


def launcher_of(variant: str, folder: Path) -> RunLauncher[Any]:
    """The launcher as the daemon makes it from this file, after Dagster has checked the whole of it."""
    (folder / "dagster.yaml").write_text((DEPLOY / f"dagster.{variant}-launcher.yaml").read_text())
    data = InstanceRef.from_dir(str(folder)).run_launcher_data
    assert data is not None
    launcher = data.rehydrate(as_type=RunLauncher)
    assert launcher is not None
    return launcher


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_what_has_to_differ_differs(variant: str) -> None:
    mine, ours = configuration(variant), configuration("")
    differs = {"run_launcher", "run_monitoring"} | ({"compute_logs"} if variant == "ecs" else set())
    assert {key for key in ours if mine[key] != ours[key]} == differs
    assert mine.keys() == ours.keys()
    times = {"start_timeout_seconds", "cancel_timeout_seconds"}
    assert {key for key, value in ours["run_monitoring"].items() if mine["run_monitoring"][key] != value} <= times
    assert mine["run_monitoring"]["max_resume_run_attempts"] == 0


def test_dagster_takes_the_docker_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STELLA_IMAGE", IMAGE)
    launcher = launcher_of("docker", tmp_path)
    assert isinstance(launcher, DockerRunLauncher)
    assert launcher.image == IMAGE
    assert launcher.container_kwargs["entrypoint"][-3:] == WORKER
    assert not any("PASSWORD" in name and not name.partition("=")[0].endswith("_FILE") for name in launcher.env_vars)
    assert launcher.container_kwargs["stop_timeout"] < configuration("docker")["run_monitoring"]["cancel_timeout_seconds"]


class Aws:
    """What ECS would answer, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        action = request.headers["X-Amz-Target"].decode().rpartition(".")[2]
        self.asked.append((action, json.loads(request.body)))
        definition = json.loads((DEPLOY / "ecs-run-task.json").read_text()) | {"taskDefinitionArn": TASK}
        task = {"taskArn": "arn:aws:ecs:eu-central-1:123456789012:task/stella/1", "clusterArn": "arn:aws:ecs:eu-central-1:123456789012:cluster/stella"}
        answer = {"RunTask": {"tasks": [task], "failures": []}}.get(action, {"taskDefinition": definition})
        response = AWSResponse(request.url, 200, {"content-type": "application/x-amz-json-1.1"}, None)
        response._content = json.dumps(answer).encode()
        return response


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    answering = Aws()
    settings = {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    for name, value in {**settings, "STELLA_ECS_TASK_DEFINITION": "stella-run:7", "STELLA_ECS_CLUSTER": "stella"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(botocore.httpsession.URLLib3Session, "send", answering.send)
    return answering


def test_aws_takes_the_task_definition(aws: Aws, tmp_path: Path) -> None:
    launcher = launcher_of("ecs", tmp_path)
    assert isinstance(launcher, EcsRunLauncher)
    definition = json.loads((DEPLOY / "ecs-run-task.json").read_text())
    launcher.ecs.register_task_definition(**definition)  # botocore refuses what AWS's model does not know
    (container,) = definition["containerDefinitions"]
    assert container["name"] == launcher.container_name
    assert container["entryPoint"][-3:] == WORKER
    assert container["stopTimeout"] < configuration("ecs")["run_monitoring"]["cancel_timeout_seconds"]
    assert not [one for one in container["environment"] if "PASSWORD" in one["name"]]


@pytest.fixture
def stella(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallInstallation]:
    """An installation on PostgreSQL that has asked for a promotion, and submitted its run."""
    with databases.fresh("postgres", with_dagster=True) as url, fast_home() as home:
        monkeypatch.setenv(HOME_VARIABLE, str(home))
        monkeypatch.setenv(DATABASE_VARIABLE, url)
        with small_installation(home, database_url=url) as installation:
            installation.apply(shop_estate())
            installation.request()
            submit_pending(installation.plane, installation.submitter())
            yield installation


def order(stella: SmallInstallation) -> tuple[dg.DagsterRun, list[str]]:
    """The run, and the command that a launcher of Dagster's makes for it."""
    (run,) = stella.runs()
    assert run.job_code_origin is not None
    return run, list(ExecuteRunArgs(job_origin=run.job_code_origin, run_id=run.run_id, instance_ref=stella.instance.get_ref()).get_command_args())


def starting(stella: SmallInstallation, run: dg.DagsterRun) -> None:
    """What the daemon writes before it has a run launched."""
    event = DagsterEvent(event_type_value=dg.DagsterEventType.PIPELINE_STARTING.value, job_name=run.job_name)
    stella.instance.report_dagster_event(event, run_id=run.run_id)


def started(stella: SmallInstallation, command: list[str]) -> subprocess.Popen[str]:
    """What a container does."""
    environ = {**os.environ, "DAGSTER_HOME": str(stella.plane.settings.home / "dagster"), "PYTHONPATH": str(ROOT)}
    words = [sys.executable, *WORKER[1:], *command]
    return subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=120)
    return process.returncode, said


@pytest.mark.postgres
def test_a_task_is_asked_for_with_our_command(aws: Aws, stella: SmallInstallation, tmp_path: Path) -> None:
    run, command = order(stella)
    launcher = launcher_of("ecs", tmp_path)
    launcher.register_instance(stella.instance)
    launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
    asked = dict(aws.asked)["RunTask"]
    (override,) = asked["overrides"]["containerOverrides"]
    assert (override["name"], override["command"][-3:-1]) == ("run", command[-3:-1])
    assert asked["taskDefinition"] == TASK
    assert "password" not in json.dumps(asked).lower()


@pytest.mark.postgres
@pytest.mark.slow
def test_a_run_is_carried_out_and_never_resumed(stella: SmallInstallation) -> None:
    run, command = order(stella)
    code, said = ended(started(stella, [*command[:-2], "resume_run", command[-1]]))
    assert code == REFUSED
    assert "not done here" in said
    starting(stella, run)
    code, said = ended(started(stella, command))
    assert code == 0, said
    assert stella.runs()[0].status is dg.DagsterRunStatus.SUCCESS


@pytest.mark.postgres
@pytest.mark.slow
def test_a_run_that_was_failed_meanwhile_stays_failed(stella: SmallInstallation) -> None:
    run, command = order(stella)
    starting(stella, run)
    with stella.plane.store.writing() as tx:
        tx.connection.exec_driver_sql("LOCK TABLE promotion_evaluations IN ACCESS EXCLUSIVE MODE")  # the run waits in its first step
        process = started(stella, command)
        deadline = time.monotonic() + START_TIMEOUT_S
        while stella.runs()[0].status is not dg.DagsterRunStatus.STARTED:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        stella.instance.report_run_failed(stella.runs()[0], "its container was not found")
    ended(process)
    assert stella.runs()[0].status is dg.DagsterRunStatus.FAILURE
