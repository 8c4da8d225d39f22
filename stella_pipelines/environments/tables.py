"""The estate's one table: its revisions, append-only. The newest row is the estate; its document is a blob. Kept equal to migration `0003_environments`."""

from __future__ import annotations

import sqlalchemy as sa

from stella_pipelines.store.metadata import metadata

# Revisions are dense from 1. The primary key is the compare-and-swap: of two applies at once, the second finds its number taken.
estate_revisions = sa.Table(
    "estate_revisions",
    metadata,
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("source_digest", sa.Text, nullable=False),
    sa.Column("applied_by", sa.Text, nullable=False),
    sa.Column("applied_at", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(["digest"], ["blobs.digest"]),
)
