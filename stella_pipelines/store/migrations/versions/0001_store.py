"""The first tables of the store room, and the rule that a lease's token never falls and its row never goes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001_store"
down_revision: str | None = None
branch_labels = None
depends_on = None

_SQLITE_GUARDS = (
    "CREATE TRIGGER leases_token_grows BEFORE UPDATE ON leases WHEN NEW.token < OLD.token OR NEW.name <> OLD.name"
    " BEGIN SELECT RAISE(ABORT, 'a lease token never falls'); END",
    "CREATE TRIGGER leases_stay BEFORE DELETE ON leases BEGIN SELECT RAISE(ABORT, 'a lease row is never deleted'); END",
)
_POSTGRES_GUARDS = (
    """CREATE FUNCTION stella_guard_lease() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN RAISE EXCEPTION 'a lease row is never deleted'; END IF;
        IF NEW.token < OLD.token OR NEW.name <> OLD.name THEN RAISE EXCEPTION 'a lease token never falls'; END IF;
        RETURN NEW;
    END $$""",
    "CREATE TRIGGER leases_guard BEFORE UPDATE OR DELETE ON leases FOR EACH ROW EXECUTE FUNCTION stella_guard_lease()",
)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "blobs",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_blobs"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    _create_outbox()
    for statement in _SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else _POSTGRES_GUARDS:
        op.execute(statement)


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("retry_at", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("kind", "subject", "attempt", name="uq_outbox_kind_subject_attempt"),
        sa.CheckConstraint("state IN ('pending', 'submitted', 'abandoned')", name=op.f("ck_outbox_state")),
    )
    op.create_index("ix_outbox_state_created_at", "outbox", ["state", "created_at"])


def downgrade() -> None:
    """Drop the tables."""
    for name in ("outbox", "leases", "blobs"):
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION stella_guard_lease()")
