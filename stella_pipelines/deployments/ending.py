"""Ending a deployment: one transaction writes how it ended, seals the evidence, moves the promotion and remembers the last look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stella_pipelines.core.clock import Clock
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.deployments import journal, ledger, observing, records, sealing
from stella_pipelines.deployments.artifacts import Artifacts, DecisionNote
from stella_pipelines.deployments.authority import Authority
from stella_pipelines.deployments.enclosures import enclosures
from stella_pipelines.deployments.errors import DriftedAtTheEnd
from stella_pipelines.deployments.events import Outcome
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState, EnvironmentObservation, LedgerRow, TargetObservation, TargetState
from stella_pipelines.deployments.sealing import UpstreamAsset
from stella_pipelines.deployments.state import Rollout
from stella_pipelines.environments.service import Environments
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.audited import row_digest
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.evidence.streams import environment_stream
from stella_pipelines.promotions.service import Promotions
from stella_pipelines.releases.model import ReleaseRecord
from stella_pipelines.releases.service import Releases
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store, Transaction

_UNDISTURBED = (DeploymentState.SUCCEEDED, DeploymentState.REFUSED)
"""Ends after which the time in which the environment was seen healthy may go on: it is a new deployment's, or nothing was touched."""


def final_rows(rows: Sequence[LedgerRow], rollout: Rollout, seen: EnvironmentObservation | None = None) -> list[LedgerRow]:
    """The ledger as the rollout ended, with what the targets showed at the end. Pure."""
    shown = observing.by_target(seen) if seen else {}
    return [ledger.settled(row, rollout, shown[row.target].observation if row.target in shown else None) for row in rows]


def judged(rollout: Rollout, rows: Sequence[LedgerRow], seen: EnvironmentObservation) -> tuple[DeploymentState, Failure | None]:
    """How the deployment ended: the rollout's outcome, unless a target that had proven its digests shows others now. Pure.

    A target that does not answer this last question has proven itself a moment ago, and is only reported.
    """
    assert rollout.outcome is not None
    drifted = [row.target for row in rows if row.state is TargetState.SUCCEEDED and _differs(observing.by_target(seen), row.target)]
    if not drifted or rollout.outcome is not Outcome.SUCCEEDED:
        return DeploymentState(rollout.outcome.value), rollout.failure
    error = DriftedAtTheEnd(
        f"After proving the release, {', '.join(drifted)} shows something else.",
        unchanged="The targets were left as they are.",
        next_step="Find out who else acts on these targets, then promote again.",
    )
    return DeploymentState.FAILED, Failure.of(error, drifted[0])


def _differs(shown: Mapping[str, TargetObservation], target: str) -> bool:
    return target in shown and shown[target].observation is not None and not shown[target].as_released


