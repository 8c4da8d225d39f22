"""Imports only go down, and Dagster stays in its rooms: the contracts in pyproject.toml are run, not admired."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_imports_only_go_down_the_floors() -> None:
    linter = subprocess.run([str(Path(sys.executable).with_name("lint-imports")), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert linter.returncode == 0, linter.stdout + linter.stderr
    assert "0 broken" in linter.stdout


def test_the_rules_load_without_database_network_or_dagster() -> None:
    """Import the pure rooms in a fresh interpreter, and look at what came along."""
    program = (
        "import sys, stella_pipelines.promotions.promotion, stella_pipelines.promotions.decision, stella_pipelines.deployments.rollout,"
        " stella_pipelines.deployments.plan, stella_pipelines.environments.freeze, stella_pipelines.evidence.verify\n"
        "print(sorted(set(sys.modules) & {'dagster', 'sqlalchemy', 'httpx', 'docker', 'asyncssh', 'requests'}))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
