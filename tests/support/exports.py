"""Exports for tests: a small installation with some packets, its export, and exports that are made anew with one thing wrong and a right signature."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.exports import container
from stella_pipelines.evidence.exports.container import DEFLATED, STORED, Member
from stella_pipelines.evidence.exports.errors import ExportRefused
from stella_pipelines.evidence.exports.manifest import MANIFEST, SIGNATURE, signed_text
from stella_pipelines.evidence.exports.opening import opened
from stella_pipelines.evidence.exports.question import Question
from stella_pipelines.evidence.exports.service import Exported, Exports
from stella_pipelines.evidence.exports.trust import Trust
from stella_pipelines.evidence.exports.verifying import verify_export
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.evidence.log.note_keys import sign_as_log
from stella_pipelines.evidence.log.notes import write_note
from stella_pipelines.evidence.log.tables import log_identity
from stella_pipelines.evidence.statement import Kind
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store
from tests.support.evidence import NOW, RELEASE, signing_key
from tests.support.logs import ALICE, SmallLog
from tests.support.promotions import CountedIdentifiers, SetClock

KEY = Trust.of([signing_key().public_pem])
"""What an auditor has."""
REPORT = b'{"vulnerabilities": []}'
Members = dict[str, bytes]


@contextmanager
def unseen(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar that nobody sees, which must not go beyond its end."""
    assert what

    def counted(done: int) -> None:
        assert 0 <= done <= total, what

    yield counted


class ExportingInstallation(SmallLog):
    """A small log whose packets have times and artifacts, and the exports of it."""

    def __init__(self, store: Store, seed: int = 1, batch_max: int = 1000, key: FileKey | None = None) -> None:
        super().__init__(store, seed, batch_max, key)
        self.clock = SetClock(NOW)
        self.identifiers = CountedIdentifiers()
        self.exports = Exports(store, self.evidence, self.log, self.key, self.clock, self.identifiers)

    def decide(
        self, environment: str, count: int = 1, *, days: float = 1.0, kind: Kind = "decision", stream: str | None = None, says: Mapping[str, Any] | None = None
    ) -> list[str]:
        """So many packets of an environment, each some days after the one before, with an audit entry for each."""
        ids: list[str] = []
        for _ in range(count):
            self.clock.forward(days * 86_400)
            packet_id = self._next("evd")
            with self.store.writing() as tx:
                report = blobs.put(tx, REPORT, "application/json", self.clock.now())
                predicate = {"inputs": [{"name": "report/vulnerabilities", "digest": report}], **_decision(environment), **(says or {})}
                where = stream or f"environment/{environment}"
                at = self.clock.now()
                self.evidence.seal(tx, packet_id=packet_id, kind=kind, stream=where, subjects=[RELEASE], predicate=predicate, at=at)
                entry = self._next("aud")
                audit.record(tx, entry_id=entry, at=at, actor=ALICE, action="test.decided", subject=packet_id, environment=environment, reason="because")
            ids.append(packet_id)
        return ids

    def export(self, target: Path, question: Question | None = None, **options: Any) -> Exported:
        """The export of a question; without artifacts and tables unless they are asked for."""
        options = {"artifacts": False, "tables": False, **options}
        return self.exports.export(ALICE, question or Question(), target, unseen, **options)

    @property
    def trust(self) -> Trust:
        """What an auditor has: the public key."""
        return Trust.of([self.key.public_pem])


def with_origin(store: Store, origin: str) -> ExportingInstallation:
    """An installation whose log has this name, as somebody would make one who writes a history anew."""
    with store.writing() as tx:
        tx.connection.execute(sa.insert(log_identity).values(id=1, origin=origin, created_at=format_instant(NOW)))
    return ExportingInstallation(store)


def prod_export(folder: Path) -> Path:
    """The export of everything about prod in a span: with neighbours, a tail and an artifact."""
    store = Store.open(f"sqlite:///{folder / 'stella.db'}")
    installation = ExportingInstallation(store)
    installation.decide("prod", 6)
    installation.decide("dev", 2)
    installation.export(folder / "prod.zip", Question(environment="prod", since=moment(1.5), until=moment(9)), artifacts=True)
    store.close()
    return folder / "prod.zip"


def refusal(path: Path, trust: Trust = KEY, older: bytes | None = None) -> type[ExportRefused]:
    """The error with which an export is refused."""
    with pytest.raises(ExportRefused) as refused:
        verify_export(path, trust, older=older)
    assert refused.value.next_step
    return type(refused.value)


def moment(days: float) -> datetime:
    """So many days after the tests' beginning."""
    return NOW + timedelta(days=days)


def members_of(path: Path) -> Members:
    """Every member's content, in order."""
    with opened(path) as file:
        return {name: file.content(name) for name in file.members}


def repacked(
    target: Path,
    members: Mapping[str, bytes],
    *,
    key: FileKey | None = None,
    summary: Mapping[str, Any] | None = None,
    manifest: bytes | None = None,
    listed: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = lambda entries: entries,
) -> Path:
    """An export with these members and a manifest that fits them, rightly signed. `summary` replaces members of the manifest."""
    plain = {name: content for name, content in members.items() if name not in (MANIFEST, SIGNATURE)}
    document = {**json.loads(members[MANIFEST]), **(summary or {})}
    document["members"] = listed([_entry(name, content) for name, content in plain.items()])
    content = canonical_json(document) if manifest is None else manifest
    origin = document["log"]["origin"]
    text = signed_text(origin, Digest.of(content))
    last = {MANIFEST: content, SIGNATURE: write_note(text, [sign_as_log(origin, key or signing_key(), text)])}
    return raw_zip(target, [*((name, content, DEFLATED) for name, content in plain.items()), *((name, content, STORED) for name, content in last.items())])


def raw_zip(target: Path, members: list[tuple[str, bytes, int]]) -> Path:
    """A file in the form of an export with whatever members."""
    written: list[Member] = []
    with target.open("wb") as file:
        for name, content, method in members:
            packed = container.packed(content, method)
            member = Member(name, method, zlib.crc32(content), len(packed), len(content), file.tell())
            file.write(container.local_header(member) + packed)
            written.append(member)
        file.write(container.directory(written))
    return target


def _entry(name: str, content: bytes) -> dict[str, Any]:
    packed = hashlib.sha256(container.packed(content, DEFLATED)).hexdigest()
    return {"name": name, "packed_sha256": packed, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def _decision(environment: str) -> dict[str, Any]:
    gates = [{"name": "vulnerabilities", "kind": "security", "verdict": "allow", "reasons": ["nothing found"]}]
    release = {"name": "shop-1.0.0", "digest": RELEASE.digest}
    decided = {"environment": environment, "outcome": "allow", "release": release, "gates": gates, "reason": "weekly", "approvers": ["bob"]}
    return {"decision": {**decided, "requested_by": ALICE.document(), "promotion_id": "prm_test"}}
