"""Exports of an installation: answers a question with one file, which is verified before it gets its name, and sealed as evidence.

What a killed process leaves is the draft and its journal beside the target (`draft.py`). The same command goes on, and the file that it ends with
is the one that would have been written without the interruption.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Clock
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.exports import manifest as members
from stella_pipelines.evidence.exports.analysis import FORMATS, add_tables
from stella_pipelines.evidence.exports.artifacts import add_blobs, named_in
from stella_pipelines.evidence.exports.draft import Beginning, Draft, finish, open_draft, partial_path
from stella_pipelines.evidence.exports.errors import DraftUnusable, ExportRefused
from stella_pipelines.evidence.exports.heads_of import head_members
from stella_pipelines.evidence.exports.manifest import Counts, LogHead, Manifest, Summary, signed_text
from stella_pipelines.evidence.exports.pages import add_pages
from stella_pipelines.evidence.exports.pouring import Pouring
from stella_pipelines.evidence.exports.question import Question
from stella_pipelines.evidence.exports.sealing import seal_export
from stella_pipelines.evidence.exports.selecting import Selection, select
from stella_pipelines.evidence.exports.trust import Trust
from stella_pipelines.evidence.exports.verifying import ExportReport, verify_export
from stella_pipelines.evidence.keys.book import key_in_force
from stella_pipelines.evidence.keys.history import read_history
from stella_pipelines.evidence.keys.signing import SigningKey
from stella_pipelines.evidence.log import heads
from stella_pipelines.evidence.log.note_keys import sign_as_log
from stella_pipelines.evidence.log.notes import write_base64, write_note
from stella_pipelines.evidence.log.service import Log
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.evidence.verify import VerifiedPacket, verify_packet
from stella_pipelines.store.database import Store

Counting = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows a bar: what is done, and how much there is; the block says how far it has come."""


class Exported(Value):
    """An export that was written."""

    report: ExportReport
    packet_id: str
    bytes: int
    sha256: str
    """Of the whole file, for whoever carries it."""


