"""Opening a deployment: the last transaction before any effect. Everything that will be put on a target is stored in it."""

from __future__ import annotations

from dataclasses import dataclass

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Clock
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.deployments import ledger, packet_size, records
from stella_pipelines.deployments.artifacts import PLAN_TYPE, Artifacts, DecisionNote, make_artifacts
from stella_pipelines.deployments.authority import Authority
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.deployments.known import KnownSpecs
from stella_pipelines.deployments.model import DeploymentKind, DeploymentRecord, DeploymentState
from stella_pipelines.deployments.plan import Plan
from stella_pipelines.deployments.wanted import Wanted
from stella_pipelines.environments.model import Estate
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.audited import row_digest
from stella_pipelines.promotions.service import Promotions
from stella_pipelines.releases.model import ReleaseRecord
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store, Transaction


@dataclass(frozen=True)
class Opening:
    """What a new deployment is made of. `id` and the actor come from the caller, so that a repeated write is the same deployment."""

    id: str
    kind: DeploymentKind
    release: ReleaseRecord
    estate: Estate
    plan: Plan
    wanted: Wanted
    actor: Actor
    reason: str
    promotion_id: str | None = None
    decision: DecisionNote | None = None
    retry_of: DeploymentRecord | None = None

    def record(self, tx: Transaction, clock: Clock, artifacts: Artifacts | None, failure: Failure | None = None) -> DeploymentRecord:
        """The row. Without artifacts it is one that was refused before anything was written for the targets."""
        now, environment = clock.now(), self.plan.environment
        proven = records.newest_proven(tx, environment)
        return DeploymentRecord(
            id=self.id,
            sequence=records.next_sequence(tx, environment),
            kind=self.kind,
            promotion_id=self.promotion_id,
            retry_of=self.retry_of.id if self.retry_of else None,
            environment=environment,
            release_digest=self.plan.release_digest,
            previous_release_digest=proven.release_digest if proven else None,
            state=DeploymentState.RUNNING if artifacts else DeploymentState.REFUSED,
            attempt=self.retry_of.attempt + 1 if self.retry_of else 1,
            plan_digest=self.plan.content_digest(),
            artifacts_digest=artifacts.manifest.content_digest() if artifacts else None,
            actor=self.actor,
            reason=self.reason,
            started_at=now,
            ended_at=None if artifacts else now,
            failure=failure,
        )


class Opener:
    """Writes the beginning of deployments."""

    def __init__(self, store: Store, promotions: Promotions, clock: Clock, identifiers: Identifiers) -> None:
        self._store = store
        self._promotions = promotions
        self._clock = clock
        self._identifiers = identifiers

    def open(self, opening: Opening, authority: Authority) -> DeploymentRecord:
        """Store the plan and the artifacts, the row and its ledger, and move the promotion: one transaction, repeatable."""
        with self._store.writing() as tx:
            authority.hold(tx, None, self._clock.now())
            written = records.unfinished(tx, opening.plan.environment)
            if written is not None and written.id == opening.id:
                return written  # the commit before was saved after all
            artifacts = self._artifacts(tx, opening)
            environment = opening.estate.environment(opening.plan.environment)
            packet_size.require_sealable(artifacts, upstream=len(environment.promotes_from) if environment else 0)
            record = opening.record(tx, self._clock, artifacts)
            for content, media_type in [(opening.plan.canonical(), PLAN_TYPE), *artifacts.blobs()]:
                blobs.put(tx, content, media_type, record.started_at)
            records.insert(tx, record)
            ledger.write(tx, [ledger.new_row(order) for order in artifacts.orders.values()])
            if opening.promotion_id is not None and opening.kind == "promotion":
                self._promotions.deployment_started(tx, opening.promotion_id, record.id)
            self._note(tx, record, "deployment.start")
            return record

    def refuse(self, opening: Opening, authority: Authority, failure: Failure) -> DeploymentRecord:
        """Record that nothing was touched because what was allowed holds no more; the promotion's gates are asked again."""
        assert opening.promotion_id is not None
        with self._store.writing() as tx:
            authority.hold(tx, None, self._clock.now())
            written = records.of_promotion(tx, opening.promotion_id)
            if written is not None and written.id == opening.id:
                return written
            record = opening.record(tx, self._clock, None, failure)
            blobs.put(tx, opening.plan.canonical(), PLAN_TYPE, record.started_at)
            records.insert(tx, record)
            self._promotions.plan_changed(tx, opening.promotion_id, failure.what, failure.code)
            self._note(tx, record, "deployment.refuse", failure.what)
            return record

    @staticmethod
    def _artifacts(tx: Transaction, opening: Opening) -> Artifacts:
        decision, known = opening.decision, KnownSpecs(tx)
        return make_artifacts(opening.id, opening.release, opening.estate, opening.plan, wanted=opening.wanted, decision=decision, previous=known.of)

    def _note(self, tx: Transaction, record: DeploymentRecord, action: str, reason: str | None = None) -> None:
        now = self._clock.now()
        audit.record(
            tx,
            entry_id=self._identifiers.new("aud", now),
            at=now,
            actor=record.actor,
            action=action,
            subject=record.id,
            environment=record.environment,
            after=row_digest(records.deployment_row(record)),
            reason=reason or record.reason or None,
        )
