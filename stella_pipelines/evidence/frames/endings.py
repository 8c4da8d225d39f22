"""What packets tell about targets, in a small form: hundreds of thousands of lines are kept while a frame is made. Pure but for `read_blob`.

The packet of a deployment says what every target showed at its end. A drift's says what was seen to run instead, between two deployments.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.frames.reading import Document, ReadBlob, blob, digest, inside, objects_in, text, time
from stella_pipelines.evidence.statement import Subject
from stella_pipelines.evidence.verify import VerifiedPacket

_IMAGE: Final = "image/"
_UNDECIDED: Final = ("failed", "rolled_back", "rollback_failed", "running")
"""Ends of a target on which the new images may have run for a while, or still do, whatever the target showed at the end."""

Kept = TypeVar("Kept")


@dataclass(slots=True)
class Memory:
    """Keeps equal values once: there are as many lines as deployments times targets, and most of them say the same."""

    known: dict[Any, Any] = field(default_factory=dict)

    def kept(self, value: Kept) -> Kept:
        """The first value that was equal to this one."""
        found: Kept = self.known.setdefault(value, value)
        return found


@dataclass(frozen=True, slots=True)
class Line:
    """One target at the end of a deployment."""

    target: str
    state: str
    shown: tuple[tuple[str, Digest | None], ...]
    """What it showed last, by component; None where it showed no image that could be proven. Empty when it did not answer."""

    @property
    def succeeded(self) -> bool:
        """Whether it proved the release."""
        return self.state == "succeeded"

    @property
    def undecided(self) -> bool:
        """Whether the new images may have run here without being proven."""
        return self.state in _UNDECIDED


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of one deployment."""

    environment: str
    sequence: int
    packet_id: str
    packet_digest: Digest
    started_at: datetime
    ended_at: datetime
    release: str | None
    release_digest: Digest | None
    images: tuple[Digest, ...]
    """The platform images that were wanted on some target."""
    whole: bool
    """Whether it was about every target of the environment; a retry is not."""
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """A component of a target that ran something else than what was deployed."""

    target: str
    component: str
    wanted: Digest | None
    observed: Digest | None
    """None when nothing runs, or nothing that the target can prove."""
    found_at: datetime


@dataclass(frozen=True, slots=True)
class Drift:
    """A look that found other things running than before: every finding as it is now, and none when the drift is over."""

    environment: str
    sequence: int
    packet_id: str
    packet_digest: Digest
    ended_at: datetime
    release: str | None
    release_digest: Digest | None
    findings: tuple[Finding, ...]


def drift_of(packet: VerifiedPacket, read_blob: ReadBlob | None, memory: Memory) -> Drift | None:
    """What the packet of a drift tells; None for one of another kind."""
    predicate, environment = packet.statement.predicate, packet.seal.environment
    if packet.kind != "drift" or environment is None:
        return None
    release, seen_at = inside(predicate, "release"), time(inside(predicate, "times"), "observed_at") or packet.seal.sealed_at
    return Drift(
        environment=environment,
        sequence=packet.seal.sequence,
        packet_id=packet.seal.packet_id,
        packet_digest=packet.packet_digest,
        ended_at=seen_at,
        release=text(release, "label"),
        release_digest=digest(release, "digest"),
        findings=tuple(_finding(row, seen_at, memory) for row in _rows(packet, "findings", "findings", read_blob)),
    )


def ending_of(packet: VerifiedPacket, read_blob: ReadBlob | None, memory: Memory) -> Ending | None:
    """What a packet tells; None for one that is about no deployment. Lines that are too many for a packet are read from its ledger."""
    predicate, environment = packet.statement.predicate, packet.seal.environment
    if packet.kind not in ("deployment", "rollback") or environment is None:
        return None
    record, release = inside(predicate, "deployment"), inside(predicate, "release")
    return Ending(
        environment=environment,
        sequence=packet.seal.sequence,
        packet_id=packet.seal.packet_id,
        packet_digest=packet.packet_digest,
        started_at=time(record, "started_at") or packet.seal.sealed_at,
        ended_at=time(record, "ended_at") or packet.seal.sealed_at,
        release=text(release, "label"),
        release_digest=digest(release, "digest"),
        images=memory.kept(tuple(subject.digest for subject in packet.statement.subject if is_image(subject))),
        whole=text(record, "kind") != "retry",
        lines=memory.kept(tuple(_line(row, memory) for row in _rows(packet, "targets", "ledger", read_blob))),
    )


def is_image(subject: Subject) -> bool:
    """Whether a deployment's subject is an image of a platform."""
    return subject.name.startswith(_IMAGE)


def repository_of(subject: Subject) -> str:
    """The repository in the name of an image."""
    return subject.name.removeprefix(_IMAGE).partition("@")[0]


def _rows(packet: VerifiedPacket, member: str, enclosed: str, read_blob: ReadBlob | None) -> Iterable[Document]:
    """The lines of a packet; when it says that they are too many for it, those of the blobs that it names instead."""
    predicate = packet.statement.predicate
    if member not in predicate or predicate[member] is not None:
        return objects_in(predicate.get(member))
    parts = [one.digest for one in packet.statement.inputs if one.name.partition("/")[0] == enclosed]
    return [row for part in parts for row in objects_in(blob(read_blob, part, f"What the targets of {packet.seal.packet_id} showed"))]


def _finding(row: Document, seen_at: datetime, memory: Memory) -> Finding:
    return Finding(
        target=memory.kept(text(row, "target") or "?"),
        component=memory.kept(text(row, "component") or "?"),
        wanted=memory.kept(digest(row, "wanted")),
        observed=memory.kept(digest(row, "observed")),
        found_at=time(row, "found_at") or seen_at,
    )


def _line(row: Document, memory: Memory) -> Line:
    shown = inside(row, "observed")
    found = tuple((memory.kept(str(name)), memory.kept(digest(shown, name))) for name in sorted(shown))
    return Line(target=memory.kept(text(row, "target") or "?"), state=memory.kept(text(row, "state") or "?"), shown=memory.kept(found))