class Exports:
    """See the module's docstring."""

    def __init__(self, store: Store, evidence: Evidence, log: Log, signer: SigningKey, clock: Clock, identifiers: Identifiers) -> None:
        self._store = store
        self._evidence = evidence
        self._log = log
        self._signer = signer
        self._clock = clock
        self._identifiers = identifiers

    def export(
        self,
        actor: Actor,
        question: Question,
        target: Path,
        counting: Counting,
        *,
        reason: str | None = None,
        artifacts: bool = True,
        tables: bool = True,
        older: bytes | None = None,
        restart: bool = False,
    ) -> Exported:
        """Write the export of a question. `older`: a checkpoint that the auditor has, which the export shall be comparable with."""
        formats = tuple(one for one in FORMATS if tables and (one != "parquet" or find_spec("pyarrow"))) if not tables or find_spec("pandas") else ()
        with open_draft(target, self._beginning(question, artifacts, formats), restart=restart) as draft:
            summary = self._fill(draft, counting, older)
            content = Manifest(summary, tuple(draft.entries.values())).canonical()
            draft.close_file((members.MANIFEST, content), (members.SIGNATURE, self._signature(draft, Digest.of(content))))
            trust = Trust.of([], draft.content(members.KEYS))
            with counting("verifying it", summary.counts.total) as progress:
                report = _verified(target, trust, progress)
            self._seal(draft, actor, reason, summary, Digest.of(content))
            finish(target)
            return Exported(report=report, packet_id=draft.beginning.packet_id, bytes=target.stat().st_size, sha256=_sha256(target))

    def _beginning(self, question: Question, artifacts: bool, formats: tuple[str, ...]) -> Beginning:
        packet_id = self._identifiers.new("evd", self._clock.now())
        with self._log.reading() as (tx, head):
            name = heads.origin(tx, self._clock.now())
        return Beginning(question=question, artifacts=artifacts, tables=formats, origin=name, size=head.size, packet_id=packet_id)

    def _fill(self, draft: Draft, counting: Counting, older: bytes | None) -> Summary:
        """Every member but the manifest and its signature."""
        head_members(draft, self._store, older)
        selection = self._selected(draft)
        total = len(selection.packets) + len(selection.audit) + len(selection.purged) + _tail(draft, selection)
        with counting("taking packets out", total) as progress:
            Pouring(self._store, draft, progress).pour(selection)
        digests = named_in(draft, self._store) if draft.beginning.artifacts else []
        for what, count, steps in (
            ("taking artifacts out", len(digests), add_blobs(draft, self._store, digests)),
            ("making tables", len(draft.names("packets")), add_tables(draft, lambda chunk: (packet for packet, _ in self._read(draft, chunk)))),
        ):
            _follow(counting, what, count, steps)
        summary = self._summary(draft, selection, len(digests))
        key_ids = [record.key_id for record in read_history(draft.content(members.KEYS)).records]
        _follow(counting, "writing pages", len(draft.names("packets")), add_pages(draft, summary, lambda chunk: self._read(draft, chunk), key_ids))
        return summary

    def _selected(self, draft: Draft) -> Selection:
        with self._store.reading() as tx:
            selection = select(tx, draft.beginning.question, draft.beginning.size)
        arrays = (selection.packets, selection.purged, selection.audit)
        draft.require_selected(Digest.of(b"".join(hashlib.sha256(one.tobytes()).digest() for one in arrays)))
        return selection

    def _summary(self, draft: Draft, selection: Selection, blobs: int) -> Summary:
        with self._store.reading() as tx:
            head = heads.of_size(tx, draft.beginning.size)
        counts = Counts(packets=len(selection.packets), audit=len(selection.audit), purged=len(selection.purged), tail=_tail(draft, selection), blobs=blobs)
        log = LogHead(origin=draft.beginning.origin, size=head.size, root=write_base64(head.root))
        return Summary(question=draft.beginning.question, about=selection.about, log=log, counts=counts, streams=selection.streams)

    def _read(self, draft: Draft, chunk: str) -> Iterator[tuple[VerifiedPacket, int]]:
        """The packets of a chunk, verified, with their indexes in the log."""
        ring = read_history(draft.content(members.KEYS)).ring()
        indexes = json.loads(draft.content(members.proof_name(chunk)))["indexes"]
        for line, index in zip(draft.content(chunk).splitlines(), indexes, strict=True):
            yield verify_packet(line, ring, log_index=index), index

    def _signature(self, draft: Draft, digest: Digest) -> bytes:
        with self._store.writing() as tx:
            signer = key_in_force(tx, self._signer, self._clock.now())
        if signer.key_id not in {record.key_id for record in read_history(draft.content(members.KEYS)).records}:
            raise DraftUnusable("The key was replaced since this export was begun.", next_step="Begin anew with --restart.")
        text = signed_text(draft.beginning.origin, digest)
        return write_note(text, [sign_as_log(draft.beginning.origin, signer, text)])

    def _seal(self, draft: Draft, actor: Actor, reason: str | None, summary: Summary, manifest: Digest) -> None:
        digests = {members.MANIFEST: manifest, members.CHECKPOINT: Digest.of(draft.content(members.CHECKPOINT))}
        at, packet_id = self._clock.now(), draft.beginning.packet_id
        audit_id = self._identifiers.new("aud", at)
        seal_export(self._store, self._evidence, packet_id=packet_id, audit_id=audit_id, actor=actor, reason=reason, summary=summary, digests=digests, at=at)


def _verified(target: Path, trust: Trust, progress: Callable[[int], None]) -> ExportReport:
    """The report on the finished draft: nobody gets an export that does not verify."""
    try:
        return verify_export(partial_path(target), trust, progress=progress)
    except ExportRefused as error:
        raise DraftUnusable(
            f"The export that was written does not verify: {error.what}",
            next_step="Begin anew with --restart. If that ends in the same way, 'stella audit verify' says what is wrong with the evidence.",
        ) from error


def _follow(counting: Counting, what: str, count: int, steps: Iterator[int]) -> None:
    with counting(what, count) as progress:
        for done in steps:
            progress(done)


def _tail(draft: Draft, selection: Selection) -> int:
    return 0 if selection.tail_from is None else draft.beginning.size - selection.tail_from


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
