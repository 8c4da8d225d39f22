"""Verifying an export with nothing but its file and a public key: no database, no network, no clock.

In this order: the file's form, the manifest's signature, the members against the manifest, the checkpoint; then each packet and audit entry with
its place in the log; that no packet of a stream is missing and the question is answered to its ends; the artifacts; every other member's digest;
the counts. Streaming: one member is in memory at a time, and of packets some numbers per stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.envelope import read_envelope
from stella_pipelines.evidence.exports.chunks import ProvenLine, read_chunks
from stella_pipelines.evidence.exports.comparing import read_proofs, require_grown_from
from stella_pipelines.evidence.exports.completeness import DenseStreams, Purged
from stella_pipelines.evidence.exports.errors import ArtifactDiffers, CountsWrong, QuestionNotAnswered, SequenceGap
from stella_pipelines.evidence.exports.manifest import CONSISTENCY, Counts, LogHead, StreamSpan
from stella_pipelines.evidence.exports.opening import opened
from stella_pipelines.evidence.exports.question import Question
from stella_pipelines.evidence.exports.reading import ReadExport, read_export
from stella_pipelines.evidence.exports.trust import Trust
from stella_pipelines.evidence.streams import AUDIT, RELEASES

BLOBS = "blobs/sha256-"
_ENTRY_MEMBERS = ("packets/", "audit/", "purged/", "tail/", "blobs/")


class ExportReport(Value):
    """What a verified export is."""

    digest: Digest
    """Of its manifest: what the packet of the export names."""
    question: Question
    log: LogHead
    counts: Counts
    streams: tuple[StreamSpan, ...]
    signed_by: str
    """The id of the key that vouches for the whole."""
    witnesses: int
    """Cosignatures on the checkpoint. They are the witnesses' business: their keys are not in the export."""
    compared: bool
    """Whether the log was shown to have grown from an older checkpoint."""


Progress = Callable[[int], None]
"""Told how many entries and artifacts were checked so far."""


def unheard(done: int) -> None:
    """Nobody watches."""
    del done


def verify_export(path: Path, trust: Trust, *, older: bytes | None = None, progress: Progress = unheard) -> ExportReport:
    """The report, if every check passes; otherwise exactly one EVID_EXPORT_ error."""
    with opened(path) as file:
        return verify_read(read_export(file, trust), older=older, progress=progress)


def verify_read(export: ReadExport, *, older: bytes | None = None, progress: Progress = unheard) -> ExportReport:
    """The same for an export whose head was read."""
    counted = Verifying(export, progress).whole()
    summary = export.manifest.summary
    if counted != summary.counts:
        raise CountsWrong(f"The export holds {counted.packets} packets and {counted.audit} audit entries; its manifest says something else.")
    if older is not None:
        require_grown_from(export, older)
    head = export.note.decode().rpartition("\n\n")[2].count("\n")
    return ExportReport(
        digest=export.digest,
        question=summary.question,
        log=summary.log,
        counts=counted,
        streams=summary.streams,
        signed_by=export.signed_by,
        witnesses=head - len(export.checkpoint.log_key_ids),
        compared=older is not None,
    )


