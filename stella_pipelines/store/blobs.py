"""Content-addressed blobs: gate inputs, plans, artifacts, reports. Written once, verified on every read, never changed."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.store import limits
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.tables import blobs
from stella_pipelines.store.upsert import insert


class BlobMissing(StellaError):
    """No blob with this digest was ever stored."""

    code = "RES_BLOB_MISSING"


class BlobCorrupt(StellaError):
    """A stored blob no longer hashes to its own digest: the database was damaged or edited."""

    code = "SYS_BLOB_CORRUPT"


class BlobTooLarge(StellaError):
    """Content is larger than the store keeps."""

    code = "VAL_BLOB_TOO_LARGE"


def put(tx: Transaction, content: bytes, media_type: str, now: datetime) -> Digest:
    """Store `content` and return its digest. Storing the same content again changes nothing."""
    if len(content) > limits.BLOB_BYTES_MAX:
        raise BlobTooLarge(f"The content has {len(content)} bytes.", next_step=f"The store keeps blobs of at most {limits.BLOB_BYTES_MAX} bytes.")
    digest = Digest.of(content)
    row = {"digest": digest, "media_type": media_type, "size_bytes": len(content), "content": content, "created_at": format_instant(now)}
    tx.connection.execute(insert(tx, blobs).values(row).on_conflict_do_nothing(index_elements=["digest"]))
    return digest


def get(tx: Transaction, digest: Digest) -> bytes:
    """The content, proven to hash to `digest`."""
    content = tx.connection.execute(sa.select(blobs.c.content).where(blobs.c.digest == digest)).scalar()
    if content is None:
        raise BlobMissing(f"There is no blob {digest}.", next_step="Check the digest; it was never stored here, or a purge took it (docs/retention.md).")
    if not digest.matches(bytes(content)):
        raise BlobCorrupt(f"The blob {digest} holds other bytes than it says.", next_step="Restore the database from a backup; do not decide on this content.")
    return bytes(content)


def exists(tx: Transaction, digest: Digest) -> bool:
    """Whether the blob is stored; its bytes are not read."""
    return tx.connection.execute(sa.select(sa.literal(1)).where(blobs.c.digest == digest)).first() is not None
