"""One entry of the log: what the leaf says, and the bytes that are hashed for it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.merkle import leaf_hash

EntryKind = Literal["packet", "audit"]


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A packet or an audit entry in the log. A plain dataclass: hundreds of thousands are read in one verification."""

    index: int
    """Its place in the log, from 0."""
    kind: EntryKind
    id: str
    stream: str
    sequence: int
    """Its number in its stream, from 1."""
    content: Digest
    """Of a packet the digest of the envelope's bytes, of an audit entry that of its canonical JSON."""

    def document(self) -> dict[str, Any]:
        """What the leaf says. The index is not part of it: the tree itself gives it."""
        return {"content": self.content, "id": self.id, "kind": self.kind, "sequence": self.sequence, "stream": self.stream}

    def leaf_data(self) -> bytes:
        """The bytes that are hashed: canonical JSON."""
        return canonical_json(self.document())

    def leaf_hash(self) -> bytes:
        """RFC 6962's hash of the leaf."""
        return leaf_hash(self.leaf_data())
