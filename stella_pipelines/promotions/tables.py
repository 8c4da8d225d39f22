"""The tables of the promotions room. A row is its value's canonical JSON, plus the columns by which it is found."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from stella_pipelines.promotions.transitions import LIVE
from stella_pipelines.store.metadata import metadata

IS_LIVE: Final = sa.text("state IN ({})".format(", ".join(f"'{state}'" for state in LIVE)))
"""Queries for live promotions say it in these very words: SQLite uses a partial index only for a condition that it finds word for word."""

promotions = sa.Table(
    "promotions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("release_digest", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("requested_at", sa.Text, nullable=False),
    sa.Column("waiting_until", sa.Text, nullable=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    # One live promotion per environment, whoever asks at the same moment: the database says so, not a check before an insert.
    sa.Index("uq_promotions_live", "environment", unique=True, sqlite_where=IS_LIVE, postgresql_where=IS_LIVE),
    sa.Index("ix_promotions_requested_at", "requested_at", "id"),
    sa.Index("ix_promotions_environment_requested_at", "environment", "requested_at", "id"),
    sa.Index("ix_promotions_state_waiting_until", "state", "waiting_until"),
)

evaluations = sa.Table(
    "promotion_evaluations",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("promotion_id", sa.Text, sa.ForeignKey("promotions.id"), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("outcome", sa.Text, nullable=True),
    sa.Column("document", sa.Text, nullable=False),
    sa.UniqueConstraint("promotion_id", "attempt"),
)

gate_results = sa.Table(
    "gate_results",
    metadata,
    sa.Column("evaluation_id", sa.Text, sa.ForeignKey("promotion_evaluations.id"), primary_key=True),
    sa.Column("gate", sa.Text, primary_key=True),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("inputs_digest", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)

approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("promotion_id", sa.Text, sa.ForeignKey("promotions.id"), nullable=False),
    # Counts the words on one promotion. It says whose word came last; times do not, because clocks are set back.
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.UniqueConstraint("promotion_id", "number"),
)

overrides = sa.Table(
    "overrides",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("promotion_id", sa.Text, sa.ForeignKey("promotions.id"), nullable=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("release_digest", sa.Text, nullable=False),
    sa.Column("plan_digest", sa.Text, nullable=False),
    sa.Column("to_review", sa.Boolean, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Index("ix_overrides_environment_release_digest_plan_digest", "environment", "release_digest", "plan_digest"),
)
