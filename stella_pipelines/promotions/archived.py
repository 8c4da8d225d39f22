"""A release that was taken out of use after it was asked for: who did it, and why nothing may allow it any more. Reads only."""

from __future__ import annotations

from stella_pipelines.evidence import audit
from stella_pipelines.promotions.wording import moment
from stella_pipelines.releases.model import ReleaseRecord, ReleaseState
from stella_pipelines.store.database import Transaction


def why_archived(tx: Transaction, release: ReleaseRecord) -> str | None:
    """One sentence about an archived release, in the words of the audit trail; None when it is not archived."""
    if release.state is not ReleaseState.ARCHIVED:
        return None
    entries = audit.list_entries(tx, subject=f"release/{release.label}", action="release.archive", limit=1)
    if not entries:
        return f"Release {release.label} is archived."
    (entry,) = entries
    return f"Release {release.label} was archived by {entry.actor.name} at {moment(entry.at)}{f': {entry.reason}' if entry.reason else '.'}"
