"""The tables of the log, the triggers that note every packet and audit entry for it, and those that keep it append-only."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from stella_pipelines.store.errors import DatabaseOfADraft

revision = "0007_log"
down_revision: str | None = "0006_deployments"
branch_labels = None
depends_on = None

APPEND_ONLY: Final = ("log_identity", "log_entries", "log_nodes", "log_checkpoints", "log_cosignatures")
_POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NOTE_PACKET: Final = "INSERT INTO log_pending (kind, entry_id, stream, sequence, content) VALUES ('packet', NEW.id, NEW.stream, NEW.sequence, NEW.digest)"
_NOTE_AUDIT: Final = "INSERT INTO log_pending (kind, entry_id, stream, sequence, content) VALUES ('audit', NEW.id, 'audit', NULL, NEW.digest)"


def upgrade() -> None:
    """Create the tables and the triggers."""
    _refuse_draft()
    op.create_table(
        "log_identity",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_log_identity"),
        sa.CheckConstraint("id = 1", name=op.f("ck_log_identity_one_row")),
    )
    _create_entries()
    _create_checkpoints()
    for statement in _sqlite_triggers() if op.get_bind().dialect.name == "sqlite" else _postgres_triggers():
        op.execute(statement)


def _refuse_draft() -> None:
    """Before the first release packets were sealed in another form; they cannot be signed again."""
    if "stream" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("evidence_packets")}:
        raise DatabaseOfADraft(
            "This database was written by a draft of version 0.1.0, whose packets have another form. It was not changed.",
            next_step="Begin with an empty database, and keep this one for the old packets: the draft that wrote them verifies them.",
        )


def _create_entries() -> None:
    op.create_table(
        "log_pending",
        sa.Column("position", _POSITION, autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_log_pending"),
    )
    op.create_table(
        "log_entries",
        sa.Column("leaf_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("leaf_index", name="pk_log_entries"),
        sa.UniqueConstraint("entry_id", name="uq_log_entries_entry_id"),
        sa.UniqueConstraint("stream", "sequence", name="uq_log_entries_stream_sequence"),
    )
    op.create_table(
        "log_nodes",
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("node_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "node_index", name="pk_log_nodes"),
    )


def _create_checkpoints() -> None:
    op.create_table(
        "log_checkpoints",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size", name="pk_log_checkpoints"),
    )
    op.create_index("ix_log_checkpoints_at", "log_checkpoints", ["at", "size"])
    op.create_table(
        "log_cosignatures",
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("witness", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size", "witness", name="pk_log_cosignatures"),
        sa.ForeignKeyConstraint(["size"], ["log_checkpoints.size"], name="fk_log_cosignatures_size"),
    )


def _sqlite_triggers() -> list[str]:
    guards = [
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table in APPEND_ONLY
        for verb in ("UPDATE", "DELETE")
    ]
    return [
        f"CREATE TRIGGER evidence_packets_to_log AFTER INSERT ON evidence_packets BEGIN {_NOTE_PACKET}; END",
        f"CREATE TRIGGER audit_entries_to_log AFTER INSERT ON audit_entries BEGIN {_NOTE_AUDIT}; END",
        "CREATE TRIGGER log_pending_no_update BEFORE UPDATE ON log_pending BEGIN SELECT RAISE(ABORT, 'log_pending is not changed'); END",
        "CREATE TRIGGER log_pending_leaves BEFORE DELETE ON log_pending WHEN NOT EXISTS (SELECT 1 FROM log_entries WHERE entry_id = OLD.entry_id)"
        " BEGIN SELECT RAISE(ABORT, 'log_pending keeps what is not in the log'); END",
        "CREATE TRIGGER log_entries_dense BEFORE INSERT ON log_entries WHEN NEW.leaf_index <> (SELECT COALESCE(MAX(leaf_index) + 1, 0) FROM log_entries)"
        " BEGIN SELECT RAISE(ABORT, 'the log grows at its end'); END",
        "CREATE TRIGGER evidence_heads_grow BEFORE UPDATE ON evidence_heads WHEN NEW.sequence <= OLD.sequence OR NEW.stream <> OLD.stream"
        " BEGIN SELECT RAISE(ABORT, 'a sequence never falls'); END",
        "CREATE TRIGGER evidence_heads_stay BEFORE DELETE ON evidence_heads BEGIN SELECT RAISE(ABORT, 'a sequence is never forgotten'); END",
        *guards,
    ]


def _postgres_triggers() -> list[str]:
    guards = [
        statement
        for table in APPEND_ONLY
        for statement in (
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION stella_append_only()",
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION stella_append_only()",
        )
    ]
    return [
        f"CREATE FUNCTION stella_packet_to_log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_NOTE_PACKET}; RETURN NULL; END $$",
        f"CREATE FUNCTION stella_audit_to_log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_NOTE_AUDIT}; RETURN NULL; END $$",
        "CREATE TRIGGER evidence_packets_to_log AFTER INSERT ON evidence_packets FOR EACH ROW EXECUTE FUNCTION stella_packet_to_log()",
        "CREATE TRIGGER audit_entries_to_log AFTER INSERT ON audit_entries FOR EACH ROW EXECUTE FUNCTION stella_audit_to_log()",
        """CREATE FUNCTION stella_guard_pending() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'UPDATE' THEN RAISE EXCEPTION 'log_pending is not changed'; END IF;
            IF NOT EXISTS (SELECT 1 FROM log_entries WHERE entry_id = OLD.entry_id) THEN
                RAISE EXCEPTION 'log_pending keeps what is not in the log';
            END IF;
            RETURN OLD;
        END $$""",
        "CREATE TRIGGER log_pending_guard BEFORE UPDATE OR DELETE ON log_pending FOR EACH ROW EXECUTE FUNCTION stella_guard_pending()",
        "CREATE TRIGGER log_pending_no_truncate BEFORE TRUNCATE ON log_pending FOR EACH STATEMENT EXECUTE FUNCTION stella_append_only()",
        """CREATE FUNCTION stella_guard_entry() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.leaf_index <> (SELECT COALESCE(MAX(leaf_index) + 1, 0) FROM log_entries) THEN RAISE EXCEPTION 'the log grows at its end'; END IF;
            RETURN NEW;
        END $$""",
        "CREATE TRIGGER log_entries_dense BEFORE INSERT ON log_entries FOR EACH ROW EXECUTE FUNCTION stella_guard_entry()",
        """CREATE FUNCTION stella_guard_head() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'DELETE' THEN RAISE EXCEPTION 'a sequence is never forgotten'; END IF;
            IF NEW.sequence <= OLD.sequence OR NEW.stream <> OLD.stream THEN RAISE EXCEPTION 'a sequence never falls'; END IF;
            RETURN NEW;
        END $$""",
        "CREATE TRIGGER evidence_heads_guard BEFORE UPDATE OR DELETE ON evidence_heads FOR EACH ROW EXECUTE FUNCTION stella_guard_head()",
        "CREATE TRIGGER evidence_heads_no_truncate BEFORE TRUNCATE ON evidence_heads FOR EACH STATEMENT EXECUTE FUNCTION stella_append_only()",
        *guards,
    ]


def downgrade() -> None:
    """Drop the triggers on older tables, then the tables."""
    if op.get_bind().dialect.name == "sqlite":
        for name in ("evidence_packets_to_log", "audit_entries_to_log", "evidence_heads_grow", "evidence_heads_stay"):
            op.execute(f"DROP TRIGGER {name}")
    else:
        op.execute("DROP TRIGGER evidence_packets_to_log ON evidence_packets")
        op.execute("DROP TRIGGER audit_entries_to_log ON audit_entries")
        op.execute("DROP TRIGGER evidence_heads_guard ON evidence_heads")
        op.execute("DROP TRIGGER evidence_heads_no_truncate ON evidence_heads")
    for name in ("log_cosignatures", "log_checkpoints", "log_nodes", "log_entries", "log_pending", "log_identity"):
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        for name in ("stella_packet_to_log", "stella_audit_to_log", "stella_guard_pending", "stella_guard_entry", "stella_guard_head"):
            op.execute(f"DROP FUNCTION {name}()")
