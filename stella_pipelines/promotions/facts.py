"""The facts that gates may ask for, read out of one transaction."""

from __future__ import annotations

from stella_pipelines.promotions import records
from stella_pipelines.promotions.approvals import Approval
from stella_pipelines.promotions.gates.port import GivenReport
from stella_pipelines.promotions.history import DeploymentHistory
from stella_pipelines.promotions.ports import KnownReleases
from stella_pipelines.promotions.promotion import Promotion
from stella_pipelines.promotions.proven import ProvenDeployment
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Transaction


class StoredFacts:
    """`GateFacts` about one promotion."""

    def __init__(self, tx: Transaction, promotion: Promotion, history: DeploymentHistory, releases: KnownReleases) -> None:
        self._tx = tx
        self._promotion = promotion
        self._history = history
        self._releases = releases

    def approvals(self) -> tuple[Approval, ...]:
        """Every approval and rejection of this promotion, in the order in which they were stored."""
        return records.approvals_of(self._tx, self._promotion.id)

    def last_proven(self, environment: str) -> ProvenDeployment | None:
        """The newest proven deployment of this release in an environment."""
        return self._history.last_proven(self._tx, environment, self._promotion.release_digest)

    def reports(self) -> tuple[GivenReport, ...]:
        """The security reports given to this release, with their bytes proven by digest."""
        return tuple(
            GivenReport(id=one.id, kind=one.kind, blob=one.blob, given_at=one.given_at, content=blobs.get(self._tx, one.blob))
            for one in self._releases.reports(self._tx, self._promotion.release_digest)
        )
