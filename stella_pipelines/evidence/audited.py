"""What is known about a table of the store: whether its rows are audited, are a record in themselves, or are machinery. Which is which: `every_table.py`.

A row of an audited table has a subject of its own, by which its audit entries are found. `before` and `after` of an entry are digests of the row
as it stood before and after: of all its columns, so that nobody edits one of them later without being found out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

from stella_pipelines.core.canonical import canonical_digest
from stella_pipelines.core.digest import Digest

Right = Literal["UPDATE", "DELETE"]
_FIELD: Final = re.compile(r"\{(\w+)\}")
_PATTERNS: Final = {"name": r"[a-z0-9_]+", "location": r".+"}
"""What a field of a subject looks like, where it is not simply a text without a slash."""


def row_digest(row: Mapping[str, Any]) -> Digest:
    """The digest of a row: of the canonical JSON of all its columns, by name."""
    return canonical_digest(dict(row))


@dataclass(frozen=True)
class Audited:
    """Rows that somebody decided or did. Every change of one has an audit entry in its own transaction."""

    subject: str
    """How a row is called in the trail, with the columns in braces."""
    through: tuple[str, str, str] | None = None
    """Where columns of the subject are that the table does not have: another table, its column, and ours that equals it."""
    rights: tuple[Right, ...] = ()
    """What the application may do to its rows besides reading and adding them."""
    ids: str = ""
    """How the ids in the column `id` begin, where the subject is only that."""

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The columns of which the subject is made."""
        return tuple(_FIELD.findall(self.subject))

    def subject_of(self, row: Mapping[str, Any]) -> str:
        """How this row is called in the trail. Pure."""
        return self.subject.format_map(row)

    def fields_of(self, subject: str) -> dict[str, str] | None:
        """The columns that a subject names; None for a subject of another table. Pure."""
        found = self._pattern.fullmatch(subject)
        return None if found is None else found.groupdict()

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts = _FIELD.split(self.subject)  # text, field, text, field, …
        fields = {"id": f"{self.ids}[^/]+", **_PATTERNS}
        return re.compile("".join(f"(?P<{part}>{fields.get(part, '[^/]+')})" if place % 2 else re.escape(part) for place, part in enumerate(parts)))


@dataclass(frozen=True)
class Record:
    """Rows that are evidence by themselves, or are sealed in evidence by their digest. `sealed_by` says how an edited one is found out."""

    sealed_by: str
    rights: tuple[Right, ...] = field(default=())


@dataclass(frozen=True)
class Machinery:
    """Rows by which the work goes on, and that no question of an auditor is about. `reason` says why a change of one needs no entry."""

    reason: str
    rights: tuple[Right, ...] = field(default=())


TableKind = Audited | Record | Machinery
