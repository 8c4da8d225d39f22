"""`stella up` for real: every process started, a promotion carried out and seen through the UI's own API, crashes survived, nothing left."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.settings import Settings
from stella_pipelines.environments.estate import parse_estate
from stella_pipelines.lab.lab import Lab
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from stella_pipelines.supervisor import home as dagster_files
from stella_pipelines.supervisor.errors import AddressInUse, AlreadyUp, ProcessDied
from stella_pipelines.supervisor.supervisor import run
from tests.support.databases import Databases
from tests.support.installation import ALICE, fast_home
from tests.support.running_installation import left_of, process, up
from tests.support.waiting import eventually

CARRY_TIMEOUT_S = 120.0
RUNS = "{ runsOrError { ... on Runs { results { jobName status runId tags { key value } } } } }"
EXECUTE = """mutation {
  launchPipelineExecution(executionParams: {
    selector: {
      repositoryLocationName: "stella", repositoryName: "__repository__", pipelineName: "__ASSET_JOB", assetSelection: [],
      assetCheckSelection: [{assetKey: {path: ["environments", "%s"]}, name: "what_runs_is_what_was_released"}]
    }
    mode: "default", runConfigData: {}
  }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
}"""
"""What the button of a check sends."""
ENDED = '{ runOrError(runId: "%s") { ... on Run { status eventConnection { events { __typename } } } } }'
ASSETS = "{ assetNodes { assetKey { path } } }"


def settings_in(home: Path) -> Settings:
    return Settings(home=home, database_url=f"sqlite:///{home / 'stella.db'}")


def graphql(address: str, query: str) -> Any:
    answer = httpx.post(f"{address}/graphql", json={"query": query}, timeout=60.0, trust_env=False).json()
    assert "errors" not in answer, answer
    return answer["data"]


def assets(address: str) -> set[str]:
    return {"/".join(node["assetKey"]["path"]) for node in graphql(address, ASSETS)["assetNodes"]}


def release(plane: ControlPlane, lab: Lab, image: str, name: str, version: str) -> Digest:
    made = plane.releases.create(ALICE, name=name, version=version, images={"web": lab.images[image]}, registries=plane.registry, finalize=True)
    assert made.digest is not None
    return made.digest


def carried_out(plane: ControlPlane, digest: Digest) -> Promotion:
    """Ask for dev and wait until the running installation has brought it there."""
    asked = plane.promotions.request(ALICE, environment="dev", release_digest=digest, reason="test")
    moving = (PromotionState.EVALUATING, PromotionState.APPROVED, PromotionState.DEPLOYING, PromotionState.WAITING)
    eventually(lambda: plane.promotions.get(asked.id).state not in moving, CARRY_TIMEOUT_S)
    return plane.promotions.get(asked.id)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def settings(request: pytest.FixtureRequest, databases: Databases) -> Iterator[Settings]:
    """An installation wholly on one of the two databases, empty at first: our store and Dagster's own storage."""
    with fast_home() as home:
        if request.param == "sqlite":
            yield settings_in(home)
            return
        with databases.fresh("postgres", migrated=False) as url:
            yield Settings(home=home, database_url=url)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at /proc for what is left; run it on Linux")
def test_an_installation_comes_up_works_survives_crashes_and_goes(tmp_path: Path, settings: Settings) -> None:
    home = settings.home
    with Lab("embedded", tmp_path / "lab") as lab, open_control_plane(settings) as plane:
        estate = parse_estate(lab.estate_path.read_text(), "estate.yaml")
        with up(settings) as address:
            # Declared after the start: the code location is loaded again by itself.
            plane.environments.apply(ALICE, estate, source_digest=estate.content_digest())
            first = release(plane, lab, "v1", "shop", "1.0.0")
            eventually(lambda: {"environments/dev", "evidence/prod", "releases/shop", "images/web"} <= assets(address), CARRY_TIMEOUT_S)

            promotion = carried_out(plane, first)
            assert promotion.state is PromotionState.DEPLOYED
            _every_run_succeeded(address, promotion.id)
            _a_check_is_executed_as_its_button_does_it(address)

            # Whatever dies comes back, and the next promotion goes through.
            for name in (r"supervisor\.submitter", r"jobs\.warm\.runner", r"dagster\._daemon"):
                _kill_and_wait(home, name)
            second = carried_out(plane, release(plane, lab, "v2", "shop", "1.1.0"))
            assert second.state is PromotionState.DEPLOYED
            _a_deployment_survives_its_run(address, plane, release(plane, lab, "v3", "shop", "1.2.0"))
            with pytest.raises(AlreadyUp):
                run(settings, "127.0.0.1", 0, lambda _: None, threading.Event())
        with pytest.raises(httpx.ConnectError):
            httpx.get(address, trust_env=False)
        assert sorted(path.name for path in (home / "logs").iterdir()) == [
            f"{name}.log" for name in ("code-server", "daemon", "runner", "submitter", "webserver")
        ]


def _every_run_succeeded(address: str, promotion_id: str) -> None:
    """The UI's own API shows one run per job, forked by the runner, and both end well."""

    def ended() -> dict[str, dict[str, Any]] | None:
        results = graphql(address, RUNS)["runsOrError"]["results"]
        runs = {found["jobName"]: found for found in results if {"key": "stella/promotion", "value": promotion_id} in found["tags"]}
        return runs if len(runs) == 2 and all(found["status"] in ("SUCCESS", "FAILURE") for found in runs.values()) else None

    runs = eventually(ended, CARRY_TIMEOUT_S)
    assert {name: found["status"] for name, found in runs.items()} == {"promotion": "SUCCESS", "deployment": "SUCCESS"}
    assert all("stella/runner_pid" in {tag["key"] for tag in found["tags"]} for found in runs.values())


def _a_check_is_executed_as_its_button_does_it(address: str) -> None:
    launched = graphql(address, EXECUTE % "dev")["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched

    def ended() -> dict[str, Any] | None:
        run: dict[str, Any] = graphql(address, ENDED % launched["run"]["runId"])["runOrError"]
        return run if run["status"] in ("SUCCESS", "FAILURE", "CANCELED") else None

    run = eventually(ended, CARRY_TIMEOUT_S)
    assert run["status"] == "SUCCESS"
    assert "AssetCheckEvaluationEvent" in {event["__typename"] for event in run["eventConnection"]["events"]}


def _a_deployment_survives_its_run(address: str, plane: ControlPlane, sick: Digest) -> None:
    """The run is killed while it waits for a release that never gets healthy in staging; the next one resumes from the journal and takes it back."""
    assert carried_out(plane, sick).state is PromotionState.DEPLOYED
    asked = plane.promotions.request(ALICE, environment="staging", release_digest=sick, reason="test")
    record = eventually(lambda: next((one for one in plane.deployments.list("staging", 1) if one.promotion_id == asked.id), None), CARRY_TIMEOUT_S)
    eventually(lambda: any(row.step == "activate" and row.phase == "outcome" for row in plane.deployments.journal(record.id)), CARRY_TIMEOUT_S)
    os.kill(int(_runs_of(address, asked.id)["deployment"][0]["stella/runner_pid"]), signal.SIGKILL)

    eventually(lambda: plane.promotions.get(asked.id).state is PromotionState.ROLLED_BACK, CARRY_TIMEOUT_S)
    assert plane.deployments.get(record.id).state == "rolled_back"
    assert len(_runs_of(address, asked.id)["deployment"]) == 2
    rows = plane.deployments.journal(record.id)
    assert [row.step for row in rows if row.phase == "outcome"].count("activate") == 1
    assert len({row.fence for row in rows if row.target}) == 2, "the second run acted under a higher token"


def _runs_of(address: str, promotion_id: str) -> dict[str, list[dict[str, str]]]:
    """By job: the tags of the promotion's runs."""
    found: dict[str, list[dict[str, str]]] = {}
    for one in graphql(address, RUNS)["runsOrError"]["results"]:
        tags = {tag["key"]: tag["value"] for tag in one["tags"]}
        if tags.get("stella/promotion") == promotion_id:
            found.setdefault(one["jobName"], []).append(tags)
    return found


def _kill_and_wait(home: Path, pattern: str) -> None:
    """Kill a process for good and wait for its successor."""
    victim = process(home, pattern)
    os.kill(victim, signal.SIGKILL)

    def successor() -> bool:
        return bool([pid for pid, command in left_of(home).items() if re.search(pattern, command) and pid != victim])

    eventually(successor, 30.0)


def test_a_process_that_cannot_start_is_reported_with_its_last_words() -> None:
    with fast_home() as home:
        home.mkdir()
        (home / "dagster.yaml").write_text("no_such_setting: 1\n")
        with pytest.raises(ProcessDied, match="no_such_setting"), up(settings_in(home)):
            pytest.fail("it came up")
        assert left_of(home) == {}


def test_a_port_that_is_taken_is_said_before_anything_starts() -> None:
    with fast_home() as home, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(AddressInUse, match="--port"):
            run(settings_in(home), "127.0.0.1", taken.getsockname()[1], lambda _: None, threading.Event())
        assert not (home / "logs" / "runner.log").exists()


def test_an_operators_own_instance_configuration_wins() -> None:
    with fast_home() as home:
        settings = settings_in(home)
        home.mkdir()
        assert "WarmRunLauncher" in dagster_files.instance_configuration(settings)
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        with dagster_files.dagster_home(settings) as made:
            assert (made.folder / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_sockets_have_a_place_whatever_the_length_of_the_home(tmp_path: Path) -> None:
    for home in (tmp_path / "h", tmp_path / ("long" * 40)):
        with dagster_files.dagster_home(settings_in(home)) as made:
            assert len(os.fsencode(made.runner_socket)) <= dagster_files.SOCKET_PATH_BYTES_MAX
            assert made.runner_socket.parent.stat().st_mode & 0o077 == 0
        assert not made.runner_socket.parent.exists()


def test_what_an_installation_writes_down_is_its_owners_alone(tmp_path: Path) -> None:
    """Also in folders that an earlier version left open; logs quote what engines and registries say."""
    for folder in (tmp_path, tmp_path / "logs", tmp_path / "dagster"):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    with dagster_files.dagster_home(settings_in(tmp_path)) as made:
        assert [path.stat().st_mode & 0o777 for path in (tmp_path, made.logs, made.folder)] == [0o755, 0o700, 0o700]
