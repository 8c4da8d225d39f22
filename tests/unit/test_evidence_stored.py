"""Stored packets that somebody with a database shell has changed: each change that a digest alone would not show is named."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence import errors
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.evidence.stored import read_verified
from stella_pipelines.evidence.tables import evidence_packets, evidence_subjects
from stella_pipelines.store.database import Store
from tests.support.evidence import NOW, PREDICATE, RELEASE, genuine_packet, signing_key
from tests.support.intrusion import without_guards

EVIDENCE = Evidence(signing_key())


@pytest.fixture
def sealed(store: Store) -> Store:
    """A store with two genuine packets."""
    with store.writing() as tx:
        for packet_id, environment in (("evd_1", "prod"), ("evd_2", "dev")):
            EVIDENCE.seal(tx, packet_id=packet_id, kind="decision", stream=f"environment/{environment}", subjects=[RELEASE], predicate=PREDICATE, at=NOW)
    return store


def intrude(store: Store, change: sa.Update) -> None:
    with store.writing() as tx, without_guards(tx):
        tx.connection.execute(change)


def refusal(store: Store, packet_id: str = "evd_1") -> str:
    with store.reading() as tx, pytest.raises(StellaError) as caught:
        read_verified(EVIDENCE, tx, packet_id)
    return caught.value.code


def test_what_nobody_touched_is_read(sealed: Store) -> None:
    with sealed.reading() as tx:
        packet, verified = read_verified(EVIDENCE, tx, "evd_1")
    assert (packet.id, packet.digest, packet.environment) == ("evd_1", verified.packet_digest, "prod")


COLUMNS: dict[str, dict[str, Any]] = {
    "another stream": {"stream": "environment/elsewhere"},
    "another number": {"sequence": 7},
    "another kind": {"kind": "rollback"},
    "another time": {"sealed_at": "2026-01-31T08:00:00.000000Z"},
    "another key": {"key_id": "0" * 64},
}


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS.keys())
def test_a_column_that_says_something_else_is_named(sealed: Store, values: dict[str, Any]) -> None:
    intrude(sealed, sa.update(evidence_packets).where(evidence_packets.c.id == "evd_1").values(values))
    assert refusal(sealed) == "EVID_STORED_DIFFERS"


@pytest.mark.parametrize("values", [{"name": "shop-9.9.9"}, {"digest": Digest.of(b"another release")}, {"packet_id": "evd_2", "position": 1}])
def test_subjects_that_were_swapped_are_named(sealed: Store, values: dict[str, Any]) -> None:
    intrude(sealed, sa.update(evidence_subjects).where(evidence_subjects.c.packet_id == "evd_1").values(values))
    assert refusal(sealed) == "EVID_STORED_DIFFERS"


def test_two_packets_that_changed_places_are_named(sealed: Store) -> None:
    """Every envelope is genuine and hashes to its digest; only its own seal says that it stands under a wrong id."""
    with sealed.reading() as tx:
        first, second = EVIDENCE.get(tx, "evd_1"), EVIDENCE.get(tx, "evd_2")
    free = {"envelope": b"x", "digest": Digest.of(b"x")}
    intrude(sealed, sa.update(evidence_packets).where(evidence_packets.c.id == "evd_1").values(free))
    for packet_id, taken in (("evd_2", first), ("evd_1", second)):
        put = {"envelope": taken.envelope, "digest": taken.digest}
        intrude(sealed, sa.update(evidence_packets).where(evidence_packets.c.id == packet_id).values(put))
    assert refusal(sealed) == refusal(sealed, "evd_2") == "EVID_STORED_DIFFERS"


def test_an_envelope_that_was_changed_with_its_digest_is_refused(sealed: Store) -> None:
    with sealed.reading() as tx:
        envelope = bytearray(EVIDENCE.get(tx, "evd_1").envelope)
    envelope[40] ^= 1
    changed = {"envelope": bytes(envelope), "digest": Digest.of(bytes(envelope))}
    intrude(sealed, sa.update(evidence_packets).where(evidence_packets.c.id == "evd_1").values(changed))
    assert refusal(sealed) == errors.SignatureInvalid.code


def test_a_packet_that_a_stranger_sealed_is_refused(sealed: Store) -> None:
    forged = genuine_packet(signing_key(2))
    intrude(sealed, sa.update(evidence_packets).where(evidence_packets.c.id == "evd_1").values(envelope=forged, digest=Digest.of(forged)))
    assert refusal(sealed) == errors.KeyUnknown.code
