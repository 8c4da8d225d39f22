"""`docs/evidence-format.md` says what the code does, and its example is a real packet. What each kind says: `test_evidence_kind_pages.py`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest

import stella_pipelines.evidence
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.model import TargetState
from stella_pipelines.evidence.envelope import SIGNATURES_MAX
from stella_pipelines.evidence.errors import PacketRefused
from stella_pipelines.evidence.statement import DEPTH_MAX, PREDICATES, Kind, make_statement
from stella_pipelines.evidence.streams import EXPORTS, RELEASES, environment_stream, summary_stream
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.promotions.decision import DecisionRecord, GateRecord
from tests.support.evidence import RELEASE, SEAL, signing_key

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "evidence-format.md").read_text()
SCHEMAS = Path(stella_pipelines.evidence.__file__).parent / "predicates"
GRAMMAR, STATEMENT, PACKET, PUBLIC_KEY = re.findall(r"^```\w*\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)


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


def test_the_example_is_that_of_the_decisions_page() -> None:
    """And so has the form of a freshly sealed packet."""
    assert f"```json\n{STATEMENT}\n```" in (DOCS / "evidence" / "decision.md").read_text()


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_is_on_the_page_with_its_type_its_schema_and_its_page(kind: Kind) -> None:
    (row,) = re.findall(rf"^\| \[{kind}\]\(evidence/{kind}\.md\) \|.*$", PAGE, re.MULTILINE)
    assert f"`{PREDICATES[kind]}`" in row
    assert f"predicates/{kind}-v1.schema.json" in row
    assert (DOCS / "evidence" / f"{kind}.md").exists()


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_stream_is_on_the_page_with_the_kinds_that_stand_in_it(kind: Kind) -> None:
    streams = {"release": RELEASES, "summary": summary_stream("<name>"), "audit-export": EXPORTS, "purge": EXPORTS}
    (row,) = re.findall(rf"^\| `{streams.get(kind, environment_stream('<name>'))}` \|.*$", PAGE, re.MULTILINE)
    assert f"`{kind}`" in row


def test_every_refusal_is_on_the_page() -> None:
    assert [cls.code for cls in PacketRefused.__subclasses__() if f"`{cls.code}`" not in PAGE] == []
    assert SIGNATURES_MAX == 8
    assert "one to eight signatures" in PAGE
    assert DEPTH_MAX == 100
    assert "at most 100 levels" in PAGE


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