class Ender:
    """Writes the end of deployments."""

    def __init__(
        self,
        store: Store,
        evidence: Evidence,
        environments: Environments,
        releases: Releases,
        promotions: Promotions,
        *,
        clock: Clock,
        identifiers: Identifiers,
    ) -> None:
        self._store = store
        self._evidence = evidence
        self._environments = environments
        self._releases = releases
        self._promotions = promotions
        self._clock = clock
        self._identifiers = identifiers

    def end(self, deployment_id: str, artifacts: Artifacts, rollout: Rollout, seen: EnvironmentObservation, authority: Authority) -> DeploymentRecord:
        """One transaction, repeatable: a deployment that has ended is returned as it is."""
        with self._store.writing() as tx:
            now = self._clock.now()
            authority.hold(tx, None, now)
            record = records.get(tx, deployment_id)
            if record.ended:
                return record
            rows = final_rows(ledger.read(tx, deployment_id), rollout, seen)
            state, failure = judged(rollout, rows, seen)
            ended = record.model_copy(update={"state": state, "failure": failure, "ended_at": now, "revision": record.revision + 1})
            sealed = self._seal(tx, ended, artifacts, rows, observing.save(tx, seen, disturbed=state not in _UNDISTURBED))
            ledger.write(tx, rows)
            records.save_end(tx, sealed)
            self._move_promotion(tx, sealed)
            self._note(tx, record, sealed)
            return sealed

    def _seal(
        self, tx: Transaction, record: DeploymentRecord, artifacts: Artifacts, rows: Sequence[LedgerRow], seen: EnvironmentObservation
    ) -> DeploymentRecord:
        release = self._releases.by_digest(record.release_digest, tx)
        assert record.ended_at is not None
        enclosed = enclosures(rows, seen.targets)
        for enclosure in enclosed:
            blobs.put(tx, enclosure.content, enclosure.media_type, record.ended_at)
        packet = self._evidence.seal(
            tx,
            packet_id=self._identifiers.new("evd", record.ended_at),
            kind=sealing.packet_kind(record),
            stream=environment_stream(record.environment),
            subjects=sealing.subjects(record, release, artifacts),
            predicate=sealing.predicate(
                record,
                release,
                artifacts,
                rows=rows,
                journal=journal.journal_digest(journal.read(tx, record.id)),
                decision=self._decision(tx, record),
                seen=seen,
                enclosed=enclosed,
                upstream=self._upstream(tx, record, release),
            ),
            at=record.ended_at,
        )
        return record.model_copy(update={"packet_id": packet.id})

    def _decision(self, tx: Transaction, record: DeploymentRecord) -> DecisionNote | None:
        """The decision under which the deployment ran, as its stickers say it."""
        return decision_of(tx, self._evidence, self._promotions, record.promotion_id)

    def _upstream(self, tx: Transaction, record: DeploymentRecord, release: ReleaseRecord) -> list[UpstreamAsset]:
        """The release, and the proof of it in every environment that this one promotes from."""
        found = [UpstreamAsset(asset=f"releases/{release.release.name}", partition=release.partition_key, digest=record.release_digest)]
        environment = self._environments.current(tx)[0].environment(record.environment)
        for name in environment.promotes_from if environment else ():
            proven = records.newest_proven(tx, name, release=record.release_digest)
            if proven is not None:
                asset = UpstreamAsset(asset=f"environments/{name}", partition=release.partition_key, digest=record.release_digest, packet=proven.packet_id)
                found.append(asset)
        return found

    def _move_promotion(self, tx: Transaction, record: DeploymentRecord) -> None:
        """Tell the promotion how its own deployment ended; retries and rollbacks move no promotion."""
        if record.kind != "promotion" or record.promotion_id is None:
            return
        failure = record.failure.document() if record.failure else {}
        match record.state:
            case DeploymentState.SUCCEEDED:
                self._promotions.deployment_succeeded(tx, record.promotion_id)
            case DeploymentState.ROLLED_BACK:
                self._promotions.deployment_rolled_back(tx, record.promotion_id, failure)
            case _:
                self._promotions.deployment_failed(tx, record.promotion_id, failure)

    def _note(self, tx: Transaction, before: DeploymentRecord, after: DeploymentRecord) -> None:
        assert after.ended_at is not None
        audit.record(
            tx,
            entry_id=self._identifiers.new("aud", after.ended_at),
            at=after.ended_at,
            actor=after.actor,
            action=f"deployment.{after.state}",
            subject=after.id,
            environment=after.environment,
            before=row_digest(records.deployment_row(before)),
            after=row_digest(records.deployment_row(after)),
            reason=after.failure.what if after.failure else after.reason or None,
        )


def decision_of(tx: Transaction, evidence: Evidence, promotions: Promotions, promotion_id: str | None) -> DecisionNote | None:
    """The sealed decision of a promotion, by id and hash."""
    packet_id = promotions.get(promotion_id).decision_packet if promotion_id else None
    return DecisionNote(packet_id=packet_id, digest=evidence.get(tx, packet_id).digest) if packet_id else None
