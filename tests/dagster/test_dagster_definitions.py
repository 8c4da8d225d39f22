"""The whole code location is loaded and looked at: what an operator finds in the catalogue, for every state that the store can be in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.execution.api import create_execution_plan
from dagster._core.instance.ref import InstanceRef
from dagster._core.run_coordinator import QueuedRunCoordinator

from assets.catalogue import Catalogue, read_catalogue
from assets.keys import InvalidPartitionKey, check_partition_key
from assets.specs import asset_specs
from stella_pipelines.definitions import definitions
from stella_pipelines.environments.model import DockerAccess, Target
from stella_pipelines.jobs.submission import python_origin
from stella_pipelines.jobs.warm.launcher import WarmRunLauncher
from tests.support.installation import ROOT, add_release, shop_estate, small_installation

SNAPSHOT = Path(__file__).parent / "definitions.json"


def described(defs: dg.Definitions) -> dict[str, Any]:
    """The definitions in words, without what changes from run to run."""
    repository = defs.get_repository_def()
    graph = repository.asset_graph
    assets = {
        "/".join(key.path): {
            "group": graph.get(key).group_name,
            "from": sorted("/".join(parent.path) for parent in graph.get(key).parent_keys),
            "partitions": getattr(graph.get(key).partitions_def, "name", None),
            "button": graph.get(key).is_executable,
        }
        for key in sorted(graph.get_all_asset_keys())
    }
    jobs = {
        job.name: {"ops": sorted(node.name for node in job.nodes), "executor": job.executor_def.name, "says": job.description}
        for job in repository.get_all_jobs()
        if not job.name.startswith("__")
    }
    sensors = {
        sensor.name: {"every_s": sensor.minimum_interval_seconds, "status": sensor.default_status.value, "says": sensor.description}
        for sensor in repository.sensor_defs
    }
    schedules = {one.name: {"cron": one.cron_schedule, "status": one.default_status.value, "job": one.job_name} for one in repository.schedule_defs}
    checks = sorted(f"{'/'.join(check.asset_key.path)}:{check.name}" for check in graph.asset_check_keys)
    return {"assets": assets, "jobs": dict(sorted(jobs.items())), "sensors": dict(sorted(sensors.items())), "schedules": schedules, "checks": checks}


def test_the_code_location_is_the_one_in_the_snapshot(tmp_path: Path) -> None:
    """`UPDATE_SNAPSHOTS=1` writes it anew; read the difference before you commit it."""
    with small_installation(tmp_path / "home") as stella:
        stella.apply(shop_estate())
        add_release(stella.plane)
        seen = described(definitions(read_catalogue(stella.plane)))
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(json.dumps(seen, indent=2) + "\n")
    assert seen == json.loads(SNAPSHOT.read_text())


def test_no_asset_has_a_button_that_would_deploy_without_a_promotion(tmp_path: Path) -> None:
    with small_installation(tmp_path / "home") as stella:
        stella.apply(shop_estate())
        graph = stella.repository().asset_graph
    assert graph.get_all_asset_keys()
    assert not [key for key in graph.get_all_asset_keys() if graph.get(key).is_executable]


def test_a_run_that_dagster_makes_up_itself_hands_its_steps_what_is_in_memory(tmp_path: Path) -> None:
    """A check's button launches one; with an executor of several processes, Dagster refuses to."""
    with small_installation(tmp_path / "home") as stella:
        stella.apply(shop_estate())
        made_up = stella.repository().get_implicit_global_asset_job_def()
        create_execution_plan(made_up, run_config={})
    assert made_up.executor_def.name == "in_process"


def test_only_an_environment_with_a_docker_engine_is_drawn_as_one(tmp_path: Path) -> None:
    docker = Target(name="engine", environment="prod", kind="docker", docker=DockerAccess(endpoint="unix:///run/docker.sock"))
    estate = shop_estate()
    catalogue = Catalogue(estate=estate.model_copy(update={"targets": (docker,)}))
    kinds = {"/".join(spec.key.path): spec.kinds for spec in asset_specs(catalogue)}
    assert kinds["environments/prod"] == {"docker"}
    assert kinds["environments/dev"] == set()


