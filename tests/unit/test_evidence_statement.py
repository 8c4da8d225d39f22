"""Statements: in-toto's own written form, and what every predicate must carry."""

from __future__ import annotations

from typing import Any

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.errors import PredicateInvalid
from stella_pipelines.evidence.statement import PREDICATES, Statement, make_statement
from tests.support.evidence import PREDICATE, RELEASE, SEAL


def test_the_written_form_has_in_totos_names() -> None:
    document = make_statement("decision", [RELEASE], PREDICATE, SEAL).document()
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["subject"] == [{"name": "shop-1.0.0", "digest": {"sha256": RELEASE.digest.hex}}]
    assert document["predicateType"] == PREDICATES["decision"]
    assert set(document) == {"_type", "subject", "predicateType", "predicate"}


def test_what_was_written_is_read_back() -> None:
    statement = make_statement("rollback", [RELEASE], PREDICATE, SEAL)
    assert Statement.model_validate_json(statement.canonical()) == statement
    assert (statement.kind, statement.seal) == ("rollback", SEAL)
    assert [one.name for one in statement.inputs] == ["gate/approval"]


def test_the_claim_is_the_predicate_without_the_seal() -> None:
    assert make_statement("decision", [RELEASE], PREDICATE, SEAL).claim() == {"stella": {"version": 1}, **PREDICATE}


def test_a_type_that_is_not_ours_has_no_kind() -> None:
    statement = make_statement("decision", [RELEASE], PREDICATE, SEAL)
    assert statement.model_copy(update={"predicate_type": "https://slsa.dev/provenance/v1"}).kind is None


INPUT = {"name": "plan", "digest": Digest.of(b"")}
INCOMPLETE: dict[str, dict[str, Any]] = {
    "no inputs": {"outcome": "allow"},
    "inputs of another shape": {"inputs": {"plan": "sha256:0"}},
    "an input without a digest": {"inputs": [{"name": "plan"}]},
    "an input that is no digest": {"inputs": [{"name": "plan", "digest": "latest"}]},
    "an input with more to it": {"inputs": [{**INPUT, "note": "x"}]},
    "another version": {"inputs": [INPUT], "stella": {"version": 2}},
    "a seal of its own": {"inputs": [INPUT], "seal": {}},
}


@pytest.mark.parametrize("predicate", INCOMPLETE.values(), ids=INCOMPLETE.keys())
def test_an_incomplete_predicate_is_never_sealed(predicate: dict[str, Any]) -> None:
    with pytest.raises(PredicateInvalid):
        make_statement("decision", [RELEASE], predicate, SEAL)


def test_a_statement_about_nothing_is_never_sealed() -> None:
    with pytest.raises(PredicateInvalid):
        make_statement("decision", [], PREDICATE, SEAL)
