"""`docs/evidence-format.md` and the JSON Schemas say what the code does: the page's example is a real packet, and real predicates fit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest

import stella_pipelines.evidence
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.enclosures import PART_BYTES_MAX
from stella_pipelines.deployments.model import TargetState
from stella_pipelines.deployments.sealing import LINES_BYTES_MAX
from stella_pipelines.evidence.envelope import SIGNATURES_MAX
from stella_pipelines.evidence.errors import PacketRefused
from stella_pipelines.evidence.statement import DEPTH_MAX, PREDICATES, Kind, make_statement
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.promotions.decision import DecisionRecord, GateRecord
from stella_pipelines.store.database import Store
from tests.support.evidence import RELEASE, SEAL, signing_key
from tests.support.example_packets import example_packets, opened

PAGE = (Path(__file__).parents[2] / "docs" / "evidence-format.md").read_text()
SCHEMAS = Path(stella_pipelines.evidence.__file__).parent / "predicates"
GRAMMAR, STATEMENT, PACKET, PUBLIC_KEY = re.findall(r"^```\w*\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)

GENERAL_NAMES = {
    r"shop-[0-9.]+": "<release>",
    r"release/shop-[0-9.]+": "release/<release>",
    r"registry\.test/shop/\w+": "<repository>",
    r"image/registry\.test/shop/\w+@sha256:[0-9a-f]{64}": "image/<repository>@<digest>",
    r"gate/\w+": "gate/<name>",
}


def schema(kind: str) -> dict[str, Any]:
    return dict(json.loads((SCHEMAS / f"{kind}-v1.schema.json").read_text()))


def predicate() -> dict[str, Any]:
    return dict(json.loads(STATEMENT)["predicate"])


def fits(kind: str, document: object) -> bool:
    return jsonschema.Draft202012Validator(schema(kind)).is_valid(document)


def test_the_example_is_a_packet_that_verifies() -> None:
    packet = verify_packet(PACKET.encode(), [PUBLIC_KEY.encode()])
    assert packet.statement.document() == json.loads(STATEMENT)
    assert f"`{packet.packet_digest}`" in PAGE
    assert f"`{packet.key_id}`" in PAGE
    assert signing_key().key_id == packet.key_id


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
        return {found for key, item in value.items() for found in {f"{path}.{key}"} | members(item, f"{path}.{key}")}
    return set()


def named(statement: dict[str, Any], member: str) -> list[str]:
    """The names of the subjects or inputs, with what is particular to a case taken out."""
    things = statement["subject"] if member == "subject" else statement["predicate"]["inputs"]
    return [next((general for pattern, general in GENERAL_NAMES.items() if re.fullmatch(pattern, thing["name"])), thing["name"]) for thing in things]


def test_the_example_has_the_form_of_a_freshly_sealed_packet(sealed: Mapping[Kind, dict[str, Any]]) -> None:
    """When this fails: `python -m tests.support.example_packets` prints the example anew."""
    shown, fresh = json.loads(STATEMENT), sealed["decision"]
    assert members(shown) == members(fresh)
    for member in ("subject", "inputs"):
        assert named(shown, member) == named(fresh, member)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_what_a_freshly_sealed_packet_has_is_on_the_page(sealed: Mapping[Kind, dict[str, Any]], kind: Kind) -> None:
    statement = sealed[kind]
    assert fits(kind, statement["predicate"])
    assert {name for name in [*named(statement, "subject"), *named(statement, "inputs")] if f"`{name}`" not in PAGE} == set()
    assert {member for member in statement["predicate"] if not re.search(rf"`{member}(\.\w+)?`", PAGE)} == set()


def test_a_rollback_names_the_release_before_and_a_deployment_its_targets(sealed: Mapping[Kind, dict[str, Any]]) -> None:
    assert named(sealed["deployment"], "subject") == ["release/<release>", "image/<repository>@<digest>"]
    assert named(sealed["rollback"], "subject") == ["release/<release>", "image/<repository>@<digest>", "previous-release"]
    described = set(re.findall(r"^\| `(ledger|observation|artifacts|plan|decision|journal)` \|", PAGE, re.MULTILINE))
    for kind in ("deployment", "rollback"):
        assert set(named(sealed[kind], "inputs")) == described
        assert {member.partition(".")[2] for member in members(sealed[kind]["predicate"]["targets"][0])} >= {"target", "state", "observed", "failure"}


def test_every_refusal_is_on_the_page() -> None:
    assert [cls.code for cls in PacketRefused.__subclasses__() if f"`{cls.code}`" not in PAGE] == []
    assert SIGNATURES_MAX == 8
    assert "one to eight signatures" in PAGE
    assert DEPTH_MAX == 100
    assert "at most 100 levels" in PAGE


def test_the_limits_of_a_deployments_packet_are_on_the_page() -> None:
    assert LINES_BYTES_MAX == 5.5 * 1024 * 1024
    assert "more than 5.5 MiB" in PAGE
    assert PART_BYTES_MAX == 32 * 1024 * 1024
    assert "more than 32 MiB" in PAGE


def test_there_is_one_schema_per_kind_named_by_its_type() -> None:
    assert {path.name for path in SCHEMAS.iterdir()} == {f"{kind}-v1.schema.json" for kind in get_args(Kind)}
    for kind in get_args(Kind):
        jsonschema.Draft202012Validator.check_schema(schema(kind))
        assert schema(kind)["$id"] == f"{PREDICATES[kind]}.schema.json"
        assert f"predicates/{kind}-v1.schema.json" in PAGE


def test_the_example_fits_its_schema_and_only_that_one() -> None:
    assert fits("decision", predicate())
    assert not fits("deployment", predicate())


@pytest.mark.parametrize("member", ["stella", "seal", "inputs", "decision", "times"])
def test_a_decision_without_a_named_member_does_not_fit(member: str) -> None:
    document = predicate()
    del document[member]
    assert not fits("decision", document)


@pytest.mark.parametrize("member", ["name", "kind", "inputs", "verdict", "reasons", "would_change"])
def test_a_gate_without_a_named_member_does_not_fit(member: str) -> None:
    document = predicate()
    del document["decision"]["gates"][0][member]
    assert not fits("decision", document)


def test_a_record_of_the_code_fits_the_schema() -> None:
    """Every member that the promotions room writes today is one that the schema names or allows."""
    gate = GateRecord(name="approval", kind="approval", inputs=Digest.of(b"i"), verdict="allow", reasons=("2 of 2",), would_change=(), wait_until=None)
    record = DecisionRecord.model_validate(
        {**predicate()["decision"], "outcome": "allow", "approvers": ["bob"], "gates": [gate.document()]},
    )
    document = {"decision": record.document(), "inputs": predicate()["inputs"], "times": predicate()["times"]}
    assert fits("decision", make_statement("decision", [RELEASE], document, SEAL).document()["predicate"])


@pytest.mark.parametrize("kind", ["deployment", "rollback"])
def test_a_deployments_named_members_are_required(kind: str) -> None:
    document = {name: predicate()[name] for name in ("stella", "seal", "inputs")}
    document |= {"deployment": {}, "release": {"label": "shop-1.0.0", "digest": RELEASE.digest}, "counts": {"succeeded": 1}}
    document["targets"] = [{"target": "prod-1", "state": "succeeded", "observed": {"web": RELEASE.digest, "db": None}, "failure": None}]
    assert fits(kind, document)
    assert fits(kind, document | {"targets": None})
    assert not fits(kind, document | {"targets": [{"target": "prod-1"}]})
    assert schema(kind)["properties"]["targets"]["items"]["properties"]["state"]["enum"] == list(TargetState)
    for name in document:
        assert not fits(kind, {key: value for key, value in document.items() if key != name})
