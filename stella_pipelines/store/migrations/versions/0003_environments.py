"""The first tables of the environments room: the estate's revisions, each pointing to its document among the blobs, none ever changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_environments"
down_revision: str | None = "0002_evidence"
branch_labels = None
depends_on = None

_SQLITE_GUARDS = (
    "CREATE TRIGGER estate_revisions_stay BEFORE UPDATE ON estate_revisions BEGIN SELECT RAISE(ABORT, 'an estate revision is never changed'); END",
    "CREATE TRIGGER estate_revisions_remain BEFORE DELETE ON estate_revisions BEGIN SELECT RAISE(ABORT, 'an estate revision is never deleted'); END",
)
_POSTGRES_GUARDS = (
    """CREATE FUNCTION stella_guard_estate_revision() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'an estate revision is never changed or deleted';
    END $$""",
    "CREATE TRIGGER estate_revisions_guard BEFORE UPDATE OR DELETE ON estate_revisions FOR EACH ROW EXECUTE FUNCTION stella_guard_estate_revision()",
    "CREATE TRIGGER estate_revisions_no_truncate BEFORE TRUNCATE ON estate_revisions FOR EACH STATEMENT EXECUTE FUNCTION stella_append_only()",
)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "estate_revisions",
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("source_digest", sa.Text(), nullable=False),
        sa.Column("applied_by", sa.Text(), nullable=False),
        sa.Column("applied_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_estate_revisions"),
        sa.ForeignKeyConstraint(["digest"], ["blobs.digest"], name="fk_estate_revisions_digest"),
    )
    for statement in _SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else _POSTGRES_GUARDS:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("estate_revisions")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION stella_guard_estate_revision()")
