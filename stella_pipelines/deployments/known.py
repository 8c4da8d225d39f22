"""How earlier deployments ran their components, read from their stored artifacts: for plans (has anything changed?) and for the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stella_pipelines.connectors.port import ComponentSpec, Observation
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments import ledger, records
from stella_pipelines.deployments.artifacts import Artifacts, read_artifacts
from stella_pipelines.deployments.errors import DeploymentMissing
from stella_pipelines.deployments.model import DeploymentRecord, TargetState
from stella_pipelines.deployments.plan import SpecIndex
from stella_pipelines.deployments.wanted import EarlierSpecs
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Transaction


class KnownSpecs:
    """Reads each deployment's artifacts once per transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._artifacts: dict[str, Artifacts | None] = {}

    def of(self, deployment_id: str, target: str) -> Mapping[str, ComponentSpec]:
        """The components as a deployment ran them on a target; empty when our records do not know it."""
        artifacts = self._read(deployment_id)
        order = artifacts.orders.get(target) if artifacts else None
        return {component.name: component for component in order.spec.components} if order else {}

    def left_by(self, deployment_id: str) -> dict[str, EarlierSpecs]:
        """How a deployment had its components, by target; empty when our records do not know."""
        artifacts = self._read(deployment_id)
        orders = artifacts.orders if artifacts else {}
        return {name: EarlierSpecs(platform=order.platform, components=order.spec.components) for name, order in orders.items()}

    def proven_by(self, record: DeploymentRecord) -> dict[str, EarlierSpecs]:
        """How a proven deployment left its targets. A retry stands on the deployment that it retries."""
        stands_on = self.proven_by(records.get(self._tx, record.retry_of)) if record.retry_of else {}
        succeeded = {row.target for row in ledger.read(self._tx, record.id) if row.state is TargetState.SUCCEEDED}
        return stands_on | {name: specs for name, specs in self.left_by(record.id).items() if name in succeeded}

    def running(self, observations: Sequence[Observation]) -> SpecIndex:
        """The settings of everything that targets say they run."""
        index: dict[tuple[str, str, str], Digest] = {}
        for observed in observations:
            for deployment_id in {found.deployment_id for found in observed.components if found.deployment_id}:
                specs = self.of(deployment_id, observed.target)
                index |= {(deployment_id, observed.target, name): spec.content_digest() for name, spec in specs.items()}
        return index

    def _read(self, deployment_id: str) -> Artifacts | None:
        if deployment_id not in self._artifacts:
            self._artifacts[deployment_id] = self._stored(deployment_id)
        return self._artifacts[deployment_id]

    def _stored(self, deployment_id: str) -> Artifacts | None:
        try:
            digest = records.get(self._tx, deployment_id).artifacts_digest
        except DeploymentMissing:
            return None  # another installation deployed it, or this one lost its database: nothing is known about its settings
        return None if digest is None else read_artifacts(digest, lambda blob: blobs.get(self._tx, blob))