class Verifying:
    """One pass through an export."""

    def __init__(self, export: ReadExport, progress: Progress) -> None:
        self._export = export
        self._progress = progress
        self._done = 0
        summary = export.manifest.summary
        self._question = summary.question
        self._about = tuple(digest.hex.encode() for digest in summary.about)
        self._spans = summary.streams

    def whole(self) -> Counts:
        """Check everything; how much was there."""
        purged = Purged()
        stubs = sum(self._take_purged(page, purged) for page in read_chunks(self._export, "purged"))
        dense = DenseStreams(self._question, self._spans, purged)
        self._require_streams()
        packets = sum(self._take_packets(page, dense) for page in read_chunks(self._export, "packets"))
        audit = sum(self._take_audit(page, dense) for page in read_chunks(self._export, "audit"))
        dense.require_whole()
        tail = self._take_tail(dense)
        blobs = self._take_blobs()
        self._take_rest()
        if self._question.is_everything and self._question.since is None and self._question.until is None:
            self._require_all(packets + audit + stubs)
        return Counts(packets=packets, audit=audit, purged=stubs, tail=tail, blobs=blobs)

    def _require_streams(self) -> None:
        """The streams of the manifest are those that the question is about, each once."""
        named = [span.stream for span in self._spans]
        wanted = self._question.streams
        if len(named) != len(set(named)) or (wanted is not None and named != list(wanted)):
            raise QuestionNotAnswered("The streams in the manifest are not those that the question is about.")
        if (self._question.subject is None) is not (not self._about) or (self._question.subject and self._question.subject.hex.encode() not in self._about):
            raise QuestionNotAnswered("The manifest does not say which digests the question is about, or says it without need.")

    def _take_purged(self, page: Sequence[ProvenLine], purged: Purged) -> int:
        for line in page:
            if all(span.stream != line.entry.stream for span in self._spans):
                raise QuestionNotAnswered(f"{line.entry.id[:80]!r} was purged, and is of no stream that must be whole.")
            purged.take(line.entry)
        return self._passed(page)

    def _take_packets(self, page: Sequence[ProvenLine], dense: DenseStreams) -> int:
        for line in page:
            if dense.has(line.entry.stream):
                dense.take(line.entry, _time_of(line))
            elif not self._is_asked_for(line):
                raise QuestionNotAnswered(f"The packet {line.entry.id[:80]!r} does not belong to the question.")
        return self._passed(page)

    def _is_asked_for(self, line: ProvenLine) -> bool:
        """Whether a packet belongs here that is not of a whole stream."""
        if self._about:
            payload = read_envelope(line.content).payload
            return any(digest in payload for digest in self._about) and self._question.is_in_span(_time_of(line))
        return self._question.environment is not None and line.entry.stream == RELEASES

    def _take_audit(self, page: Sequence[ProvenLine], dense: DenseStreams) -> int:
        for line in page:
            if dense.has(AUDIT):
                dense.take(line.entry, _time_of(line))
            elif not self._is_audit_asked_for(line):
                raise QuestionNotAnswered(f"The audit entry {line.entry.id[:80]!r} does not belong to the question.")
        return self._passed(page)

    def _is_audit_asked_for(self, line: ProvenLine) -> bool:
        about = self._question.environment is None or line.environment == self._question.environment
        return about and not self._question.is_everything and self._question.is_in_span(_time_of(line))

    def _take_tail(self, dense: DenseStreams) -> int:
        expected = dense.tail_from()
        size, count = self._export.checkpoint.checkpoint.size, 0
        for page in read_chunks(self._export, "tail"):
            if expected is None or page[0].entry.index != expected or page[-1].entry.index != expected + len(page) - 1:
                raise SequenceGap("The log's tail in the export does not begin where it must, or has a gap.")
            for line in page:
                dense.take_tail(line.entry)
            expected += len(page)
            count += self._passed(page)
        if expected is not None and expected != size:
            raise SequenceGap(f"The log's tail in the export ends before {expected}; the log has {size} entries.")
        return count

    def _take_blobs(self) -> int:
        count = 0
        for name in self._names(lambda name: name.startswith(BLOBS)):
            if Digest.of(self._export.content(name)).hex != name.removeprefix(BLOBS):
                raise ArtifactDiffers(f"{name} has another digest than its name says.")
            count += 1
            self._passed([name])
        return count

    def _take_rest(self) -> None:
        """What is there for people, and what was read before its digest was known."""
        for name in self._names(lambda name: not name.startswith(_ENTRY_MEMBERS)):
            self._export.content(name)
        read_proofs(self._export.content(CONSISTENCY))

    def _require_all(self, count: int) -> None:
        size = self._export.checkpoint.checkpoint.size
        if count != size:
            raise SequenceGap(f"The log has {size} entries, and of everything the export has {count}.")

    def _names(self, wanted: Callable[[str], bool]) -> Iterator[str]:
        return (name for name in self._export.entries if wanted(name))

    def _passed(self, page: Sequence[object]) -> int:
        self._done += len(page)
        self._progress(self._done)
        return len(page)


def _time_of(line: ProvenLine) -> datetime:
    if line.at is None:
        raise QuestionNotAnswered(f"{line.entry.id[:80]!r} stands among packets and audit entries, and is a leaf alone.")
    return line.at
