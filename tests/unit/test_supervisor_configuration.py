"""The instance configuration that is written for each database is the embedded one with its own storage, whatever the embedded one holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from stella_pipelines.supervisor.configuration import deployed_on_postgres, for_database, on_postgres

POSTGRES = "postgresql+psycopg2://stella:hunter2@db.test/stella"
FOLDER = Path("/home of stella: one/dagster")
KEPT = {"telemetry": {"enabled": False}, "retention": {"sensor": 1}}
WITHOUT = "# What this is.\ntelemetry:\n  enabled: false\n\n# Why.\nretention:\n  sensor: 1\n"
STORAGE = "# Warm.\n# Files.\nstorage:\n  custom:\n    module: x\n\n    class: Y\n"


def on_server() -> dict[str, Any]:
    config = {"database_url": {"env": "STELLA_DATABASE_URL"}}
    return {"custom": {"module": "stella_pipelines.jobs.storage.postgres_storage", "class": "PooledPostgresStorage", "config": config}}


@pytest.mark.parametrize("embedded", [WITHOUT, f"{WITHOUT}\n{STORAGE}", f"{STORAGE}\n{WITHOUT}", WITHOUT.replace("# Why.", f"{STORAGE}\n# Why.")])
def test_postgres_changes_only_the_storage(embedded: str) -> None:
    assert yaml.safe_load(on_postgres(embedded)) == {**KEPT, "storage": on_server()}
    assert "# Why." in on_postgres(embedded)
    assert "# Warm." not in on_postgres(embedded)


def test_what_is_deployed_is_what_stella_up_writes() -> None:
    deployed, written = yaml.safe_load(deployed_on_postgres(WITHOUT)), yaml.safe_load(for_database(WITHOUT, POSTGRES, FOLDER))
    assert deployed["compute_logs"]["config"].pop("home") == {"env": "DAGSTER_HOME"}
    assert written["compute_logs"]["config"].pop("home") == str(FOLDER)
    assert deployed == written


def test_no_password_is_written() -> None:
    assert "hunter2" not in for_database(WITHOUT, POSTGRES, FOLDER)


def test_sqlite_gets_a_storage_in_its_own_folder() -> None:
    written = yaml.safe_load(for_database(WITHOUT, "sqlite:////tmp/stella.db", FOLDER))
    assert written["storage"]["custom"]["config"] == {"base_dir": str(FOLDER)}
    assert {name: written[name] for name in KEPT} == KEPT
