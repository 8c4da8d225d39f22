"""The tables of imports. Kept equal to migration `0010_imports` by a test. Append-only: triggers refuse every UPDATE and DELETE."""

from __future__ import annotations

import sqlalchemy as sa

from stella_pipelines.store.metadata import metadata

imported_exports = sa.Table(
    "imported_exports",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("log_size", sa.BigInteger, nullable=False),
    sa.Column("root", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("key_history", sa.Text, nullable=False),
    sa.Column("summary", sa.Text, nullable=False),
    sa.Column("signed_by", sa.Text, nullable=False),
    sa.Column("trusted", sa.Text, nullable=False),
    sa.Column("imported_at", sa.Text, nullable=False),
    sa.Column("imported_by", sa.Text, nullable=False),
    sa.Index("ix_imported_exports_origin", "origin", "log_size"),
    sa.Index("ix_imported_exports_imported_at", "imported_at", "digest"),
)

# A packet or an audit entry by its place in the other installation's log. Two exports may hold the same one; it is stored once.
imported_entries = sa.Table(
    "imported_entries",
    metadata,
    sa.Column("origin", sa.Text, primary_key=True),
    sa.Column("leaf_index", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("entry_id", sa.Text, nullable=False),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("origin", "stream", "sequence"),
    sa.Index("ix_imported_entries_entry_id", "entry_id"),
)

imported_contents = sa.Table(
    "imported_contents",
    metadata,
    sa.Column("export_digest", sa.Text, sa.ForeignKey("imported_exports.digest"), primary_key=True),
    sa.Column("leaf_index", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
)

imported_blobs = sa.Table(
    "imported_blobs",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)
