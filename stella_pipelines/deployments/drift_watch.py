"""Judging each look for drift, and sealing when there is something to tell: in the transaction that remembers the look.

Not on every look: a packet is sealed when drift is found, when it shows in another way than before, and when it is over. While a deployment is
under way nothing is judged, because what its targets show in the meantime is its own doing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from stella_pipelines.core.actor import SYSTEM
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.deployments import records
from stella_pipelines.deployments.drift import Compared, Turn, drift_predicate, drift_subjects, find_drift, not_compared, turn_of
from stella_pipelines.deployments.enclosures import DRIFT_TYPE, enclosed
from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState, DriftFinding, EnvironmentObservation, OngoingDrift, TargetState
from stella_pipelines.deployments.observing import Expected
from stella_pipelines.deployments.tables import deployments, ledger
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.evidence.streams import environment_stream
from stella_pipelines.releases.service import Releases
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Transaction

_LEFT_OTHERWISE = (TargetState.SUCCEEDED, TargetState.FAILED, TargetState.ROLLBACK_FAILED, TargetState.RUNNING)


class DriftWatch:
    """See the module's docstring."""

    def __init__(self, evidence: Evidence, releases: Releases, identifiers: Identifiers) -> None:
        self._evidence = evidence
        self._releases = releases
        self._identifiers = identifiers

    def judge(
        self,
        tx: Transaction,
        seen: EnvironmentObservation,
        expected: Expected,
        proven: DeploymentRecord | None,
        before: OngoingDrift | None,
        now: datetime,
    ) -> OngoingDrift | None:
        """The drift that goes on after this look. What there is to tell is sealed."""
        if proven is None or records.unfinished(tx, seen.environment) is not None:
            return before
        otherwise = _left_otherwise(tx, proven)
        findings = find_drift(seen, expected, before, otherwise)
        turn = turn_of(before, proven.id, findings)
        if turn is None:
            return before
        return self._seal(tx, turn, seen, expected, proven, findings, before=before, uncompared=not_compared(seen, expected, otherwise), now=now)

    def _seal(
        self,
        tx: Transaction,
        turn: Turn,
        seen: EnvironmentObservation,
        expected: Expected,
        proven: DeploymentRecord,
        findings: tuple[DriftFinding, ...],
        *,
        before: OngoingDrift | None,
        uncompared: int,
        now: datetime,
    ) -> OngoingDrift | None:
        compared = self._compared(tx, proven)
        began_at = before.began_at if before is not None else seen.observed_at
        packet = self._evidence.seal(
            tx,
            packet_id=self._identifiers.new("evd", now),
            kind="drift",
            stream=environment_stream(seen.environment),
            subjects=drift_subjects(compared, expected, findings),
            predicate=drift_predicate(
                turn, seen, compared, findings, began_at=began_at, not_compared=uncompared, inputs=_inputs(tx, compared, findings, before, now)
            ),
            at=now,
        )
        self._note(tx, turn, seen, packet.digest, now)
        if turn == "over":
            return None
        return OngoingDrift(packet_id=packet.id, packet_digest=packet.digest, began_at=began_at, deployment_id=proven.id, findings=findings)

    def _compared(self, tx: Transaction, proven: DeploymentRecord) -> Compared:
        assert proven.packet_id is not None, "a proven deployment is sealed"
        return Compared(
            deployment_id=proven.id,
            packet_id=proven.packet_id,
            packet_digest=self._evidence.get(tx, proven.packet_id).digest,
            release_label=self._releases.by_digest(proven.release_digest, tx).label,
            release_digest=proven.release_digest,
        )

    def _note(self, tx: Transaction, turn: Turn, seen: EnvironmentObservation, packet: Digest, now: datetime) -> None:
        audit.record(
            tx,
            entry_id=self._identifiers.new("aud", now),
            at=now,
            actor=SYSTEM,
            action=f"drift.{turn}",
            subject=f"environment/{seen.environment}",
            environment=seen.environment,
            after=packet,
        )


def _inputs(tx: Transaction, compared: Compared, findings: Sequence[DriftFinding], before: OngoingDrift | None, now: datetime) -> list[tuple[str, Digest]]:
    parts = list(enclosed("findings", DRIFT_TYPE, findings))
    for part in parts:
        blobs.put(tx, part.content, part.media_type, now)
    earlier = [("earlier", before.packet_digest)] if before is not None else []
    return [*((part.name, part.digest) for part in parts), ("deployment", compared.packet_digest), *earlier]


def _left_otherwise(tx: Transaction, proven: DeploymentRecord) -> frozenset[str]:
    """Targets that a later deployment touched, did not prove as a whole, and did not bring back."""
    later = (
        deployments.c.environment == proven.environment,
        deployments.c.sequence > proven.sequence,
        deployments.c.state.in_((DeploymentState.FAILED, DeploymentState.ROLLBACK_FAILED)),
    )
    query = sa.select(ledger.c.target).distinct().join(deployments, deployments.c.id == ledger.c.deployment_id)
    return frozenset(tx.connection.execute(query.where(*later, ledger.c.state.in_(_LEFT_OTHERWISE))).scalars())
