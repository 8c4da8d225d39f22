"""What is stored about deployments, for whoever wants to look: pages, commands, tests. Nothing here changes anything."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from stella_pipelines.core.clock import Clock
from stella_pipelines.deployments import journal, ledger, records
from stella_pipelines.deployments.artifacts import Artifacts, read_artifacts
from stella_pipelines.deployments.history import StoredHistory
from stella_pipelines.deployments.journal import JournalRow
from stella_pipelines.deployments.model import DeploymentRecord, LedgerRow, TargetState
from stella_pipelines.deployments.overview import Standing, standings
from stella_pipelines.promotions.proven import ProvenDeployment
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store


class RecordedDeployments:
    """The deployments of the store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._history = StoredHistory(clock)

    def unfinished(self) -> builtins.list[DeploymentRecord]:
        """Every deployment that has not ended, whether somebody works on it or not."""
        with self._store.reading() as tx:
            return records.all_unfinished(tx)

    def standings(self, environments: Sequence[str]) -> dict[str, Standing]:
        """Every one of these environments as it stands: what was proven, seen, and has not ended."""
        with self._store.reading() as tx:
            return standings(tx, environments, self._clock.now())

    def get(self, deployment_id: str) -> DeploymentRecord:
        """The deployment with this id."""
        with self._store.reading() as tx:
            return records.get(tx, deployment_id)

    def list(self, environment: str | None = None, limit: int = 50) -> builtins.list[DeploymentRecord]:
        """Deployments, newest first."""
        with self._store.reading() as tx:
            return records.newest_of(tx, environment, limit)

    def ledger(self, deployment_id: str) -> builtins.list[LedgerRow]:
        """A deployment's rows, by target."""
        with self._store.reading() as tx:
            return ledger.read(tx, deployment_id)

    def counts(self, deployment_id: str) -> dict[TargetState, int]:
        """How many of a deployment's targets are in which state."""
        with self._store.reading() as tx:
            return ledger.counts(tx, deployment_id)

    def journal(self, deployment_id: str) -> builtins.list[JournalRow]:
        """A deployment's intents and outcomes, in order."""
        with self._store.reading() as tx:
            return journal.read(tx, deployment_id)

    def artifacts(self, deployment_id: str) -> Artifacts | None:
        """What a deployment put on its targets; None when it was refused before anything was written for them."""
        with self._store.reading() as tx:
            digest = records.get(tx, deployment_id).artifacts_digest
            return None if digest is None else read_artifacts(digest, lambda blob: blobs.get(tx, blob))

    def newest_proven(self, environment: str) -> ProvenDeployment | None:
        """What was proven in an environment last."""
        with self._store.reading() as tx:
            return self._history.newest_proven(tx, environment)
