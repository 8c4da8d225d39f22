"""The releases room's tables. Kept equal to migration `0004_releases` by a test."""

from __future__ import annotations

import sqlalchemy as sa

from stella_pipelines.store.metadata import metadata

# `digest` is the identity, NULL for a draft. A row with an identity keeps its content for ever; triggers see to it.
releases = sa.Table(
    "releases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=True),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("finalized_at", sa.Text, nullable=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.UniqueConstraint("digest"),
    sa.CheckConstraint("(state = 'draft') = (digest IS NULL)", name="identity"),
    sa.Index("ix_releases_created_at", "created_at", "name", "version"),
    sa.Index("ix_releases_name_created_at", "name", "created_at", "version"),
)

# Which components the finalized releases of a name were ever made of: the asset graph asks every two seconds, however many releases there are.
release_components = sa.Table(
    "release_components",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("component", sa.Text, primary_key=True),
)

release_pushes = sa.Table(
    "release_pushes",
    metadata,
    sa.Column("release_digest", sa.Text, sa.ForeignKey("releases.digest"), primary_key=True),
    sa.Column("location", sa.Text, primary_key=True),
    sa.Column("pushed_at", sa.Text, nullable=False),
)

release_reports = sa.Table(
    "release_reports",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("release_digest", sa.Text, sa.ForeignKey("releases.digest"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("blob", sa.Text, sa.ForeignKey("blobs.digest"), nullable=False),
    sa.Column("given_by", sa.Text, nullable=False),
    sa.Column("given_at", sa.Text, nullable=False),
    sa.UniqueConstraint("release_digest", "blob"),
)
