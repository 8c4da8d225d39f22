"""The first tables of the releases room, and the triggers that keep a finalized release as it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_releases"
down_revision: str | None = "0003_environments"
branch_labels = None
depends_on = None

_CHANGED_ON_SQLITE = " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in ("name", "version", "document", "digest", "created_at", "finalized_at"))
_SQLITE_GUARDS = (
    f"CREATE TRIGGER releases_finalized BEFORE UPDATE ON releases WHEN OLD.digest IS NOT NULL AND ({_CHANGED_ON_SQLITE})"
    " BEGIN SELECT RAISE(ABORT, 'a finalized release never changes'); END",
    "CREATE TRIGGER releases_stay BEFORE DELETE ON releases WHEN OLD.digest IS NOT NULL BEGIN SELECT RAISE(ABORT, 'a finalized release is never deleted'); END",
)
_POSTGRES_GUARDS = (
    """CREATE FUNCTION stella_guard_release() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF OLD.digest IS NOT NULL THEN RAISE EXCEPTION 'a finalized release is never deleted'; END IF;
            RETURN OLD;
        END IF;
        IF OLD.digest IS NOT NULL AND (NEW.name, NEW.version, NEW.document, NEW.digest, NEW.created_at, NEW.finalized_at)
            IS DISTINCT FROM (OLD.name, OLD.version, OLD.document, OLD.digest, OLD.created_at, OLD.finalized_at)
        THEN RAISE EXCEPTION 'a finalized release never changes'; END IF;
        RETURN NEW;
    END $$""",
    "CREATE TRIGGER releases_guard BEFORE UPDATE OR DELETE ON releases FOR EACH ROW EXECUTE FUNCTION stella_guard_release()",
)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "releases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("finalized_at", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name="pk_releases"),
        sa.UniqueConstraint("digest", name="uq_releases_digest"),
        sa.CheckConstraint("(state = 'draft') = (digest IS NULL)", name=op.f("ck_releases_identity")),
    )
    op.create_index("ix_releases_created_at", "releases", ["created_at", "name", "version"])
    op.create_index("ix_releases_name_created_at", "releases", ["name", "created_at", "version"])
    op.create_table(
        "release_components",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("component", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", "component", name="pk_release_components"),
    )
    _create_release_facts()
    for statement in _SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else _POSTGRES_GUARDS:
        op.execute(statement)


def _create_release_facts() -> None:
    op.create_table(
        "release_pushes",
        sa.Column("release_digest", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("pushed_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("release_digest", "location", name="pk_release_pushes"),
        sa.ForeignKeyConstraint(["release_digest"], ["releases.digest"], name="fk_release_pushes_release_digest"),
    )
    op.create_table(
        "release_reports",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("release_digest", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("blob", sa.Text(), nullable=False),
        sa.Column("given_by", sa.Text(), nullable=False),
        sa.Column("given_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_release_reports"),
        sa.ForeignKeyConstraint(["release_digest"], ["releases.digest"], name="fk_release_reports_release_digest"),
        sa.ForeignKeyConstraint(["blob"], ["blobs.digest"], name="fk_release_reports_blob"),
        sa.UniqueConstraint("release_digest", "blob", name="uq_release_reports_release_digest_blob"),
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in ("release_reports", "release_pushes", "release_components", "releases"):
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION stella_guard_release()")
