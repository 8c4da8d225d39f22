"""Each thing that can be wrong with an export has its one error, also when somebody with the key has signed it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.evidence.exports import errors
from stella_pipelines.evidence.exports.manifest import MANIFEST
from stella_pipelines.evidence.exports.question import Question
from stella_pipelines.evidence.exports.verifying import verify_export
from stella_pipelines.store.database import Store
from tests.support.exports import KEY, ExportingInstallation, Members, members_of, moment, prod_export, refusal, repacked

PACKETS, PROOF, AUDIT, TAIL = "packets/000001.jsonl", "packets/000001.proof.json", "audit/000001.jsonl", "tail/000001.jsonl"
BLOB = "blobs/sha256-" + "0" * 64


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prod_export(tmp_path_factory.mktemp("genuine"))


@pytest.fixture
def members(genuine: Path) -> Members:
    return members_of(genuine)


def test_the_genuine_one_and_the_one_made_anew_are_taken(genuine: Path, members: Members, tmp_path: Path) -> None:
    anew = repacked(tmp_path / "a.zip", members)
    assert anew.read_bytes() == genuine.read_bytes()
    assert verify_export(anew, KEY).counts.packets == 6


def without(*names: str) -> Callable[[Members], Members]:
    return lambda members: {name: content for name, content in members.items() if name not in names}


def replaced(name: str, change: Callable[[bytes], bytes]) -> Callable[[Members], Members]:
    return lambda members: {**members, name: change(members[name])}


def in_json(change: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        document = json.loads(content)
        change(document)
        return canonical_json(document)

    return changed


def lines(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    return lambda content: b"".join(line + b"\n" for line in change(content.splitlines()))


def without_line(number: int) -> Callable[[Members], Members]:
    """A packet taken out together with its place: the proof cannot hold then, whatever is left of it."""

    def changed(members: Members) -> Members:
        proof = json.loads(members[PROOF])
        for name in ("indexes", "sequences"):
            del proof[name][number]
        rest = members[PACKETS].splitlines()
        del rest[number]
        return {**members, PACKETS: b"".join(line + b"\n" for line in rest), PROOF: canonical_json(proof)}

    return changed


SIGNED: dict[str, tuple[Callable[[Members], Members], type[errors.ExportRefused]]] = {
    "a chunk is missing": (without(PACKETS, PROOF), errors.SequenceGap),
    "a chunk's proof is missing": (without(PROOF), errors.MemberMissing),
    "a packet is taken out": (without_line(2), errors.ExportProofInvalid),
    "packets are swapped": (replaced(PACKETS, lines(lambda all: [all[1], all[0], *all[2:]])), errors.PacketInExportRefused),
    "a packet twice": (replaced(PACKETS, lines(lambda all: [*all, all[0]])), errors.ExportProofInvalid),
    "a packet is changed": (replaced(PACKETS, lambda content: content.replace(b'"payload":"e', b'"payload":"f', 1)), errors.PacketInExportRefused),
    "a packet is something else": (replaced(PACKETS, lines(lambda all: [b"{}", *all[1:]])), errors.PacketInExportRefused),
    "a deeply nested packet": (replaced(PACKETS, lines(lambda all: [b"[" * 1_000_000, *all[1:]])), errors.PacketInExportRefused),
    "no newline at the end": (replaced(PACKETS, lambda content: content[:-1]), errors.ExportProofInvalid),
    "an audit entry is changed": (replaced(AUDIT, lambda content: content.replace(b"because", b"whyever")), errors.ExportProofInvalid),
    "an audit entry in another spelling": (replaced(AUDIT, lambda content: content.replace(b'{"action":', b'{ "action":', 1)), errors.PacketInExportRefused),
    "a deeply nested audit entry": (replaced(AUDIT, lines(lambda all: [b"[" * 100_000 + b"]" * 100_000, *all[1:]])), errors.PacketInExportRefused),
    "another number of an audit entry": (replaced("audit/000001.proof.json", in_json(lambda proof: proof["sequences"].reverse())), errors.ExportProofInvalid),
    "another place in the log": (replaced(PROOF, in_json(lambda proof: proof["indexes"].__setitem__(0, 0))), errors.ExportProofInvalid),
    "places that are none": (replaced(PROOF, in_json(lambda proof: proof["indexes"].__setitem__(0, True))), errors.ExportProofInvalid),
    "a proof without hashes": (replaced(PROOF, in_json(lambda proof: proof.update(hashes=""))), errors.ExportProofInvalid),
    "a proof in another spelling": (replaced(PROOF, lambda content: b" " + content), errors.ExportProofInvalid),
    "a deeply nested proof": (replaced(PROOF, lambda content: b"[" * 100_000 + b"]" * 100_000), errors.ExportProofInvalid),
    "the tail is missing": (without(TAIL, "tail/000001.proof.json"), errors.SequenceGap),
    "a leaf of the tail is changed": (replaced(TAIL, lambda content: content.replace(b"dev", b"qa1")), errors.ExportProofInvalid),
    "a leaf that is none": (replaced(TAIL, lines(lambda all: [b"[]", *all[1:]])), errors.PacketInExportRefused),
    "an artifact with another digest": (lambda members: {**members, BLOB: b"other"}, errors.ArtifactDiffers),
    "another checkpoint": (replaced("checkpoint", lambda content: content.replace(b"\n1", b"\n2", 1)), errors.ExportProofInvalid),
    "no checkpoint": (without("checkpoint"), errors.MemberMissing),
    "no keys": (without("keys.json"), errors.MemberMissing),
    "keys that are none": (replaced("keys.json", lambda content: b"{}"), errors.ManifestInvalid),
    "consistency proofs that are none": (replaced("consistency.json", lambda content: b'{"01":""}'), errors.ExportProofInvalid),
    "a member that no export has": (lambda members: {**members, "evil.sh": b"#!"}, errors.ManifestInvalid),
    "a chunk with a number of its own": (lambda members: {**members, "packets/000009.jsonl": b"", "packets/000009.proof.json": b""}, errors.MemberMissing),
}


@pytest.mark.parametrize("what", SIGNED)
def test_what_is_wrong_and_signed_is_refused(members: Members, tmp_path: Path, what: str) -> None:
    change, expected = SIGNED[what]
    assert refusal(repacked(tmp_path / "a.zip", change(members))) is expected


def head(members: Members) -> Any:
    return json.loads(members[MANIFEST])


SAYS: dict[str, tuple[Callable[[Any], object], type[errors.ExportRefused]]] = {
    "another form": (lambda m: m.update(form="https://stella-pipelines.dev/export/v2"), errors.VersionUnknown),
    "no form of ours": (lambda m: m.update(form="https://example.com"), errors.ManifestInvalid),
    "other counts": (lambda m: m["counts"].update(packets=5), errors.CountsWrong),
    "counts that are none": (lambda m: m["counts"].update(packets=True), errors.ManifestInvalid),
    "another log": (lambda m: m["log"].update(size=5), errors.CountsWrong),
    "a stream that ends before": (lambda m: m["streams"][0].update(last=5), errors.SequenceGap),
    "a stream that begins later": (lambda m: m["streams"][0].update(first=2), errors.SequenceGap),
    "other streams": (lambda m: m["streams"].reverse(), errors.QuestionNotAnswered),
    "no streams": (lambda m: m.update(streams=[]), errors.QuestionNotAnswered),
    "a shorter span of time": (lambda m: m["question"].update(until="2026-02-02T12:00:00.000000Z"), errors.QuestionNotAnswered),
    "another environment": (lambda m: m["question"].update(environment="dev"), errors.QuestionNotAnswered),
    "everything": (lambda m: m["question"].update(environment=None), errors.QuestionNotAnswered),
    "a digest": (lambda m: m["question"].update(environment=None, subject="sha256:" + "1" * 64), errors.QuestionNotAnswered),
    "a question that cannot be": (lambda m: m["question"].update(subject="sha256:" + "1" * 64), errors.ManifestInvalid),
    "something more": (lambda m: m.update(more=1), errors.ManifestInvalid),
}


@pytest.mark.parametrize("what", SAYS)
def test_a_manifest_that_says_something_else_is_refused(members: Members, tmp_path: Path, what: str) -> None:
    change, expected = SAYS[what]
    document = head(members)
    change(document)
    assert refusal(repacked(tmp_path / "a.zip", members, summary=document)) is expected


def test_a_border_that_is_none_is_refused(tmp_path: Path) -> None:
    """Packets that are asked for are left out in front, and the manifest says so: the first one there is within the span."""
    store = Store.open(f"sqlite:///{tmp_path / 'stella.db'}")
    installation = ExportingInstallation(store)
    installation.decide("prod", 6)
    installation.export(tmp_path / "late.zip", Question(environment="prod", since=moment(3.5)))
    found = members_of(tmp_path / "late.zip")
    summary = head(found)
    assert summary["streams"][0]["first"] == 3
    summary["question"]["since"] = None
    assert refusal(repacked(tmp_path / "a.zip", found, summary=summary)) is errors.QuestionNotAnswered
    store.close()


@pytest.mark.parametrize(
    "manifest",
    [b"", b"{}", b"null", b"[" * 100_000, b'{"form":"x","form":"y"}', b"\xff", b'{"form":1}'],
    ids=["empty", "an empty object", "null", "deeply nested", "a key twice", "no text", "a number"],
)
def test_a_manifest_that_is_none_is_refused(members: Members, tmp_path: Path, manifest: bytes) -> None:
    assert refusal(repacked(tmp_path / "a.zip", members, manifest=manifest)) is errors.ManifestInvalid


def test_a_manifest_in_another_spelling_is_refused(members: Members, tmp_path: Path) -> None:
    assert refusal(repacked(tmp_path / "a.zip", members, manifest=json.dumps(head(members)).encode())) is errors.ManifestInvalid


LISTED: dict[str, tuple[Callable[[list[dict[str, Any]]], list[dict[str, Any]]], type[errors.ExportRefused]]] = {
    "not named": (lambda entries: entries[:-1], errors.MemberExtra),
    "named and not there": (lambda entries: [*entries, {**entries[0], "name": "pages/000007.html"}], errors.MemberMissing),
    "named twice": (lambda entries: [*entries, entries[0]], errors.ExportMalformed),
    "in another order": (lambda entries: entries[::-1], errors.ExportMalformed),
    "of another size": (lambda entries: [{**entries[0], "size": 1}, *entries[1:]], errors.MemberChanged),
    "with another digest": (lambda entries: [*entries[:-1], {**entries[-1], "sha256": "0" * 64}], errors.MemberChanged),
    "packed in another way": (lambda entries: [*entries[:-1], {**entries[-1], "packed_sha256": "0" * 64}], errors.MemberChanged),
    "without its packed digest": (lambda entries: [{k: v for k, v in entries[0].items() if k != "packed_sha256"}, *entries[1:]], errors.ExportMalformed),
    "with a digest that is none": (lambda entries: [{**entries[0], "sha256": "X"}, *entries[1:]], errors.ManifestInvalid),
    "with a name that leads out": (lambda entries: [{**entries[0], "name": "../keys.json"}, *entries[1:]], errors.MemberMissing),
}


@pytest.mark.parametrize("what", LISTED)
def test_a_manifest_that_lists_other_members_is_refused(members: Members, tmp_path: Path, what: str) -> None:
    change, expected = LISTED[what]
    assert refusal(repacked(tmp_path / "a.zip", members, listed=change)) is expected
