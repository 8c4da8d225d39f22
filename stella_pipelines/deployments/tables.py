"""The deployments room's tables. Kept equal to migration `0006_deployments`."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from stella_pipelines.store.metadata import metadata

IS_UNFINISHED: Final = sa.text("state = 'running'")
"""Queries say it in these very words: SQLite uses a partial index only for a condition that it finds word for word."""

deployments = sa.Table(
    "deployments",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("promotion_id", sa.Text, nullable=True),
    sa.Column("retry_of", sa.Text, nullable=True),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("release_digest", sa.Text, nullable=False),
    sa.Column("previous_release_digest", sa.Text, nullable=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("plan_digest", sa.Text, nullable=False),
    sa.Column("artifacts_digest", sa.Text, nullable=True),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("started_at", sa.Text, nullable=False),
    sa.Column("ended_at", sa.Text, nullable=True),
    sa.Column("packet_id", sa.Text, nullable=True),
    sa.Column("failure", sa.Text, nullable=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.CheckConstraint("state IN ('running', 'succeeded', 'failed', 'rolled_back', 'rollback_failed', 'refused')", name="state"),
    sa.CheckConstraint("kind IN ('promotion', 'retry', 'rollback')", name="kind"),
    # Order is by sequence, not by time: a clock that jumps must not change which deployment is the newest.
    sa.UniqueConstraint("environment", "sequence"),
    sa.Index("ix_deployments_promotion_id", "promotion_id"),
    sa.Index("ix_deployments_started_at", "started_at", "id"),
    # "Was this release ever proven there?" must not read the environment's whole history to say no.
    sa.Index("ix_deployments_environment_release_digest", "environment", "release_digest", "sequence"),
    # One environment has one deployment that has not ended; the database itself refuses a second one.
    sa.Index("ix_deployments_unfinished", "environment", unique=True, sqlite_where=IS_UNFINISHED, postgresql_where=IS_UNFINISHED),
)

# Append-only: the events of a rollout, in order. Deciding them again gives the rollout back.
journal = sa.Table(
    "deployment_journal",
    metadata,
    sa.Column("deployment_id", sa.Text, sa.ForeignKey("deployments.id"), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("target", sa.Text, nullable=True),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("elapsed_s", sa.Float, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.CheckConstraint("phase IN ('intent', 'outcome')", name="phase"),
)

ledger = sa.Table(
    "deployment_ledger",
    metadata,
    sa.Column("deployment_id", sa.Text, sa.ForeignKey("deployments.id"), primary_key=True),
    sa.Column("target", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)

# The last look at an environment; `healthy_since` is the start of the unbroken time in which it was seen healthy with this release.
observations = sa.Table(
    "environment_observations",
    metadata,
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("deployment_id", sa.Text, nullable=True),
    sa.Column("release_digest", sa.Text, nullable=True),
    sa.Column("observed_at", sa.Text, nullable=False),
    sa.Column("healthy", sa.Boolean, nullable=False),
    sa.Column("healthy_since", sa.Text, nullable=True),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
)
