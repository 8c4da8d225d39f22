"""Blobs: written once, verified on every read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from stella_pipelines.core.digest import Digest
from stella_pipelines.store import blobs, limits
from stella_pipelines.store.database import Store
from stella_pipelines.store.tables import blobs as table
from tests.support.intrusion import without_guards

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize("content", [b"", b"hello", bytes(range(256)) * 100])
def test_what_is_put_comes_back(store: Store, content: bytes) -> None:
    with store.writing() as tx:
        digest = blobs.put(tx, content, "application/octet-stream", NOW)
    with store.reading() as tx:
        assert blobs.get(tx, digest) == content
        assert digest == Digest.of(content)
        assert blobs.exists(tx, digest)


def test_putting_twice_keeps_the_first_row(store: Store) -> None:
    with store.writing() as tx:
        blobs.put(tx, b"a", "text/plain", NOW)
        blobs.put(tx, b"a", "text/other", NOW)
        assert tx.connection.execute(sa.select(table.c.media_type)).scalars().all() == ["text/plain"]


def test_a_missing_blob_is_an_error_not_an_empty_answer(store: Store) -> None:
    with store.reading() as tx:
        assert not blobs.exists(tx, Digest.of(b"never stored"))
        with pytest.raises(blobs.BlobMissing):
            blobs.get(tx, Digest.of(b"never stored"))


def test_an_edited_blob_is_refused(store: Store) -> None:
    with store.writing() as tx:
        digest = blobs.put(tx, b"allow", "text/plain", NOW)
        with without_guards(tx, ["blobs"]):
            tx.connection.execute(sa.update(table).values(content=b"deny!"))
        with pytest.raises(blobs.BlobCorrupt):
            blobs.get(tx, digest)


def test_content_above_the_limit_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BLOB_BYTES_MAX", 3)
    with store.writing() as tx:
        with pytest.raises(blobs.BlobTooLarge):
            blobs.put(tx, b"four", "text/plain", NOW)
        assert blobs.put(tx, b"ok!", "text/plain", NOW) == Digest.of(b"ok!")
