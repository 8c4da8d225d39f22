"""What was imported, for looking: the exports, and what is in them. A packet is verified again whenever it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.exports.manifest import Summary
from stella_pipelines.evidence.imports.errors import ImportedDamaged, ImportMissing
from stella_pipelines.evidence.imports.tables import imported_blobs, imported_contents, imported_entries, imported_exports
from stella_pipelines.evidence.keys.history import read_history
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.evidence.verify import VerifiedPacket, verify_packet
from stella_pipelines.store.database import Transaction


class ImportedExport(Value):
    """One export that was imported."""

    digest: Digest
    """Of its manifest."""
    origin: str
    log_size: int
    root: str
    signed_by: str
    """The key that vouches for the whole."""
    trusted: tuple[str, ...]
    """The keys that were given when it was imported: through them the key that signed is trusted."""
    summary: Summary
    imported_at: Instant
    imported_by: str


class ImportedPacket(Value):
    """A packet of an import, with its place in the log that it is from."""

    log_index: int
    packet: VerifiedPacket


def list_imports(tx: Transaction, limit: int) -> list[ImportedExport]:
    """The newest first."""
    query = sa.select(imported_exports).order_by(imported_exports.c.imported_at.desc(), imported_exports.c.digest).limit(limit)
    return [import_of(row) for row in tx.connection.execute(query).mappings()]


def find_import(tx: Transaction, text: str) -> ImportedExport:
    """The import whose digest begins so."""
    begins = text if text.startswith("sha256:") else f"sha256:{text}"
    query = sa.select(imported_exports).where(imported_exports.c.digest.startswith(begins, autoescape=True)).limit(2)
    rows = tx.connection.execute(query).mappings().all()
    if len(rows) != 1 or not text:
        raise ImportMissing(
            f"{'More than one' if rows else 'No'} import has a digest that begins with {text[:80]!r}.", next_step="'stella evidence imported list' shows them."
        )
    return import_of(rows[0])


def packets_of(tx: Transaction, found: ImportedExport, *, limit: int, after: int = -1) -> list[ImportedPacket]:
    """Its packets in the order of their log, behind the index `after`."""
    rows = imported_contents.join(imported_entries, imported_entries.c.leaf_index == imported_contents.c.leaf_index)
    mine = (imported_contents.c.export_digest == found.digest, imported_entries.c.origin == found.origin, imported_contents.c.kind == "packet")
    query = sa.select(imported_entries).select_from(rows).where(*mine, imported_contents.c.leaf_index > after)
    ring = keys_of(tx, found)
    return [_packet(row, ring) for row in tx.connection.execute(query.order_by(imported_contents.c.leaf_index).limit(limit)).mappings()]


def artifact(tx: Transaction, digest: Digest) -> bytes:
    """The bytes of an artifact that came with an import."""
    content = tx.connection.execute(sa.select(imported_blobs.c.content).where(imported_blobs.c.digest == digest)).scalar()
    if content is None:
        raise ImportMissing(f"No import brought an artifact {digest}.", next_step="It may have been exported with --without-artifacts.")
    if not digest.matches(bytes(content)):
        raise _damaged(f"the artifact {digest}")
    return bytes(content)


def keys_of(tx: Transaction, found: ImportedExport) -> KeyRing:
    """The keys of the installation that it is from, as far as the given ones vouch for them."""
    keys = tx.connection.execute(sa.select(imported_exports.c.key_history).where(imported_exports.c.digest == found.digest)).scalar_one()
    try:
        return read_history(keys.encode()).ring(found.trusted)
    except StellaError as error:
        raise _damaged(f"the key history of the import {found.digest}") from error


def import_of(row: Mapping[Any, Any]) -> ImportedExport:
    """A stored row as a value."""
    plain = {name: row[name] for name in ("digest", "origin", "log_size", "root", "signed_by", "imported_at", "imported_by")}
    return ImportedExport(**plain, trusted=tuple(json.loads(row["trusted"])), summary=Summary.model_validate_json(row["summary"]))


def _packet(row: Mapping[Any, Any], ring: KeyRing) -> ImportedPacket:
    try:
        packet = verify_packet(bytes(row["content"]), ring, log_index=row["leaf_index"])
    except StellaError as error:
        raise _damaged(f"the packet {row['entry_id']}") from error
    if (packet.seal.packet_id, packet.packet_digest) != (row["entry_id"], row["digest"]):
        raise _damaged(f"the packet {row['entry_id']}")
    return ImportedPacket(log_index=row["leaf_index"], packet=packet)


def _damaged(what: str) -> ImportedDamaged:
    return ImportedDamaged(
        f"In the database {what} is not what was imported.", next_step="Trust the export's file, not the database; restore the database from a backup."
    )
