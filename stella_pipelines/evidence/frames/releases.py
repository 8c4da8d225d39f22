"""What a release is made of: its images for every platform, and the source it was built from.

Its packet says it; where there is none, the manifest that the release's digest is the digest of.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.frames.errors import FactsDamaged
from stella_pipelines.evidence.frames.reading import Document, ReadBlob, blob, digest, documents, inside, text, time
from stella_pipelines.evidence.verify import VerifiedPacket


@dataclass(frozen=True, slots=True)
class PlatformFacts:
    """One platform's image."""

    platform: str
    digest: Digest
    config_digest: Digest | None


@dataclass(frozen=True, slots=True)
class ComponentFacts:
    """One component of a release."""

    name: str
    repository: str | None
    digest: Digest
    """Of the index, or of the only image."""
    platforms: tuple[PlatformFacts, ...]

    def means(self, wanted: str) -> bool:
        """Whether this is the digest of the index, or of an image's manifest or config."""
        return wanted == self.digest or any(wanted in (image.digest, image.config_digest) for image in self.platforms)

    def platforms_meant_by(self, wanted: Digest) -> tuple[Digest, ...]:
        """The platform images that a digest stands for here: those of the index, or the one whose manifest or config it is."""
        if wanted == self.digest:
            return tuple(image.digest for image in self.platforms)
        return tuple(image.digest for image in self.platforms if wanted in (image.digest, image.config_digest))


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """A release as its document says it."""

    label: str
    digest: Digest
    created_at: datetime | None
    source: Document
    """`repository`, `commit`, `author` and `build`, as far as they were told."""
    components: tuple[ComponentFacts, ...]

    def has(self, wanted: Digest) -> bool:
        """Whether one of its images has this digest."""
        return any(component.means(wanted) for component in self.components)

    def platforms_meant_by(self, wanted: Digest) -> tuple[Digest, ...]:
        """The platform images that a digest stands for in this release."""
        return tuple(image for component in self.components for image in component.platforms_meant_by(wanted))


def facts_of_packet(packet: VerifiedPacket) -> ReleaseFacts | None:
    """A release as its own packet says it; None for a packet of another kind."""
    predicate = packet.statement.predicate
    named = inside(predicate, "release")
    release = digest(named, "digest")
    if packet.kind != "release" or release is None:
        return None
    return _facts(release, text(named, "label") or "?", predicate, time(inside(predicate, "times"), "created_at"))


def facts_of_blobs(release: Digest, read_blob: ReadBlob) -> ReleaseFacts:
    """A release by its identity. Both blobs are proven by their digests."""
    why = f"What the release {release} is made of"
    layers = documents(inside(blob(read_blob, release, why)), "layers")
    found = digest(layers[0], "digest") if len(layers) == 1 else None
    if found is None:
        raise FactsDamaged(f"{release} is not the manifest of a release.", next_step="Use the version of Stella that wrote it.")
    document = inside(blob(read_blob, found, why))
    return _facts(release, f"{text(document, 'name')}-{text(document, 'version')}", document, time(document, "created_at"))


def _facts(release: Digest, label: str, document: Document, created_at: datetime | None) -> ReleaseFacts:
    return ReleaseFacts(
        label=label,
        digest=release,
        created_at=created_at,
        source=inside(document, "source"),
        components=tuple(made for one in documents(document, "components") if (made := _component(one)) is not None),
    )


def _component(document: Document) -> ComponentFacts | None:
    found = digest(document, "digest")
    if found is None:
        return None
    platforms = tuple(made for one in documents(document, "platforms") if (made := _platform(one)) is not None)
    return ComponentFacts(text(document, "name") or "?", text(document, "repository"), found, platforms)


def _platform(document: Document) -> PlatformFacts | None:
    found = digest(document, "digest")
    return None if found is None else PlatformFacts(text(document, "platform") or "?", found, digest(document, "config_digest"))
