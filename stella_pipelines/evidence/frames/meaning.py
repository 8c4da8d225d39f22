"""What a digest stands for: a release, a packet, an image of one platform or the index over several; and so which releases and images it means.

A release's packet says exactly which images belong together, and knows config digests too, which Docker calls image ids. Where the source has
no such packet, `read_blob` finds the same in the release's document; without either, only what decisions and deployments name is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.frames.endings import is_image, repository_of
from stella_pipelines.evidence.frames.errors import DigestUnknown
from stella_pipelines.evidence.frames.reading import Document, ReadBlob, digest, inside, text
from stella_pipelines.evidence.frames.releases import ReleaseFacts, facts_of_blobs, facts_of_packet
from stella_pipelines.evidence.verify import VerifiedPacket


@dataclass(slots=True)
class Named:
    """What packets name of one release, each with its repository."""

    label: str | None = None
    indexes: set[tuple[str, Digest]] = field(default_factory=set)
    platforms: set[tuple[str, Digest]] = field(default_factory=set)

    def platforms_meant_by(self, wanted: Digest) -> set[Digest]:
        """Without the release's document: the images from the repository whose index it is. Two components from one repository look like one."""
        repositories = {repository for repository, index in self.indexes if index == wanted}
        return {image for repository, image in self.platforms if repository in repositories or image == wanted}

    def names(self, wanted: Digest) -> bool:
        """Whether one of them has this digest."""
        return any(wanted == one for _, one in (*self.indexes, *self.platforms))


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a digest stands for. `images` None: everything of the releases."""

    releases: frozenset[Digest]
    images: frozenset[Digest] | None
    any_release: bool
    """Whether the images count in other releases too: one platform's image is the same wherever it is named."""


class Meanings:
    """Gathers what packets name, and says then what a digest stands for."""

    def __init__(self) -> None:
        self._named: dict[Digest, Named] = {}
        self._release_of_packet: dict[Digest, Digest] = {}
        self._facts: dict[Digest, ReleaseFacts] = {}

    def take(self, packet: VerifiedPacket) -> None:
        """Remember what the packet names."""
        release = release_of(packet)
        if release is None:
            return
        self._release_of_packet[packet.packet_digest] = release
        named = self._named.setdefault(release, Named())
        named.label = named.label or label_of(packet)
        facts = facts_of_packet(packet)
        if facts is not None:
            self._facts[release] = facts
        elif packet.kind == "decision":
            named.indexes.update((repository_of(subject), subject.digest) for subject in packet.statement.subject if subject.digest != release)
        elif packet.kind in ("deployment", "rollback"):
            named.platforms.update((repository_of(subject), subject.digest) for subject in packet.statement.subject if is_image(subject))

    @property
    def releases(self) -> dict[Digest, str | None]:
        """Every release that a packet is about, with its name."""
        return {release: named.label for release, named in self._named.items()}

    def facts(self, release: Digest, read_blob: ReadBlob | None) -> ReleaseFacts | None:
        """What a release is made of; None when that is not known."""
        if release not in self._facts and read_blob is not None:
            self._facts[release] = facts_of_blobs(release, read_blob)
        return self._facts.get(release)

    def of(self, wanted: Digest, read_blob: ReadBlob | None) -> Meaning:
        """What a digest stands for; `DigestUnknown` when nothing names it."""
        release = self._release_of_packet.get(wanted, wanted)
        if release in self._named:
            return Meaning(frozenset({release}), None, any_release=False)
        naming = {one for one in self._named if self._names(one, wanted, None)} or {one for one in self._named if self._names(one, wanted, read_blob)}
        if not naming:
            raise _unknown(wanted, read_blob)
        images = {image for one in naming for image in self._images(one, wanted, read_blob)}
        return Meaning(frozenset(naming), frozenset(images), any_release=wanted in images)

    def _names(self, release: Digest, wanted: Digest, read_blob: ReadBlob | None) -> bool:
        """Whether a release has this digest. Without `read_blob` nothing is read."""
        facts = self.facts(release, read_blob)
        return self._named[release].names(wanted) if facts is None else facts.has(wanted)

    def _images(self, release: Digest, wanted: Digest, read_blob: ReadBlob | None) -> Iterable[Digest]:
        facts = self.facts(release, read_blob)
        return self._named[release].platforms_meant_by(wanted) if facts is None else facts.platforms_meant_by(wanted)


def release_of(packet: VerifiedPacket) -> Digest | None:
    """The release that a packet is about. A summary only repeats a decision, and does not count."""
    return None if packet.kind == "summary" else digest(_release_in(packet), "digest")


def label_of(packet: VerifiedPacket) -> str | None:
    """Its name and version."""
    named = _release_in(packet)
    return text(named, "label") or text(named, "name")


def _release_in(packet: VerifiedPacket) -> Document:
    predicate = packet.statement.predicate
    return inside(predicate, "decision", "release") if packet.kind == "decision" else inside(predicate, "release")


def _unknown(wanted: Digest, read_blob: ReadBlob | None) -> DigestUnknown:
    more = "" if read_blob else " Give 'read_blob' too: then the documents of the releases are searched."
    return DigestUnknown(f"No packet here names {wanted}.", next_step=f"Check the digest, and whether the source has the packets in question.{more}")
