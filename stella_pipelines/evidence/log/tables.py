"""The tables of the log. Kept equal to migration `0007_log` by a test. All but the waiting notes are append-only: triggers see to it."""

from __future__ import annotations

import sqlalchemy as sa

from stella_pipelines.store.metadata import metadata

_POSITION = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite counts up by itself only for INTEGER

# The name under which this log signs its checkpoints: one row, written once.
log_identity = sa.Table(
    "log_identity",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.CheckConstraint("id = 1", name="one_row"),
)

# Written by triggers only. A row leaves when its entry stands in the log, which a trigger checks.
log_pending = sa.Table(
    "log_pending",
    metadata,
    sa.Column("position", _POSITION, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("entry_id", sa.Text, nullable=False),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=True),
    sa.Column("content", sa.Text, nullable=False),
)

log_entries = sa.Table(
    "log_entries",
    metadata,
    sa.Column("leaf_index", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("entry_id", sa.Text, nullable=False),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("entry_id"),
    sa.UniqueConstraint("stream", "sequence"),
)

# One hash for every 256 leaves, for every 256 of those, and so on (levels 8, 16, 24, …). What is between is computed from them.
log_nodes = sa.Table(
    "log_nodes",
    metadata,
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("node_index", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
)

# `frontier` has the roots of the tree's perfect subtrees from left to right: with it the tree grows without its past being read.
log_checkpoints = sa.Table(
    "log_checkpoints",
    metadata,
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
    sa.Column("note", sa.LargeBinary, nullable=False),
    sa.Column("frontier", sa.LargeBinary, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Index("ix_log_checkpoints_at", "at", "size"),
)

# What witnesses said of a checkpoint: each a line of a signed note.
log_cosignatures = sa.Table(
    "log_cosignatures",
    metadata,
    sa.Column("size", sa.BigInteger, sa.ForeignKey("log_checkpoints.size"), primary_key=True),
    sa.Column("witness", sa.Text, primary_key=True),
    sa.Column("line", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
)
