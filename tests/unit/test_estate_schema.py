"""The published JSON Schema is a schema, is the committed one, and accepts what the parser accepts."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from stella_pipelines.environments.schema import json_schema

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "examples" / "estate.yaml").read_text()
DOCUMENTED = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "estate.md").read_text(), re.DOTALL)


class Plain(yaml.SafeLoader):
    """YAML whose times stay text, as in JSON."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in rules if not tag.endswith(":timestamp")] for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def test_it_is_a_schema_of_draft_2020_12() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_committed_copy_is_the_same() -> None:
    assert (ROOT / "docs" / "estate.schema.json").read_text() == json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("text", [EXAMPLE, *DOCUMENTED, "environments: {}\nx-mine: 1\n"], ids=["example", "documentation", "smallest"])
def test_it_accepts_what_is_right(text: str) -> None:
    assert [error.message for error in jsonschema.Draft202012Validator(json_schema()).iter_errors(yaml.load(text, Plain))] == []


def test_it_speaks_of_the_file_and_not_of_the_model() -> None:
    defined = json_schema()["$defs"]
    assert "Gate" not in defined
    assert "name" not in defined["Environment"]["properties"]
    assert "kind" not in defined["Target"]["properties"]
    assert defined["Target"]["required"] == ["environment"]


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(json_schema())
    assert set(re.findall(r'"#/\$defs/(\w+)"', text)) == set(json_schema()["$defs"])
