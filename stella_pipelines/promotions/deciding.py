"""The decision's transaction: combine the stored verdicts, seal an allow or a deny with its summary, move the promotion. All or nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.environments.model import Estate
from stella_pipelines.evidence.errors import PacketTooLarge
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.evidence.statement import Subject
from stella_pipelines.evidence.streams import environment_stream, summary_stream
from stella_pipelines.promotions import override_rows, records
from stella_pipelines.promotions.decision import (
    RULES,
    DecisionContext,
    DecisionRecord,
    GateReference,
    JudgedGate,
    Outcome,
    decision_predicate,
    decision_record,
    retry_after_s,
)
from stella_pipelines.promotions.errors import DecisionUnsealable, EvaluationIncomplete, unknown_environment
from stella_pipelines.promotions.evaluation import EVALUATION_AGE_S_MAX, Evaluation, GateResult
from stella_pipelines.promotions.gates.port import GateInputs, NamedDigest
from stella_pipelines.promotions.gates_in_force import declared_gates
from stella_pipelines.promotions.moving import Mover
from stella_pipelines.promotions.overrides import ConfirmedOverride, in_force
from stella_pipelines.promotions.ports import CurrentEstate, Sealing
from stella_pipelines.promotions.promotion import EvaluationAllows, EvaluationDenies, EvaluationWaits, Promotion, PromotionState
from stella_pipelines.promotions.summary import summary_predicate
from stella_pipelines.promotions.trail import Trail
from stella_pipelines.releases.model import ReleaseRecord, ReleaseState
from stella_pipelines.releases.packet import release_subjects
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Transaction

CONTEXT_TYPE: Final = "application/vnd.stella.decision-context.v1+json"
GATES_TYPE: Final = "application/vnd.stella.gates.v1+json"
Decided = tuple[Promotion, SealedPacket | None]


class Deciding:
    """See the module's docstring."""

    def __init__(self, evidence: Sealing, environments: CurrentEstate, identifiers: Identifiers, mover: Mover) -> None:
        self._evidence = evidence
        self._environments = environments
        self._identifiers = identifiers
        self._mover = mover
        self._trail = Trail(identifiers)

    def decide(self, tx: Transaction, evaluation_id: str, release: ReleaseRecord, now: datetime) -> Decided:
        """Decide once. Deciding again returns what was decided; a superseded evaluation changes nothing."""
        evaluation = records.evaluation(tx, evaluation_id)
        promotion = records.promotion(tx, evaluation.promotion_id)
        if evaluation.outcome is not None:
            return promotion, None if evaluation.packet_id is None else self._evidence.get(tx, evaluation.packet_id)
        if promotion.state is not PromotionState.EVALUATING or promotion.attempt != evaluation.attempt:
            self._close(tx, evaluation, now, outcome="superseded")
            return promotion, None
        if evaluation.plan_failure is not None:
            return self._keep_waiting(tx, evaluation, promotion, Outcome(verdict="error"), now)
        results = _complete(tx, evaluation)
        estate, _ = self._environments.current(tx)
        stale = _stale(evaluation, release, estate, now)
        if stale is not None:
            self._close(tx, evaluation, now, outcome="stale")
            return self._mover.reevaluate(tx, promotion, now, reason=stale), None
        return self._conclude(tx, evaluation, promotion, release, [_judged(tx, result) for result in results], estate, now)

    def _conclude(
        self, tx: Transaction, evaluation: Evaluation, promotion: Promotion, release: ReleaseRecord, judged: list[JudgedGate], estate: Estate, now: datetime
    ) -> Decided:
        context = decision_context(evaluation, promotion, judged, now, _overrides(tx, evaluation, promotion, estate, now))
        record = decision_record(context, judged)
        if isinstance(record, Outcome):
            return self._keep_waiting(tx, evaluation, promotion, record, now)
        blobs.put(tx, context.canonical(), CONTEXT_TYPE, now)
        try:
            with tx.connection.begin_nested():  # so that a decision which does not fit leaves no gap in the stream's numbers
                packet = self._seal(tx, promotion, release, decision_predicate(context, record, judged), now)
        except PacketTooLarge as error:  # it was written nowhere; what no packet can hold is not decided, and waits for a person
            return self._keep_waiting(tx, evaluation, promotion, Outcome(verdict="error"), now, _unsealable(error))
        self._seal_summary(tx, record, packet, release, estate, now)
        self._close(tx, evaluation, now, outcome=record.outcome, packet_id=packet.id)
        return self._apply(tx, promotion, record, packet.id, now), packet

    def _seal(self, tx: Transaction, promotion: Promotion, release: ReleaseRecord, predicate: dict[str, Any], now: datetime) -> SealedPacket:
        return self._evidence.seal(
            tx,
            packet_id=self._identifiers.new("evd", now),
            kind="decision",
            stream=environment_stream(promotion.environment),
            subjects=subjects(promotion, release),
            predicate=predicate,
            at=now,
        )

    def _seal_summary(self, tx: Transaction, record: DecisionRecord, packet: SealedPacket, release: ReleaseRecord, estate: Estate, now: datetime) -> None:
        """The decision once more, for readers that know SLSA and not us. It is smaller than what a packet may have, whatever a release pins."""
        environment = estate.environment(record.environment)
        if environment is None:
            raise unknown_environment(record.environment)
        policy = blobs.put(tx, canonical_json(declared_gates(estate, environment)), GATES_TYPE, now)
        self._evidence.seal(
            tx,
            packet_id=self._identifiers.new("evd", now),
            kind="summary",
            stream=summary_stream(record.environment),
            subjects=release_subjects(record.release.name, record.release.digest, release.release),
            predicate=summary_predicate(record, policy=policy, packet_id=packet.id, packet_digest=packet.digest, decided_at=now),
            at=now,
        )

    def _apply(self, tx: Transaction, promotion: Promotion, record: DecisionRecord, packet_id: str, now: datetime) -> Promotion:
        command = EvaluationAllows if record.outcome == "allow" else EvaluationDenies
        about = {"attempt": record.attempt, "evaluation_id": record.evaluation_id, "plan_digest": record.plan_digest, "packet_id": packet_id}
        moved = self._mover.move(tx, promotion, command.model_validate(about), now)
        if moved.state is PromotionState.APPROVED:
            self._mover.want_deployment(tx, moved, now)
        return moved

    def _keep_waiting(
        self, tx: Transaction, evaluation: Evaluation, promotion: Promotion, outcome: Outcome, now: datetime, failure: dict[str, Any] | None = None
    ) -> Decided:
        until = outcome.until
        if outcome.verdict == "error":
            until = now + timedelta(seconds=retry_after_s(_errors_in_a_row(tx, promotion)))
        self._close(tx, evaluation, now, outcome=outcome.verdict)
        command = EvaluationWaits(
            attempt=evaluation.attempt, evaluation_id=evaluation.id, plan_digest=evaluation.plan_digest, until=until, failure=failure or evaluation.plan_failure
        )
        return self._mover.move(tx, promotion, command, now), None

    def _close(self, tx: Transaction, evaluation: Evaluation, now: datetime, *, outcome: str, packet_id: str | None = None) -> None:
        closed = Evaluation.model_validate({**dict(evaluation), "outcome": outcome, "decided_at": now, "packet_id": packet_id})
        records.save_evaluation(tx, closed)
        self._trail.closed(tx, evaluation, closed, now)


