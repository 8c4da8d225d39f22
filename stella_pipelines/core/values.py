"""The base of every value that crosses a border: frozen, closed to unknown keys, canonical when written down."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.digest import Digest


class Value(BaseModel):
    """A frozen value. Unknown keys are refused; `document()` and `canonical()` are its only written forms."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def document(self) -> dict[str, Any]:
        """The value as plain JSON data (times as RFC 3339, tuples as lists)."""
        return self.model_dump(mode="json")

    def canonical(self) -> bytes:
        """RFC 8785 bytes: what is stored, hashed and signed."""
        return canonical_json(self.document())

    def content_digest(self) -> Digest:
        """The digest of the canonical bytes."""
        return Digest.of(self.canonical())
