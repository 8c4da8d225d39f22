"""A draft as `Releases.create` writes it, without a registry that is asked for its images."""

from __future__ import annotations

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Clock
from stella_pipelines.core.identifiers import SystemIdentifiers
from stella_pipelines.releases import rows
from stella_pipelines.releases.model import Release
from stella_pipelines.releases.trail import Trail, subject_of
from stella_pipelines.store.database import Transaction


def write_draft(tx: Transaction, actor: Actor, release: Release, clock: Clock) -> None:
    """Write it, with its audit entry, unless it is there."""
    draft = rows.insert_draft(tx, release)
    if draft is not None:
        Trail(clock, SystemIdentifiers()).enter(tx, actor, "release.create", subject_of(release), after=draft)