def loaded_location(monkeypatch: pytest.MonkeyPatch, home: Path, database: str) -> dg.RepositoryDefinition:
    """The location through the door that a code server uses."""
    monkeypatch.setenv("STELLA_HOME", str(home))
    monkeypatch.setenv("STELLA_DATABASE_URL", database)
    return ReconstructableRepository(python_origin().code_pointer).get_definition()


def test_an_empty_store_gives_a_location_that_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    repository = loaded_location(monkeypatch, tmp_path / "home", f"sqlite:///{tmp_path / 'home' / 'stella.db'}")
    assert not repository.asset_graph.get_all_asset_keys()
    assert "The estate is empty" in Catalogue().says()
    assert repository.has_job("request_promotion")


def test_a_store_that_cannot_be_read_gives_a_location_that_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"this is not a database" * 100)
    repository = loaded_location(monkeypatch, tmp_path / "home", f"sqlite:///{broken}")
    assert not repository.asset_graph.get_all_asset_keys()
    assert repository.has_job("request_promotion")
    assert "could not be read" in str((repository.metadata or {})["stella"].value)


@pytest.mark.parametrize("key", ["shop-1.0.0@0123456789ab", "a_b-2026.01.31+build@ffffffffffff"])
def test_a_release_partition_key_is_accepted(key: str) -> None:
    assert check_partition_key(key) == key


@pytest.mark.parametrize(
    "key", ["", "shop", "shop-1.0.0", "shop-1.0.0@0123456789a", "shop-1|0@0123456789ab", "shop-1.0.0@0123456789ab\n", "Shop-1@0123456789ab"]
)
def test_what_dagster_would_accept_as_a_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidPartitionKey):
        check_partition_key(key)


def test_the_shipped_instance_configuration_is_accepted_by_dagster(tmp_path: Path) -> None:
    with small_installation(tmp_path / "home") as stella:
        assert isinstance(stella.instance.run_coordinator, QueuedRunCoordinator)
        assert isinstance(stella.instance.run_launcher, WarmRunLauncher)
        assert not stella.instance.telemetry_enabled
        assert not stella.instance.nux_enabled
        assert stella.instance.run_monitoring_enabled
        limits = stella.instance.get_concurrency_config().run_queue_config
    assert limits is not None
    assert limits.tag_concurrency_limits == [{"key": "stella/environment", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}]


def test_the_postgres_variant_differs_only_in_its_storage(tmp_path: Path) -> None:
    embedded = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    text = (ROOT / "deploy" / "dagster.postgres.yaml").read_text()
    postgres = yaml.safe_load(text)
    assert postgres.pop("storage")["custom"]["config"] == {"database_url": {"env": "STELLA_DATABASE_URL"}}
    assert postgres.pop("compute_logs")["config"] == {"home": {"env": "DAGSTER_HOME"}}
    assert postgres == embedded
    (tmp_path / "dagster.yaml").write_text(text)
    assert InstanceRef.from_dir(str(tmp_path)).settings is not None


def test_a_plain_checkout_is_a_workspace(tmp_path: Path) -> None:
    """Without an installed package, from the top of the checkout."""
    home = tmp_path / "dagster"
    home.mkdir()
    environ = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    environ |= {"STELLA_HOME": str(tmp_path / "home"), "DAGSTER_HOME": str(home)}
    command = [sys.executable, "-m", "dagster", "definitions", "validate"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stella" in done.stdout + done.stderr


def test_loading_the_module_does_no_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Importing must not open a store; Dagster calls `defs` when it loads the location."""
    monkeypatch.setenv("STELLA_HOME", str(tmp_path / "untouched"))
    sys.modules.pop("stella_pipelines.definitions")
    __import__("stella_pipelines.definitions")
    assert not (tmp_path / "untouched").exists()
