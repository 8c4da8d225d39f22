"""The estates that users copy are right: the example file and the one in the documentation."""

import re
from pathlib import Path

import pytest

from stella_pipelines.core.values import Value
from stella_pipelines.environments import model
from stella_pipelines.environments.estate import parse_estate
from stella_pipelines.environments.freeze import is_frozen
from stella_pipelines.environments.model import ApprovalGateConfig, Estate, Rolling

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "estate.yaml"
PAGE = ROOT / "docs" / "estate.md"


@pytest.fixture(scope="module")
def estate() -> Estate:
    return parse_estate(EXAMPLE.read_text(), "examples/estate.yaml", base=Path("/srv/shop/estate"))


def test_the_example_has_three_environments_in_promotion_order(estate: Estate) -> None:
    assert [environment.name for environment in estate.environments] == ["dev", "staging", "prod"]
    assert estate.environments[0].gates == "none"
    prod = estate.environments[2]
    assert [gate.name for gate in prod.gates if gate != "none"] == ["freeze", "soaked", "vulnerabilities", "source", "people"]
    assert prod.strategy == Rolling(batch=1, pause_s=10, failure_budget=0)


def test_the_example_reaches_engines_in_three_ways(estate: Estate) -> None:
    docker = {target.name: target.docker for target in estate.targets}
    assert docker["dev-local"] is not None
    assert docker["dev-local"].tls is None
    assert docker["dev-local"].ssh is None
    assert docker["staging-1"] is not None
    assert docker["staging-1"].tls is not None
    assert docker["prod-1"] is not None
    assert docker["prod-1"].ssh is not None
    assert [target.name for target in estate.targets_of("prod")] == ["prod-1", "prod-2"]


def test_relative_files_start_at_the_files_folder(estate: Estate) -> None:
    registry, layout, staging = estate.registry("registry.shop.example"), estate.registry("airgap.local"), estate.targets_of("staging")[0]
    assert registry is not None
    assert registry.ca_file == "/srv/shop/estate/certificates/registry-ca.pem"
    assert layout is not None
    assert layout.path == "/srv/shop/images"
    assert staging.docker is not None
    assert staging.docker.tls is not None
    assert staging.docker.tls.certificate_file == "/srv/shop/estate/certificates/stella.pem"


def test_without_a_base_paths_stay_as_written() -> None:
    layout = parse_estate(EXAMPLE.read_text(), "estate.yaml").registry("airgap.local")
    assert layout is not None
    assert layout.path == "../images"


def test_groups_and_windows_are_read(estate: Estate) -> None:
    prod = estate.environment("prod")
    assert prod is not None
    people = next(gate.config for gate in prod.gates if gate != "none" and isinstance(gate.config, ApprovalGateConfig))
    assert {group.name: group.members for group in people.groups}["operations"] == ("edsger", "barbara", "grace")
    assert is_frozen(estate.freeze_windows, "prod", estate.freeze_windows[0].starts_at).frozen


def test_the_estate_in_the_documentation_is_right() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 1
    documented = parse_estate(blocks[0], "docs/estate.md")
    assert [environment.name for environment in documented.environments] == ["dev", "prod"]
    assert len(documented.targets) == 2


def test_every_key_is_in_the_documentation() -> None:
    page = PAGE.read_text()
    fields = {field for found in _models() for field in found.model_fields} - {"name", "host", "requester_excluded", "config"}
    assert len(fields) > 40
    assert sorted(field for field in fields if f"`{field}`" not in page and f"{field}," not in page and f"{field}:" not in page) == []


def _models() -> set[type[Value]]:
    """Every model that an estate is made of."""
    named = (getattr(model, name) for name in Estate.model_json_schema()["$defs"])
    return {found for found in named if isinstance(found, type) and issubclass(found, Value)} | {Estate}
