"""The first tables of the promotions room."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005_promotions"
down_revision: str | None = "0004_releases"
branch_labels = None
depends_on = None

LIVE = sa.text("state IN ('evaluating', 'waiting', 'approved', 'deploying')")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "promotions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("release_digest", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.Text(), nullable=False),
        sa.Column("waiting_until", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_promotions"),
    )
    op.create_index("uq_promotions_live", "promotions", ["environment"], unique=True, sqlite_where=LIVE, postgresql_where=LIVE)
    op.create_index("ix_promotions_requested_at", "promotions", ["requested_at", "id"])
    op.create_index("ix_promotions_environment_requested_at", "promotions", ["environment", "requested_at", "id"])
    op.create_index("ix_promotions_state_waiting_until", "promotions", ["state", "waiting_until"])
    op.create_table(
        "promotion_evaluations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("promotion_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["promotion_id"], ["promotions.id"], name="fk_promotion_evaluations_promotion_id"),
        sa.PrimaryKeyConstraint("id", name="pk_promotion_evaluations"),
        sa.UniqueConstraint("promotion_id", "attempt", name="uq_promotion_evaluations_promotion_id_attempt"),
    )
    op.create_table(
        "gate_results",
        sa.Column("evaluation_id", sa.Text(), nullable=False),
        sa.Column("gate", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("inputs_digest", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["evaluation_id"], ["promotion_evaluations.id"], name="fk_gate_results_evaluation_id"),
        sa.PrimaryKeyConstraint("evaluation_id", "gate", name="pk_gate_results"),
    )
    op.create_table(
        "approvals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("promotion_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["promotion_id"], ["promotions.id"], name="fk_approvals_promotion_id"),
        sa.PrimaryKeyConstraint("id", name="pk_approvals"),
        sa.UniqueConstraint("promotion_id", "number", name="uq_approvals_promotion_id_number"),
    )
    op.create_table(
        "overrides",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("promotion_id", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("release_digest", sa.Text(), nullable=False),
        sa.Column("plan_digest", sa.Text(), nullable=False),
        sa.Column("to_review", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["promotion_id"], ["promotions.id"], name="fk_overrides_promotion_id"),
        sa.PrimaryKeyConstraint("id", name="pk_overrides"),
    )
    op.create_index("ix_overrides_environment_release_digest_plan_digest", "overrides", ["environment", "release_digest", "plan_digest"])


def downgrade() -> None:
    """Drop the tables."""
    for table in ("overrides", "approvals", "gate_results", "promotion_evaluations", "promotions"):
        op.drop_table(table)
