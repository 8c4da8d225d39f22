"""The first tables of the deployments room, and the triggers that make the journal append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006_deployments"
down_revision: str | None = "0005_promotions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables and close the journal against changes."""
    _create_deployments()
    _create_journal()
    _create_ledger()
    _create_observations()
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER deployment_journal_no_{verb.lower()} BEFORE {verb} ON deployment_journal"
                " BEGIN SELECT RAISE(ABORT, 'deployment_journal is append-only'); END"
            )
    else:
        op.execute(
            """CREATE FUNCTION stella_guard_journal() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'deployment_journal is append-only'; END $$"""
        )
        op.execute(
            "CREATE TRIGGER deployment_journal_append_only BEFORE UPDATE OR DELETE ON deployment_journal FOR EACH ROW EXECUTE FUNCTION stella_guard_journal()"
        )
        op.execute(
            "CREATE TRIGGER deployment_journal_no_truncate BEFORE TRUNCATE ON deployment_journal FOR EACH STATEMENT EXECUTE FUNCTION stella_append_only()"
        )


def _create_deployments() -> None:
    op.create_table(
        "deployments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("promotion_id", sa.Text(), nullable=True),
        sa.Column("retry_of", sa.Text(), nullable=True),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("release_digest", sa.Text(), nullable=False),
        sa.Column("previous_release_digest", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("plan_digest", sa.Text(), nullable=False),
        sa.Column("artifacts_digest", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.Text(), nullable=True),
        sa.Column("packet_id", sa.Text(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deployments"),
        sa.UniqueConstraint("environment", "sequence", name="uq_deployments_environment_sequence"),
        sa.CheckConstraint("state IN ('running', 'succeeded', 'failed', 'rolled_back', 'rollback_failed', 'refused')", name=op.f("ck_deployments_state")),
        sa.CheckConstraint("kind IN ('promotion', 'retry', 'rollback')", name=op.f("ck_deployments_kind")),
    )
    op.create_index("ix_deployments_promotion_id", "deployments", ["promotion_id"])
    op.create_index("ix_deployments_started_at", "deployments", ["started_at", "id"])
    op.create_index("ix_deployments_environment_release_digest", "deployments", ["environment", "release_digest", "sequence"])
    running = sa.text("state = 'running'")
    op.create_index("ix_deployments_unfinished", "deployments", ["environment"], unique=True, sqlite_where=running, postgresql_where=running)


def _create_journal() -> None:
    op.create_table(
        "deployment_journal",
        sa.Column("deployment_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("elapsed_s", sa.Float(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("deployment_id", "seq", name="pk_deployment_journal"),
        sa.ForeignKeyConstraint(["deployment_id"], ["deployments.id"], name="fk_deployment_journal_deployment_id"),
        sa.CheckConstraint("phase IN ('intent', 'outcome')", name=op.f("ck_deployment_journal_phase")),
    )


def _create_ledger() -> None:
    op.create_table(
        "deployment_ledger",
        sa.Column("deployment_id", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("deployment_id", "target", name="pk_deployment_ledger"),
        sa.ForeignKeyConstraint(["deployment_id"], ["deployments.id"], name="fk_deployment_ledger_deployment_id"),
    )


def _create_observations() -> None:
    op.create_table(
        "environment_observations",
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("deployment_id", sa.Text(), nullable=True),
        sa.Column("release_digest", sa.Text(), nullable=True),
        sa.Column("observed_at", sa.Text(), nullable=False),
        sa.Column("healthy", sa.Boolean(), nullable=False),
        sa.Column("healthy_since", sa.Text(), nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("environment", name="pk_environment_observations"),
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in ("environment_observations", "deployment_ledger", "deployment_journal", "deployments"):
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION stella_guard_journal()")
