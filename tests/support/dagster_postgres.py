"""Dagster's tables in the store's database on the tests' PostgreSQL server, made by the product's own code in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from stella_pipelines.core.settings import DATABASE_VARIABLE
from stella_pipelines.supervisor.configuration import on_postgres

ROOT = Path(__file__).parents[2]


def preparing(database_url: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Command and environment of the process that creates or upgrades Dagster's tables there. `folder` becomes its DAGSTER_HOME."""
    (folder / "dagster.yaml").write_text(on_postgres((ROOT / "dagster.yaml").read_text()))
    environ = {**os.environ, "DAGSTER_HOME": str(folder), DATABASE_VARIABLE: database_url, "PYTHONPATH": str(ROOT)}
    return [sys.executable, "-m", "stella_pipelines.jobs.storage.instance_storage"], environ


def prepare_dagster(database_url: str) -> None:
    """Run that process to its end."""
    with tempfile.TemporaryDirectory() as folder:
        command, environ = preparing(database_url, Path(folder))
        done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
