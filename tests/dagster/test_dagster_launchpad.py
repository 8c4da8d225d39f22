"""The Launchpad of every job that an operator launches: what stands in it from the start, and the examples of the documentation."""

from __future__ import annotations

import re

import dagster as dg
import pytest
import yaml
from dagster._core.execution.api import create_execution_plan
from dagster_graphql.schema.run_config import default_values_yaml_from_type_snap

from stella_pipelines.jobs.catalogue import all_jobs, all_resources
from tests.support.installation import ROOT

BY_HAND = {
    "request_promotion": {"release", "environment", "actor", "reason"},
    "approve_promotion": {"promotion", "actor", "reason", "plan_digest"},
    "reject_promotion": {"promotion", "actor", "reason", "plan_digest"},
    "cancel_promotion": {"promotion", "actor", "reason"},
    "continue_promotion": {"promotion", "actor"},
    "rollback_environment": {"environment", "actor", "reason", "to"},
    "retry_deployment": {"deployment", "actor", "reason"},
    "inspect_target": {"target"},
}
_EXAMPLE = re.compile(r"```yaml\n# Launchpad of (\w+)[^\n]*\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    return dg.Definitions(jobs=all_jobs(), resources=all_resources()).get_repository_def()


def examples() -> dict[str, dict[str, str]]:
    """The examples of the page, by job."""
    page = (ROOT / "docs" / "dagster.md").read_text()
    return {name: yaml.safe_load(text) for name, text in _EXAMPLE.findall(page)}


@pytest.mark.parametrize("job", BY_HAND)
def test_the_launchpad_shows_every_field_and_nothing_else(repository: dg.RepositoryDefinition, job: str) -> None:
    snapshot = repository.get_job(job).get_job_snapshot()
    schema = snapshot.config_schema_snapshot
    root = snapshot.mode_def_snaps[0].root_config_key
    assert root is not None
    prefilled = yaml.safe_load(default_values_yaml_from_type_snap(schema, schema.get_config_snap(root)))
    assert prefilled == dict.fromkeys(BY_HAND[job], "")


def test_the_documentation_has_an_example_of_every_launchpad() -> None:
    assert set(examples()) == set(BY_HAND)


@pytest.mark.parametrize("job", BY_HAND)
def test_an_example_of_the_documentation_is_a_configuration_of_its_job(repository: dg.RepositoryDefinition, job: str) -> None:
    example = examples()[job]
    assert set(example) <= BY_HAND[job]
    assert create_execution_plan(repository.get_job(job), run_config=example).step_keys_to_execute
    with pytest.raises(dg.DagsterInvalidConfigError):
        create_execution_plan(repository.get_job(job), run_config={**example, "misspelt": "x"})
