"""What the promotions room asks about past deployments. The floor above answers; this file only says the question and the answer."""

from __future__ import annotations

from typing import Protocol

from stella_pipelines.core.digest import Digest
from stella_pipelines.promotions.proven import ProvenDeployment
from stella_pipelines.store.database import Transaction


class DeploymentHistory(Protocol):
    """Where the previous-environment gate looks things up."""

    def last_proven(self, tx: Transaction, environment: str, release_digest: Digest) -> ProvenDeployment | None:
        """The newest proven deployment of this very release there, or None when it never got there."""
        ...
