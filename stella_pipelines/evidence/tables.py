"""The tables of evidence: sealed packets, the newest sequence number per stream, and audit entries.

Kept equal to migration `0002_evidence` by a test. Packets and audit entries are append-only: triggers refuse every UPDATE and DELETE.
"""

from __future__ import annotations

import sqlalchemy as sa

from stella_pipelines.store.metadata import metadata

_POSITION = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite counts up by itself only for INTEGER

evidence_packets = sa.Table(
    "evidence_packets",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("sealed_at", sa.Text, nullable=False),
    sa.Column("envelope", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("stream", "sequence"),
    sa.UniqueConstraint("digest"),
    sa.Index("ix_evidence_packets_sealed_at", "sealed_at", "sequence", "id"),
    sa.Index("ix_evidence_packets_kind_sealed_at", "kind", "sealed_at", "sequence", "id"),
    sa.Index("ix_evidence_packets_stream_kind_sequence", "stream", "kind", "sequence"),
)

evidence_subjects = sa.Table(
    "evidence_subjects",
    metadata,
    sa.Column("packet_id", sa.Text, sa.ForeignKey("evidence_packets.id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Index("ix_evidence_subjects_digest", "digest"),
)

# The row is locked while a packet is sealed, which is what makes the sequence dense.
evidence_heads = sa.Table(
    "evidence_heads",
    metadata,
    sa.Column("stream", sa.Text, primary_key=True),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("newest_at", sa.Text, nullable=False),
    sa.Column("newest_before", sa.Text, nullable=False),
)

audit_entries = sa.Table(
    "audit_entries",
    metadata,
    sa.Column("position", _POSITION, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("actor_name", sa.Text, nullable=False),
    sa.Column("actor_kind", sa.Text, nullable=False),
    sa.Column("actor_via", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("environment", sa.Text, nullable=True),
    sa.Column("before", sa.Text, nullable=True),
    sa.Column("after", sa.Text, nullable=True),
    sa.Column("reason", sa.Text, nullable=True),
    sa.Column("request_id", sa.Text, nullable=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.UniqueConstraint("id"),
    sa.Index("ix_audit_entries_environment", "environment", "position"),
    # On PostgreSQL an index that also finds beginnings of subjects, whatever the database's language is.
    sa.Index("ix_audit_entries_subject", "subject", "position", postgresql_ops={"subject": "text_pattern_ops"}),
)
