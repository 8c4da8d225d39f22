"""Replaying sealed decisions: the same inputs give the same bytes; a changed input is an error, a changed rule a difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.envelope import read_envelope
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.evidence.statement import Statement, Subject
from stella_pipelines.promotions.gates.port import GateInputs, GateVerdict, allow, error
from stella_pipelines.promotions.gates.registry import gate_kinds
from stella_pipelines.promotions.promotion import PromotionState
from stella_pipelines.promotions.recorded_decision import NotADecision, ReadBlob, ReplayInputChanged
from stella_pipelines.promotions.replay import replay
from stella_pipelines.store import blobs
from stella_pipelines.store.blobs import BlobMissing
from stella_pipelines.store.database import Store
from tests.support.promotions import NOW, Room, digest, environment, make_room

POLICIES = [{"name": "big_enough", "cel": "environment.deployment_timeout_s >= 30.0"}, {"name": "never", "cel": "false"}, {"name": "always", "cel": "true"}]


class AnotherPolicy:
    """Rules that changed since."""

    kind = "policy"

    def __init__(self, verdict: GateVerdict) -> None:
        self._verdict = verdict
        self.gather = gate_kinds()["policy"].gather

    def judge(self, inputs: GateInputs) -> GateVerdict:
        return self._verdict


@pytest.fixture
def room(store: Store, tmp_path: Path) -> Room:
    key = FileKey.load_or_create(tmp_path / "keys" / "evidence.pem")
    gates = [
        {"name": "policy", "config": {"kind": "policy", "policy": "big_enough"}},
        {"name": "freeze", "config": {"kind": "freeze_window"}},
        {"name": "formality", "config": {"kind": "policy", "policy": "always"}},
    ]
    denying = [{"name": "policy", "config": {"kind": "policy", "policy": "never"}}]
    return make_room(store, key, environment(gates=gates), environment("staging", gates=denying), environment("dev"), policies=POLICIES)


def decided(room: Room, name: str = "prod") -> SealedPacket:
    return room.packet(room.evaluate(room.request(environment=name)))


def reader(room: Room, **replaced: bytes) -> ReadBlob:
    def read(wanted: Digest) -> bytes:
        with room.store.reading() as tx:
            return replaced.get(wanted.hex) or blobs.get(tx, wanted)

    return read


@pytest.mark.parametrize("name", ["prod", "staging", "dev"])
def test_the_same_inputs_give_the_same_bytes(room: Room, name: str) -> None:
    packet = decided(room, name)
    room.clock.forward(10**8)  # years later
    report = replay(packet, reader(room))
    assert report.byte_equal
    assert (report.recorded_digest, report.differences) == (report.replayed_digest, ())


def test_a_changed_blob_is_an_error(room: Room) -> None:
    packet = decided(room)
    with room.store.reading() as tx:
        evaluation = room.promotions.results(room.promotions.list("prod")[0].id)[0]
        inputs = blobs.get(tx, evaluation.inputs_digest)
    changed = {evaluation.inputs_digest.hex: inputs.replace(b"3600", b"3601")}
    assert changed[evaluation.inputs_digest.hex] != inputs
    with pytest.raises(ReplayInputChanged, match="do not hash"):
        replay(packet, reader(room, **changed))


def test_inputs_that_the_context_does_not_name_are_an_error(room: Room) -> None:
    packet = decided(room)
    statement = Statement.model_validate_json(read_envelope(packet.envelope).payload)
    other = next(one.digest for one in statement.inputs if one.name == "gate/formality")
    swapped = [one.document() | ({"digest": other} if one.name == "gate/policy" else {}) for one in statement.inputs]
    with room.store.writing() as tx:
        forged = room.evidence.seal(
            tx,
            packet_id="evd_forged",
            kind="decision",
            stream="environment/prod",
            subjects=statement.subject,
            predicate={**statement.claim(), "inputs": swapped},
            at=room.clock.now(),
        )
    with pytest.raises(ReplayInputChanged, match="names other inputs"):
        replay(forged, reader(room))


def test_a_missing_blob_is_an_error(room: Room) -> None:
    packet = decided(room)

    def nothing(wanted: Digest) -> bytes:
        raise BlobMissing(f"There is no blob {wanted}.", next_step="")

    with pytest.raises(BlobMissing):
        replay(packet, nothing)


def test_rules_that_changed_show_as_differences(room: Room) -> None:
    packet = decided(room)
    report = replay(packet, reader(room), {**gate_kinds(), "policy": AnotherPolicy(allow("because"))})
    assert not report.byte_equal
    assert [line.split(":")[0] for line in report.differences] == ["decision.gates[0].reasons[0]", "decision.gates[2].reasons[0]"]


def test_rules_that_cannot_judge_any_more_are_no_decision(room: Room) -> None:
    report = replay(decided(room), reader(room), {**gate_kinds(), "policy": AnotherPolicy(error("gone", would_change=()))})
    assert (report.byte_equal, report.replayed_digest) == (False, None)
    assert "no decision but 'error'" in report.differences[0]


def test_only_decisions_are_replayed(room: Room) -> None:
    with room.store.writing() as tx:
        subjects = [Subject(name="shop", digest=digest("x"))]
        packet = room.evidence.seal(tx, packet_id="evd_x", kind="rollback", stream="environment/prod", subjects=subjects, predicate={"inputs": []}, at=NOW)
    with pytest.raises(NotADecision, match="rollback"):
        replay(packet, reader(room))


def test_what_waits_is_not_sealed(room: Room) -> None:
    waiting = room.evaluate(room.request(), None)
    assert waiting.state is PromotionState.WAITING
    with room.store.reading() as tx:
        assert room.evidence.list(tx) == []
