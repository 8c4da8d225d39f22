"""The manifest: what an export answers, up to where the log went, and the digest of every other member. Pure.

It is canonical JSON, and the signature beside it (`manifest.sig`) is a signed note as in c2sp.org/signed-note: three lines, which are the kind of
note, the log's name and the manifest's digest. So whoever has a public key of the installation knows every byte of the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, StringConstraints, ValidationError

from stella_pipelines.core.canonical import NotCanonical, canonical_json, parse_canonical
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.exports.container import MEMBERS_MAX
from stella_pipelines.evidence.exports.errors import ManifestInvalid, VersionUnknown
from stella_pipelines.evidence.exports.question import Question
from stella_pipelines.evidence.log.checkpoints import ORIGIN_CHARACTERS_MAX
from stella_pipelines.evidence.statement import ShownText

FORM: Final = "https://stella-pipelines.dev/export/v1"
_FORMS: Final = "https://stella-pipelines.dev/export/"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
CHECKPOINT: Final = "checkpoint"
KEYS: Final = "keys.json"
CONSISTENCY: Final = "consistency.json"
INDEX: Final = "index.html"
MANIFEST_BYTES_MAX: Final = 64 * 1024 * 1024
ABOUT_MAX: Final = 10_000
_KNOWN: Final = re.compile(
    r"index\.html|keys\.json|checkpoint|consistency\.json|(?:packets|audit|purged|tail)/[0-9]{6}\.(?:jsonl|proof\.json)"
    r"|pages/[0-9]{6}\.html|blobs/sha256-[0-9a-f]{64}|tables/[a-z_]{1,40}/[0-9]{6}\.(?:csv|parquet)"
)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MEMBER_KEYS: Final = {"name", "sha256", "size"}
_PACKED_KEYS: Final = {*_MEMBER_KEYS, "packed_sha256"}
Count = Annotated[int, Field(ge=0, strict=True)]
ChunkKind = Literal["packets", "audit", "purged", "tail"]
CHUNK_KINDS: Final[tuple[ChunkKind, ...]] = ("packets", "audit", "purged", "tail")


@dataclass(frozen=True, slots=True)
class MemberEntry:
    """One member: its size and its digest in hex; `packed_sha256` is of the deflated bytes in the file, if it is deflated."""

    name: str
    size: int
    sha256: str
    packed_sha256: str | None = None

    def document(self) -> dict[str, Any]:
        """As it stands in the manifest."""
        found: dict[str, Any] = {"name": self.name, "sha256": self.sha256, "size": self.size}
        return found if self.packed_sha256 is None else {**found, "packed_sha256": self.packed_sha256}


class LogHead(Value):
    """The checkpoint that the proofs lead to, as it says itself."""

    origin: Annotated[str, StringConstraints(min_length=1, max_length=ORIGIN_CHARACTERS_MAX)]
    size: Annotated[int, Field(ge=1, strict=True)]
    root: Annotated[str, StringConstraints(max_length=44)]


class Counts(Value):
    """How many there are of each."""

    packets: Count
    audit: Count
    purged: Count
    tail: Count
    blobs: Count

    @property
    def total(self) -> int:
        """How many things a verification looks at."""
        return self.packets + self.audit + self.purged + self.tail + self.blobs


class StreamSpan(Value):
    """A stream that is here without a gap, from `first` to `last`; both None when the log has nothing of it.

    `end`: `followed` when the last packet stands behind the span, so that it shows where the span ends; `newest` when it is the stream's newest
    in the log, which the tail proves; `stated` when the tail would have been too long, so that only the installation says so.
    """

    stream: ShownText
    first: Annotated[int, Field(ge=1, strict=True)] | None
    last: Annotated[int, Field(ge=1, strict=True)] | None
    end: Literal["followed", "newest", "stated"]


class Summary(Value):
    """The manifest without its members."""

    form: Literal["https://stella-pipelines.dev/export/v1"] = FORM
    question: Question
    about: Annotated[tuple[Digest, ...], Field(max_length=ABOUT_MAX)]
    """For a question about a digest: it, and the releases that it is of. Every packet here names one of them."""
    log: LogHead
    counts: Counts
    streams: Annotated[tuple[StreamSpan, ...], Field(max_length=ABOUT_MAX)]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The whole manifest."""

    summary: Summary
    members: tuple[MemberEntry, ...]

    @classmethod
    def read(cls, content: bytes) -> Self:
        """The manifest that these bytes are; `ManifestInvalid` or `VersionUnknown` for anything else."""
        try:
            document: Any = parse_canonical(content)
        except NotCanonical as error:
            raise ManifestInvalid("The manifest is not canonical JSON.") from error
        if not isinstance(document, dict) or not isinstance(document.get("form"), str):
            raise _invalid("it does not say its form")
        if document["form"] != FORM and document["form"].startswith(_FORMS):
            raise VersionUnknown(f"The export has the form {document['form'][:100]!r}, which is not known here.")
        try:
            summary = Summary.model_validate({name: value for name, value in document.items() if name != "members"})
        except (ValidationError, StellaError) as error:
            raise _invalid("something in it is missing, or is not what it should be") from error
        manifest = cls(summary, _members_of(document.get("members")))
        if manifest.canonical() != content:
            raise _invalid("it is not written in its own form")
        return manifest

    def canonical(self) -> bytes:
        """The member's bytes."""
        return canonical_json({**self.summary.document(), "members": [one.document() for one in self.members]})


def is_known(name: str) -> bool:
    """Whether an export of this version may have a member of this name, beside the manifest and its signature."""
    return _KNOWN.fullmatch(name) is not None


def chunk_name(kind: str, number: int) -> str:
    """The chunk with this number, from 1."""
    return f"{kind}/{number:06}.jsonl"


def proof_name(chunk: str) -> str:
    """The proof beside a chunk."""
    return chunk.removesuffix("jsonl") + "proof.json"


def signed_text(origin: str, digest: Digest) -> str:
    """What the signature beside a manifest signs. No checkpoint has this form, and so no signature is good for both."""
    return f"stella-pipelines.dev/export-manifest/v1\n{origin}\n{digest}\n"


def _members_of(found: Any) -> tuple[MemberEntry, ...]:
    if not isinstance(found, list) or len(found) > MEMBERS_MAX:
        raise _invalid("it has no list of members, or one that is too long")
    return tuple(_member(one) for one in found)


def _member(one: Any) -> MemberEntry:
    if not isinstance(one, dict) or (one.keys() != _MEMBER_KEYS and one.keys() != _PACKED_KEYS):
        raise _invalid("a member in it does not have the members of one")
    digests: Sequence[Any] = [one["sha256"], one.get("packed_sha256", one["sha256"])]
    if type(one["name"]) is not str or type(one["size"]) is not int or one["size"] < 0:
        raise _invalid("a member in it has no name or no size")
    if not all(type(digest) is str and _SHA256.fullmatch(digest) for digest in digests):
        raise _invalid("a member in it has no digest")
    return MemberEntry(one["name"], one["size"], one["sha256"], one.get("packed_sha256"))


def _invalid(reason: str) -> ManifestInvalid:
    return ManifestInvalid(f"The manifest is not that of an export: {reason}.")
