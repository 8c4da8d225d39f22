"""Exports of other installations that were imported, append-only and apart from the installation's own evidence."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0010_imports"
down_revision: str | None = "0009_retention"
branch_labels = None
depends_on = None

TABLES: Final = ("imported_exports", "imported_entries", "imported_contents", "imported_blobs")


def upgrade() -> None:
    """Create the tables and close them against changes."""
    _create_exports()
    _create_contents()
    for table in TABLES:
        if op.get_bind().dialect.name == "sqlite":
            for verb in ("UPDATE", "DELETE"):
                op.execute(f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END")
        else:
            op.execute(f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION stella_append_only()")
            op.execute(f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION stella_append_only()")


def _create_exports() -> None:
    op.create_table(
        "imported_exports",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("log_size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("key_history", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("signed_by", sa.Text(), nullable=False),
        sa.Column("trusted", sa.Text(), nullable=False),
        sa.Column("imported_at", sa.Text(), nullable=False),
        sa.Column("imported_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_imported_exports"),
    )
    op.create_index("ix_imported_exports_origin", "imported_exports", ["origin", "log_size"])
    op.create_index("ix_imported_exports_imported_at", "imported_exports", ["imported_at", "digest"])


def _create_contents() -> None:
    op.create_table(
        "imported_entries",
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("leaf_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("origin", "leaf_index", name="pk_imported_entries"),
        sa.UniqueConstraint("origin", "stream", "sequence", name="uq_imported_entries_origin_stream_sequence"),
    )
    op.create_index("ix_imported_entries_entry_id", "imported_entries", ["entry_id"])
    op.create_table(
        "imported_contents",
        sa.Column("export_digest", sa.Text(), nullable=False),
        sa.Column("leaf_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("export_digest", "leaf_index", name="pk_imported_contents"),
        sa.ForeignKeyConstraint(["export_digest"], ["imported_exports.digest"], name="fk_imported_contents_export_digest"),
    )
    op.create_table(
        "imported_blobs",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_imported_blobs"),
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in reversed(TABLES):
        op.drop_table(name)
