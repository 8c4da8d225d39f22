"""Stores a verified export, in the caller's transaction. Reads the file a second time; its members are compared with the verified manifest again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.audited import row_digest
from stella_pipelines.evidence.exports.chunks import ProvenLine, read_chunks
from stella_pipelines.evidence.exports.manifest import KEYS
from stella_pipelines.evidence.exports.reading import ReadExport
from stella_pipelines.evidence.exports.verifying import BLOBS
from stella_pipelines.evidence.imports.errors import ImportConflicts
from stella_pipelines.evidence.imports.tables import imported_blobs, imported_contents, imported_entries, imported_exports
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.upsert import insert

_IDS_A_STATEMENT: Final = 500


def store_export(
    tx: Transaction, export: ReadExport, *, trusted: Sequence[str], actor: Actor, audit_id: str, reason: str | None, at: datetime
) -> Iterator[int]:
    """Store everything; yields how many entries and artifacts are stored so far."""
    row = _row(export, trusted, actor, at)
    tx.connection.execute(sa.insert(imported_exports).values(row))
    done = 0
    for page in _pages(export):
        _store_entries(tx, export, page)
        done += len(page)
        yield done
    for name in export.entries:
        if name.startswith(BLOBS):
            content = export.content(name)
            blob = {"digest": Digest.of(content), "size_bytes": len(content), "content": content}
            tx.connection.execute(insert(tx, imported_blobs).values(blob).on_conflict_do_nothing(index_elements=["digest"]))
            done += 1
            yield done
    audit.record(tx, entry_id=audit_id, at=at, actor=actor, action="evidence.import", subject=f"import/{export.digest}", after=row_digest(row), reason=reason)


def _row(export: ReadExport, trusted: Sequence[str], actor: Actor, at: datetime) -> dict[str, Any]:
    summary = export.manifest.summary
    return {
        "digest": export.digest,
        "origin": summary.log.origin,
        "log_size": summary.log.size,
        "root": summary.log.root,
        "note": export.note.decode(),
        "key_history": export.content(KEYS).decode(),
        "summary": summary.canonical().decode(),
        "signed_by": export.signed_by,
        "trusted": json.dumps(sorted(trusted)),
        "imported_at": format_instant(at),
        "imported_by": actor.name,
    }


def _pages(export: ReadExport) -> Iterator[list[ProvenLine]]:
    for kind in ("packets", "audit"):
        yield from read_chunks(export, kind)


def _store_entries(tx: Transaction, export: ReadExport, page: Sequence[ProvenLine]) -> None:
    """Those that are new. One that another import brought must be the very same."""
    origin = export.manifest.summary.log.origin
    known = _known(tx, origin, [line.entry.index for line in page])
    for line in page:
        if known.get(line.entry.index, line.entry.content) != line.entry.content:
            raise conflicting(f"no. {line.entry.sequence} of {line.entry.stream} is another one")
    new = [_entry(origin, line) for line in page if line.entry.index not in known]
    if new:
        tx.connection.execute(sa.insert(imported_entries), new)
    rows = [{"export_digest": export.digest, "leaf_index": line.entry.index, "kind": line.entry.kind} for line in page]
    tx.connection.execute(sa.insert(imported_contents), rows)


def _known(tx: Transaction, origin: str, indexes: Sequence[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for start in range(0, len(indexes), _IDS_A_STATEMENT):
        here = imported_entries.c.leaf_index.in_(indexes[start : start + _IDS_A_STATEMENT])
        query = sa.select(imported_entries.c.leaf_index, imported_entries.c.digest).where(imported_entries.c.origin == origin, here)
        found |= {row.leaf_index: row.digest for row in tx.connection.execute(query)}
    return found


def _entry(origin: str, line: ProvenLine) -> dict[str, Any]:
    entry = line.entry
    return {
        "origin": origin,
        "leaf_index": entry.index,
        "kind": entry.kind,
        "entry_id": entry.id,
        "stream": entry.stream,
        "sequence": entry.sequence,
        "digest": entry.content,
        "content": line.content,
    }


def conflicting(what: str) -> ImportConflicts:
    """The one refusal of a history that is not the one before."""
    return ImportConflicts(
        f"The export contradicts what was imported from the same installation before: {what}.",
        next_step="Keep both files: if their signatures are right, together they prove that the log's history was rewritten.",
    )
