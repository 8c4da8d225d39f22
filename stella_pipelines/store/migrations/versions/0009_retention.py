"""Legal holds, purged packets and leaving blobs; and the guards that let a packet or a blob go only when these tables say so."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0009_retention"
down_revision: str | None = "0008_keys"
branch_labels = None
depends_on = None

APPEND_ONLY: Final = ("evidence_purged", "evidence_hold_events")
_PURGED: Final = "EXISTS (SELECT 1 FROM evidence_purged WHERE packet_id = OLD.{id} AND content = OLD.digest)"
_SUBJECT_PURGED: Final = "EXISTS (SELECT 1 FROM evidence_purged WHERE packet_id = OLD.packet_id)"
_SEALED: Final = "EXISTS (SELECT 1 FROM evidence_packets WHERE id = NEW.purge_packet_id AND kind = 'purge')"
_LOGGED: Final = "EXISTS (SELECT 1 FROM log_entries WHERE entry_id = NEW.packet_id AND content = NEW.content)"
_LEAVING: Final = "EXISTS (SELECT 1 FROM blobs_leaving WHERE digest = OLD.digest)"
_STAYS: Final = "DELETE FROM blobs_leaving WHERE digest = NEW.digest"


def upgrade() -> None:
    """Create the tables, then exchange the guards."""
    _create_purged()
    op.create_table(
        "evidence_hold_events",
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hold_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_evidence_hold_events"),
    )
    op.create_table(
        "blobs_leaving",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_blobs_leaving"),
    )
    for statement in _on_sqlite() if op.get_bind().dialect.name == "sqlite" else _on_postgres():
        op.execute(statement)


def _create_purged() -> None:
    op.create_table(
        "evidence_purged",
        sa.Column("packet_id", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("sealed_at", sa.Text(), nullable=False),
        sa.Column("purge_packet_id", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("purged_by", sa.Text(), nullable=False),
        sa.Column("purged_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("packet_id", name="pk_evidence_purged"),
        sa.ForeignKeyConstraint(["purge_packet_id"], ["evidence_packets.id"], name="fk_evidence_purged_purge_packet_id"),
    )
    op.create_index("ix_evidence_purged_plan", "evidence_purged", ["plan", "sealed_at", "sequence", "packet_id"])
    op.create_index("ix_evidence_purged_purge_packet_id", "evidence_purged", ["purge_packet_id", "packet_id"])


def _on_sqlite() -> list[str]:
    append_only = [
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table in APPEND_ONLY
        for verb in ("UPDATE", "DELETE")
    ]
    return [
        *append_only,
        "DROP TRIGGER evidence_packets_no_delete",
        "DROP TRIGGER evidence_subjects_no_delete",
        f"CREATE TRIGGER evidence_packets_no_delete BEFORE DELETE ON evidence_packets WHEN NOT {_PURGED.format(id='id')}"
        " BEGIN SELECT RAISE(ABORT, 'evidence_packets is append-only'); END",
        f"CREATE TRIGGER evidence_subjects_no_delete BEFORE DELETE ON evidence_subjects WHEN NOT {_SUBJECT_PURGED}"
        " BEGIN SELECT RAISE(ABORT, 'evidence_subjects is append-only'); END",
        f"CREATE TRIGGER evidence_purged_sealed BEFORE INSERT ON evidence_purged WHEN NOT {_SEALED} OR NOT {_LOGGED}"
        " BEGIN SELECT RAISE(ABORT, 'a purge is sealed, and takes only what the log has'); END",
        f"CREATE TRIGGER blobs_wanted_again BEFORE INSERT ON blobs BEGIN {_STAYS}; END",
        "CREATE TRIGGER blobs_no_update BEFORE UPDATE ON blobs BEGIN SELECT RAISE(ABORT, 'a blob is never changed'); END",
        f"CREATE TRIGGER blobs_no_delete BEFORE DELETE ON blobs WHEN NOT {_LEAVING} BEGIN SELECT RAISE(ABORT, 'a blob goes only in a purge'); END",
    ]


def _on_postgres() -> list[str]:
    append_only = [
        statement
        for table in APPEND_ONLY
        for statement in (
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION stella_append_only()",
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION stella_append_only()",
        )
    ]
    return [
        *append_only,
        *_guards_of_packets(),
        f"""CREATE FUNCTION stella_guard_purge() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT {_SEALED} OR NOT {_LOGGED} THEN RAISE EXCEPTION 'a purge is sealed, and takes only what the log has'; END IF;
            RETURN NEW;
        END $$""",
        "CREATE TRIGGER evidence_purged_sealed BEFORE INSERT ON evidence_purged FOR EACH ROW EXECUTE FUNCTION stella_guard_purge()",
        f"CREATE FUNCTION stella_blob_wanted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_STAYS}; RETURN NEW; END $$",
        "CREATE TRIGGER blobs_wanted_again BEFORE INSERT ON blobs FOR EACH ROW EXECUTE FUNCTION stella_blob_wanted()",
        f"""CREATE FUNCTION stella_guard_blob() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'UPDATE' THEN RAISE EXCEPTION 'a blob is never changed'; END IF;
            IF NOT {_LEAVING} THEN RAISE EXCEPTION 'a blob goes only in a purge'; END IF;
            RETURN OLD;
        END $$""",
        "CREATE TRIGGER blobs_guard BEFORE UPDATE OR DELETE ON blobs FOR EACH ROW EXECUTE FUNCTION stella_guard_blob()",
        "CREATE TRIGGER blobs_no_truncate BEFORE TRUNCATE ON blobs FOR EACH STATEMENT EXECUTE FUNCTION stella_append_only()",
    ]


def _guards_of_packets() -> list[str]:
    return [
        f"""CREATE FUNCTION stella_guard_packet() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'DELETE' AND {_PURGED.format(id="id")} THEN RETURN OLD; END IF;
            RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
        END $$""",
        f"""CREATE FUNCTION stella_guard_subject() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'DELETE' AND {_SUBJECT_PURGED} THEN RETURN OLD; END IF;
            RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
        END $$""",
        "DROP TRIGGER evidence_packets_append_only ON evidence_packets",
        "DROP TRIGGER evidence_subjects_append_only ON evidence_subjects",
        "CREATE TRIGGER evidence_packets_append_only BEFORE UPDATE OR DELETE ON evidence_packets FOR EACH ROW EXECUTE FUNCTION stella_guard_packet()",
        "CREATE TRIGGER evidence_subjects_append_only BEFORE UPDATE OR DELETE ON evidence_subjects FOR EACH ROW EXECUTE FUNCTION stella_guard_subject()",
    ]


def downgrade() -> None:
    """Put the old guards back, and drop the tables."""
    if op.get_bind().dialect.name == "sqlite":
        for name in ("evidence_packets_no_delete", "evidence_subjects_no_delete", "blobs_wanted_again", "blobs_no_update", "blobs_no_delete"):
            op.execute(f"DROP TRIGGER {name}")
        for table in ("evidence_packets", "evidence_subjects"):
            op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END")
    else:
        for name in ("blobs_wanted_again", "blobs_guard", "blobs_no_truncate"):
            op.execute(f"DROP TRIGGER {name} ON blobs")
        for table in ("evidence_packets", "evidence_subjects"):
            op.execute(f"DROP TRIGGER {table}_append_only ON {table}")
            op.execute(f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION stella_append_only()")
    for name in ("blobs_leaving", "evidence_hold_events", "evidence_purged"):
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        for name in ("stella_guard_purge", "stella_guard_packet", "stella_guard_subject", "stella_blob_wanted", "stella_guard_blob"):
            op.execute(f"DROP FUNCTION {name}()")
