"""The audit entries of the releases room: one for each row that is written, in the same transaction, with the row's digest before and after."""

from __future__ import annotations

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Clock
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.audited import row_digest
from stella_pipelines.releases.model import Release
from stella_pipelines.releases.rows import Row
from stella_pipelines.store.database import Transaction


def subject_of(release: Release, *part: str) -> str:
    """How a release is called in the trail, or something that was given to it: `release/shop-1.0/report/rpt_…`."""
    return "/".join([f"release/{release.name}-{release.version}", *part])


class Trail:
    """Writes them."""

    def __init__(self, clock: Clock, identifiers: Identifiers) -> None:
        self._clock = clock
        self._identifiers = identifiers

    def enter(
        self, tx: Transaction, actor: Actor, action: str, subject: str, *, before: Row | None = None, after: Row | None = None, reason: str | None = None
    ) -> None:
        """One entry."""
        now = self._clock.now()
        old, new = (None if row is None else row_digest(row) for row in (before, after))
        entry_id = self._identifiers.new("aud", now)
        audit.record(tx, entry_id=entry_id, at=now, actor=actor, action=action, subject=subject, before=old, after=new, reason=reason)
