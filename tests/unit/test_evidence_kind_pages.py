"""Each kind of packet has a page and a JSON Schema that say what the code seals: the page's example is a real one, and every member has a meaning."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, get_args

import jsonschema
import pytest

from stella_pipelines.deployments.drift import UNEXPECTED_SUBJECTS_MAX
from stella_pipelines.deployments.enclosures import PART_BYTES_MAX
from stella_pipelines.deployments.sealing import LINES_BYTES_MAX
from stella_pipelines.evidence.statement import PREDICATES, Kind
from stella_pipelines.store.database import Store
from tests.support.example_packets import DOCS, example_packets, opened
from tests.support.predicate_schemas import SCHEMAS, schema, validator

PAGES = {kind: (DOCS / "evidence" / f"{kind}.md").read_text() for kind in get_args(Kind)}
COMMON = ("stella", "seal", "inputs", "clock")
"""Members of every predicate: `docs/evidence-format.md` has their meaning."""
FREE = ("strategy.", "counts.", "failure.", "targets.observed.")
"""Members of a deployment whose own members are names and no words of ours, or stand on the page of strategies."""
GENERAL_NAMES = {
    r"shop-[0-9.]+": "<release>",
    r"release/shop-[0-9.]+": "release/<release>",
    r"registry\.test/shop/\w+": "<repository>",
    r"registry\.test/shop/\w+@sha256:[0-9a-f]{64}": "<repository>@<digest>",
    r"image/registry\.test/shop/\w+@sha256:[0-9a-f]{64}": "image/<repository>@<digest>",
    r"unexpected/sha256:[0-9a-f]{64}": "unexpected/<digest>",
    r"gate/\w+": "gate/<name>",
}
every_kind = pytest.mark.parametrize("kind", get_args(Kind))


def example(kind: str) -> dict[str, Any]:
    """The statement that the page shows."""
    (shown,) = re.findall(r"^```json\n(.*?)\n```$", PAGES[kind].partition("\n## Example\n")[2], re.MULTILINE | re.DOTALL)
    return dict(json.loads(shown))


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Kind, dict[str, Any]]:
    """A freshly sealed statement of each kind. One database is enough: what is sealed does not depend on it."""
    store = Store.open(f"sqlite:///{tmp_path_factory.mktemp('sealed') / 'stella.db'}")
    statements = {kind: opened(packet).statement.document() for kind, packet in example_packets(store).items()}
    store.close()
    return statements


def members(value: object, path: str = "") -> set[str]:
    """Every member of a document by its path, whatever stands there; the items of a list share theirs."""
    if isinstance(value, list):
        return {found for item in value for found in members(item, path)}
    if isinstance(value, dict):
        return {found for key, item in value.items() for found in {f"{path}.{key}".lstrip(".")} | members(item, f"{path}.{key}".lstrip("."))}
    return set()


def named(statement: dict[str, Any], member: str) -> list[str]:
    """The names of the subjects or inputs, with what is particular to a case taken out."""
    things = statement["subject"] if member == "subject" else statement["predicate"]["inputs"]
    return [next((general for pattern, general in GENERAL_NAMES.items() if re.fullmatch(pattern, thing["name"])), thing["name"]) for thing in things]


@every_kind
def test_the_example_has_the_form_of_a_freshly_sealed_packet(sealed: Mapping[Kind, dict[str, Any]], kind: Kind) -> None:
    """When this fails: `python -m tests.support.example_packets` writes the examples anew."""
    shown, fresh = example(kind), sealed[kind]
    assert members(shown) == members(fresh)
    assert shown["predicateType"] == fresh["predicateType"] == PREDICATES[kind]
    for member in ("subject", "inputs"):
        assert named(shown, member) == named(fresh, member)


@every_kind
def test_the_example_and_the_fresh_packet_fit_the_schema(sealed: Mapping[Kind, dict[str, Any]], kind: Kind) -> None:
    for statement in (example(kind), sealed[kind]):
        assert [problem.message for problem in validator(kind).iter_errors(statement["predicate"])] == []


@every_kind
def test_every_member_has_its_meaning_on_the_page(kind: Kind) -> None:
    words = PAGES[kind].partition("\n## Example\n")[0]
    predicate = {name: value for name, value in example(kind)["predicate"].items() if name not in COMMON}
    found = {path for path in members(predicate) if kind not in ("deployment", "rollback") or not path.startswith(FREE)}
    # A parent is explained by its members; a member without any must stand there itself.
    missing = {path for path in found if f"`{path}`" not in words and not any(other.startswith(f"{path}.") for other in found)}
    assert missing == set()


@every_kind
def test_every_input_and_time_of_the_schema_is_on_the_page(sealed: Mapping[Kind, dict[str, Any]], kind: Kind) -> None:
    words = PAGES[kind]
    assert [name for name in named(sealed[kind], "inputs") if f"| `{name}` |" not in words] == []
    times = schema(kind)["properties"].get("times", {}).get("properties", {})
    assert [name for name in times if f"`times.{name}`" not in words] == []
    assert [name for name, time in times.items() if not time.get("description") or (not name.endswith("_at") and not name.endswith("_before"))] == []


@every_kind
def test_the_page_links_its_schema_and_names_its_type(kind: Kind) -> None:
    assert f"(../../stella_pipelines/evidence/predicates/{kind}-v1.schema.json)" in PAGES[kind]
    assert f"`{PREDICATES[kind]}`" in PAGES[kind]


def test_there_is_one_schema_per_kind_with_an_id_of_its_own() -> None:
    assert {path.name for path in SCHEMAS.iterdir()} == {f"{kind}-v1.schema.json" for kind in get_args(Kind)}
    for kind in get_args(Kind):
        jsonschema.Draft202012Validator.check_schema(schema(kind))
        assert schema(kind)["$id"] == f"https://stella-pipelines.dev/predicates/{kind}/v1.schema.json"
        if PREDICATES[kind].startswith("https://stella-pipelines.dev/"):
            assert schema(kind)["$id"] == f"{PREDICATES[kind]}.schema.json"


@every_kind
def test_a_predicate_without_a_required_member_does_not_fit(kind: Kind) -> None:
    predicate = example(kind)["predicate"]
    required = schema(kind)["required"]
    assert set(required) >= {"stella", "seal", "inputs"}
    for member in required:
        assert not validator(kind).is_valid({name: value for name, value in predicate.items() if name != member})
    assert validator(kind).is_valid({**predicate, "https://example.com/more": 1}), "unknown members are allowed"


@every_kind
def test_a_predicate_of_one_kind_fits_no_other_one(kind: Kind) -> None:
    alike = {"deployment": "rollback", "rollback": "deployment"}  # one form, which tells two endings
    fitting = {other for other in get_args(Kind) if validator(other).is_valid(example(kind)["predicate"])}
    assert fitting == {kind, alike.get(kind, kind)}


def test_a_rollback_names_the_release_before_and_a_deployment_its_targets(sealed: Mapping[Kind, dict[str, Any]]) -> None:
    assert named(sealed["deployment"], "subject") == ["release/<release>", "image/<repository>@<digest>"]
    assert named(sealed["rollback"], "subject") == ["release/<release>", "image/<repository>@<digest>", "previous-release"]
    for kind in ("deployment", "rollback"):
        assert set(named(sealed[kind], "inputs")) == {"ledger", "observation", "artifacts", "plan", "decision", "journal"}
    assert {target["state"] for target in sealed["deployment"]["predicate"]["targets"]} == {"succeeded"}


def test_the_limits_are_on_the_pages() -> None:
    assert LINES_BYTES_MAX == 5.5 * 1024 * 1024
    assert all("more than 5.5 MiB" in PAGES[kind] for kind in ("deployment", "rollback", "drift"))
    assert PART_BYTES_MAX == 32 * 1024 * 1024
    assert all("more than 32 MiB" in PAGES[kind] for kind in ("deployment", "rollback", "drift"))
    assert UNEXPECTED_SUBJECTS_MAX == 1_000
    assert "more than 1,000 unexpected digests" in PAGES["drift"]
