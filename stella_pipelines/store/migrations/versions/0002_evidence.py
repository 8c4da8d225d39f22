"""The first tables of the evidence room, and the triggers that make packets and audit entries append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_evidence"
down_revision: str | None = "0001_store"
branch_labels = None
depends_on = None

APPEND_ONLY = ("evidence_packets", "evidence_subjects", "audit_entries")
_POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables and close them against changes."""
    _create_packets()
    _create_audit()
    if op.get_bind().dialect.name == "sqlite":
        _guard_on_sqlite()
    else:
        _guard_on_postgres()


def _create_packets() -> None:
    op.create_table(
        "evidence_packets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed_at", sa.Text(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_evidence_packets"),
        sa.UniqueConstraint("stream", "sequence", name="uq_evidence_packets_stream_sequence"),
        sa.UniqueConstraint("digest", name="uq_evidence_packets_digest"),
    )
    op.create_index("ix_evidence_packets_sealed_at", "evidence_packets", ["sealed_at", "sequence", "id"])
    op.create_index("ix_evidence_packets_kind_sealed_at", "evidence_packets", ["kind", "sealed_at", "sequence", "id"])
    op.create_index("ix_evidence_packets_stream_kind_sequence", "evidence_packets", ["stream", "kind", "sequence"])
    op.create_table(
        "evidence_subjects",
        sa.Column("packet_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("packet_id", "position", name="pk_evidence_subjects"),
        sa.ForeignKeyConstraint(["packet_id"], ["evidence_packets.id"], name="fk_evidence_subjects_packet_id"),
    )
    op.create_index("ix_evidence_subjects_digest", "evidence_subjects", ["digest"])
    op.create_table(
        "evidence_heads",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("newest_at", sa.Text(), nullable=False),
        sa.Column("newest_before", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("stream", name="pk_evidence_heads"),
    )


def _create_audit() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("position", _POSITION, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_via", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=True),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_audit_entries"),
        sa.UniqueConstraint("id", name="uq_audit_entries_id"),
    )
    op.create_index("ix_audit_entries_subject", "audit_entries", ["subject", "position"], postgresql_ops={"subject": "text_pattern_ops"})
    op.create_index("ix_audit_entries_environment", "audit_entries", ["environment", "position"])


def _guard_on_sqlite() -> None:
    for table in APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            op.execute(f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END")


def _guard_on_postgres() -> None:
    op.execute(
        """CREATE FUNCTION stella_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"""
    )
    for table in APPEND_ONLY:
        op.execute(f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION stella_append_only()")
        op.execute(f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION stella_append_only()")


def downgrade() -> None:
    """Drop the tables."""
    for name in ("audit_entries", "evidence_heads", "evidence_subjects", "evidence_packets"):
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION stella_append_only()")
