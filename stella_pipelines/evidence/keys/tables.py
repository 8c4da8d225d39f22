"""The table of the key history. Kept equal to migration `0008_keys` by a test. Append-only: triggers refuse every UPDATE and DELETE."""

from __future__ import annotations

import sqlalchemy as sa

from stella_pipelines.store.metadata import metadata

# The position is given by the writer: of two who write at once, one conflicts.
evidence_key_events = sa.Table(
    "evidence_key_events",
    metadata,
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)