def decision_context(
    evaluation: Evaluation, promotion: Promotion, judged: list[JudgedGate], now: datetime, overrides: tuple[ConfirmedOverride, ...] = ()
) -> DecisionContext:
    """The facts of a decision beside its gates. A plan is there, or the evaluation would not have come so far."""
    if evaluation.plan_digest is None:
        raise ValueError("a decision needs a plan")
    return DecisionContext(
        rules=RULES,
        promotion_id=promotion.id,
        evaluation_id=evaluation.id,
        attempt=evaluation.attempt,
        environment=evaluation.environment,
        ungated=evaluation.ungated,
        release=NamedDigest(name=promotion.release_label, digest=promotion.release_digest),
        plan_digest=evaluation.plan_digest,
        estate_digest=evaluation.estate_digest,
        requested_by=promotion.requested_by,
        reason=promotion.reason,
        requested_at=promotion.requested_at,
        begun_at=evaluation.begun_at,
        decided_at=now,
        notes=evaluation.notes,
        overrides=overrides,
        gates=tuple(gate.reference for gate in judged),
    )


def subjects(promotion: Promotion, release: ReleaseRecord) -> list[Subject]:
    """What the packet is about: the release, and each component's image."""
    images = [Subject(name=component.repository, digest=component.digest) for component in release.release.components]
    return [Subject(name=promotion.release_label, digest=promotion.release_digest), *images]


def _stale(evaluation: Evaluation, release: ReleaseRecord, estate: Estate, now: datetime) -> str | None:
    """Why the stored answers are no longer trusted: facts are observed again right before acting."""
    if (now - evaluation.begun_at).total_seconds() > EVALUATION_AGE_S_MAX:
        return f"the evaluation is older than {EVALUATION_AGE_S_MAX:g} s"
    if release.state is ReleaseState.ARCHIVED:
        return "the release was archived while the gates were asked"
    return None if estate.content_digest() == evaluation.estate_digest else "the estate was changed while the gates were asked"


def _overrides(tx: Transaction, evaluation: Evaluation, promotion: Promotion, estate: Estate, now: datetime) -> tuple[ConfirmedOverride, ...]:
    if evaluation.plan_digest is None:
        return ()
    about = override_rows.about(tx, promotion.environment, promotion.release_digest, evaluation.plan_digest)
    return in_force(about, estate.environment(promotion.environment), now)


def _unsealable(error: PacketTooLarge) -> dict[str, Any]:
    next_step = "Make what its gates name smaller: fewer gates, policies or reports, or a plugin that says less. It is asked again by itself."
    return dict(DecisionUnsealable(f"The decision is too large to be sealed. {error.what}", next_step=next_step).document())


def _judged(tx: Transaction, result: GateResult) -> JudgedGate:
    inputs = GateInputs.model_validate_json(blobs.get(tx, result.inputs_digest))
    return JudgedGate(reference=GateReference(name=result.name, kind=result.kind, inputs=result.inputs_digest), inputs=inputs, verdict=result.verdict)


def _complete(tx: Transaction, evaluation: Evaluation) -> list[GateResult]:
    results = records.results_of(tx, evaluation)
    missing = [name for name in evaluation.gates if name not in {result.name for result in results}]
    if missing:
        raise EvaluationIncomplete(f"Gates of {evaluation.id} were not evaluated: {', '.join(missing)}.", next_step="Evaluate every gate, then decide.")
    return results


def _errors_in_a_row(tx: Transaction, promotion: Promotion) -> int:
    earlier = [outcome for outcome in records.outcomes_of(tx, promotion.id) if outcome not in (None, "superseded", "stale")]
    return next((count for count, outcome in enumerate(earlier) if outcome != "error"), len(earlier))
