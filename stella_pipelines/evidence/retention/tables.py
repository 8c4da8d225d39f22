"""The tables of retention. Kept equal to migration `0009_retention` by a test.

Triggers let a packet be deleted only when `evidence_purged` names it, and a blob only when `blobs_leaving` does. They write to no other table
of evidence, and take the mark off a blob that is stored again while a purge looks for whoever needs it.
"""

from __future__ import annotations

import sqlalchemy as sa

from stella_pipelines.store.metadata import metadata

# Append-only. A trigger wants the sealed packet of the purge, and the purged packet's entry in the log.
evidence_purged = sa.Table(
    "evidence_purged",
    metadata,
    sa.Column("packet_id", sa.Text, primary_key=True),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("sealed_at", sa.Text, nullable=False),
    sa.Column("purge_packet_id", sa.Text, sa.ForeignKey("evidence_packets.id"), nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("purged_by", sa.Text, nullable=False),
    sa.Column("purged_at", sa.Text, nullable=False),
    sa.Index("ix_evidence_purged_plan", "plan", "sealed_at", "sequence", "packet_id"),
    sa.Index("ix_evidence_purged_purge_packet_id", "purge_packet_id", "packet_id"),
)

# Append-only: a hold is placed, and maybe lifted. Positions are dense from 1: of two who write at once, the second finds its number taken.
evidence_hold_events = sa.Table(
    "evidence_hold_events",
    metadata,
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("hold_id", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)

# Blobs that a purged packet named. A row goes when the blob goes, or when something is found that needs it.
blobs_leaving = sa.Table(
    "blobs_leaving",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("at", sa.Text, nullable=False),
)
