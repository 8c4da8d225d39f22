"""Whose export it is: other keys, other installations, older checkpoints, rewritten histories, and keys that were revoked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.evidence.envelope import write_envelope
from stella_pipelines.evidence.exports import errors
from stella_pipelines.evidence.exports.container import DEFLATED, STORED
from stella_pipelines.evidence.exports.manifest import MANIFEST, SIGNATURE
from stella_pipelines.evidence.exports.trust import Trust
from stella_pipelines.evidence.exports.verifying import verify_export
from stella_pipelines.evidence.keys.book import history_of
from stella_pipelines.evidence.keys.changes import revoke, rotate
from stella_pipelines.evidence.log import heads
from stella_pipelines.store.database import Store
from tests.support.evidence import signing_key
from tests.support.exports import KEY, ExportingInstallation, Members, members_of, prod_export, raw_zip, refusal, repacked, with_origin
from tests.support.logs import ALICE

PACKETS, PROOF = "packets/000001.jsonl", "packets/000001.proof.json"


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prod_export(tmp_path_factory.mktemp("genuine"))


@pytest.fixture
def members(genuine: Path) -> Members:
    return members_of(genuine)


def test_whoever_has_no_key_changes_nothing(genuine: Path, members: Members, tmp_path: Path) -> None:
    other = signing_key(7)
    assert refusal(genuine, Trust.of([other.public_pem])) is errors.ExportKeyUnknown
    assert refusal(repacked(tmp_path / "a.zip", members, key=other)) is errors.ExportKeyUnknown
    changed = {**members, "index.html": b"<p>all is well</p>"}
    plain = [(name, content, DEFLATED) for name, content in changed.items() if name not in (MANIFEST, SIGNATURE)]
    last = [(name, changed[name], STORED) for name in (MANIFEST, SIGNATURE)]
    assert refusal(raw_zip(tmp_path / "b.zip", plain + last)) is errors.MemberChanged
    manifest = members[MANIFEST].replace(b'"packets":6', b'"packets":7')
    last = [(MANIFEST, manifest, STORED), (SIGNATURE, members[SIGNATURE], STORED)]
    assert refusal(raw_zip(tmp_path / "c.zip", plain + last)) is errors.ManifestUnsigned


def test_the_export_of_another_installation_with_the_same_key_is_not_grown_from_ours(genuine: Path, members: Members, tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'other.db'}")
    other = ExportingInstallation(store)
    other.decide("prod", 3)
    other.export(tmp_path / "other.zip")
    assert refusal(genuine, older=members_of(tmp_path / "other.zip")["checkpoint"]) is errors.ExportOfAnother
    mixed = {**members, PACKETS: members_of(tmp_path / "other.zip")[PACKETS]}
    assert refusal(repacked(tmp_path / "a.zip", mixed)) is errors.ExportProofInvalid
    assert refusal(genuine, older=b"no checkpoint") is errors.ExportOfAnother
    store.close()


def test_an_older_checkpoint_is_compared(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'stella.db'}")
    installation = ExportingInstallation(store)
    installation.decide("prod", 3)
    kept = installation.take_in().note
    installation.decide("prod", 3)
    installation.export(tmp_path / "a.zip")
    assert refusal(tmp_path / "a.zip", older=kept) is errors.NotComparable
    installation.export(tmp_path / "b.zip", older=kept)
    assert verify_export(tmp_path / "b.zip", KEY, older=kept).compared
    before = members_of(tmp_path / "a.zip")["checkpoint"]
    assert verify_export(tmp_path / "b.zip", KEY, older=before).compared  # of an export before, without being asked
    store.close()


def test_a_rewritten_history_is_found_by_the_older_checkpoint(tmp_path: Path) -> None:
    notes, paths = [], []
    for number in (1, 2):
        store = Store.open(f"sqlite:///{tmp_path / f'{number}.db'}")
        installation = with_origin(store, "stella-pipelines.dev/log/one")
        installation.decide("prod" if number == 1 else "dev", 3)
        head = installation.take_in()
        notes.append(head.note)
        installation.export(tmp_path / f"same{number}.zip")
        installation.decide("prod", 3)
        installation.export(tmp_path / f"later{number}.zip", older=None)
        paths.append(tmp_path / f"later{number}.zip")
        store.close()
    assert verify_export(paths[1], KEY, older=notes[1]).compared
    assert refusal(paths[1], older=notes[0]) is errors.HistoryConflicts
    assert refusal(tmp_path / "same2.zip", older=notes[0]) is errors.HistoryConflicts
    assert refusal(tmp_path / "same1.zip", older=members_of(paths[0])["checkpoint"]) is errors.HistoryConflicts  # which is smaller


@pytest.fixture
def rotated(tmp_path: Path) -> Iterator[ExportingInstallation]:
    """An installation with exports before and after its key was replaced and revoked."""
    store = Store.open(f"sqlite:///{tmp_path / 'stella.db'}")
    installation = ExportingInstallation(store)
    installation.decide("prod", 3)
    installation.export(tmp_path / "before.zip")
    new = signing_key(2)
    with store.writing() as tx:
        rotate(tx, old=installation.key, new=new, at=installation.clock.now(), actor=ALICE, reason="yearly")
    after = ExportingInstallation(store, seed=2)  # the same one, with the new key; it takes in what waits
    with store.writing() as tx:
        newest = heads.newest(tx)
        assert newest is not None
        revoke(tx, key_id=installation.key.key_id, signer=new, trusted_size=newest.size, at=installation.clock.now(), actor=ALICE, reason="stolen")
    after.export(tmp_path / "after.zip")
    yield after
    store.close()


def test_a_revoked_key_is_named(rotated: ExportingInstallation, tmp_path: Path) -> None:
    old, new = Trust.of([signing_key(1).public_pem]), Trust.of([signing_key(2).public_pem])
    with rotated.store.reading() as tx:
        history = history_of(tx).canonical()
    assert verify_export(tmp_path / "before.zip", old).counts.packets == 3  # who knows of no revocation
    assert refusal(tmp_path / "before.zip", Trust.of([], history)) is errors.ExportKeyRevoked
    assert verify_export(tmp_path / "after.zip", old).counts.packets == 4  # the old key vouches for the new one, and what it sealed stands early in the log
    assert refusal(tmp_path / "after.zip", new) is errors.PacketInExportRefused  # the new key vouches for nothing before it
    assert verify_export(tmp_path / "after.zip", Trust.of([], history)).signed_by == signing_key(2).key_id


def test_a_packet_by_a_revoked_key_counts_only_where_it_stood_before(rotated: ExportingInstallation, tmp_path: Path) -> None:
    found = members_of(tmp_path / "after.zip")
    trusted_size = json.loads(found["keys.json"])["events"][-1]["trusted_size"]
    proof = json.loads(found[PROOF])
    assert proof["indexes"][-1] < trusted_size < json.loads(found[MANIFEST])["log"]["size"]
    proof["indexes"][-1] = trusted_size
    trust = Trust.of([], found["keys.json"])
    late = repacked(tmp_path / "late.zip", {**found, PROOF: canonical_json(proof)}, key=signing_key(2))
    assert refusal(late, trust) is errors.ExportKeyRevoked
    kept = found[PACKETS].splitlines()[:-1]
    early = b"".join(line + b"\n" for line in [*kept, write_envelope(b"{}", signing_key(1))])
    forged = repacked(tmp_path / "forged.zip", {**found, PACKETS: early}, key=signing_key(2))  # and says that it stands early
    assert refusal(forged, trust) is errors.PacketInExportRefused
