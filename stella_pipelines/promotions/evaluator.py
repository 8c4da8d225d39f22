"""Asking the gates: begin an evaluation, evaluate one gate, decide. Each call is one short transaction and may be repeated after a crash."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.clock import Clock
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.environments.model import Environment, Estate, Gate
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.promotions import records
from stella_pipelines.promotions.archived import why_archived
from stella_pipelines.promotions.deciding import Deciding
from stella_pipelines.promotions.errors import EvaluationMissing, ReleaseNotPromotable, unknown_environment
from stella_pipelines.promotions.evaluation import Evaluation, GateResult
from stella_pipelines.promotions.facts import StoredFacts
from stella_pipelines.promotions.gates.judging import gather, judge
from stella_pipelines.promotions.gates.port import GateContext, GateInputs, kind_of
from stella_pipelines.promotions.gates.registry import gate_kinds, kind_named
from stella_pipelines.promotions.gates_in_force import change_since, gates_in_force
from stella_pipelines.promotions.history import DeploymentHistory
from stella_pipelines.promotions.ports import CurrentEstate, KnownReleases
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from stella_pipelines.promotions.trail import Trail
from stella_pipelines.releases.model import ReleaseRecord
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store, Transaction

INPUTS_TYPE: Final = "application/vnd.stella.gate-inputs.v1+json"
PLAN_TYPE: Final = "application/vnd.stella.plan.v1+json"
ESTATE_TYPE: Final = "application/vnd.stella.estate.v1+json"


class Evaluator:
    """The three steps of a promotion run."""

    def __init__(
        self,
        store: Store,
        environments: CurrentEstate,
        releases: KnownReleases,
        clock: Clock,
        identifiers: Identifiers,
        history: DeploymentHistory,
        deciding: Deciding,
    ) -> None:
        self._store = store
        self._environments = environments
        self._releases = releases
        self._clock = clock
        self._identifiers = identifiers
        self._history = history
        self._deciding = deciding
        self._trail = Trail(identifiers)

    def begin(self, promotion_id: str, attempt: int, plan: Mapping[str, Any] | None, plan_failure: Mapping[str, Any] | None) -> Evaluation:
        """The evaluation of an attempt. Beginning again returns the stored one, with the plan that it began with."""
        now = self._clock.now()
        release = self._release_of(promotion_id)
        with self._store.writing() as tx:
            promotion = records.promotion(tx, promotion_id)
            known = records.evaluation_of(tx, promotion_id, attempt)
            if known is not None:
                return known
            if not 1 <= attempt <= promotion.attempt:
                raise EvaluationMissing(f"Promotion {promotion_id} has no attempt {attempt}.", next_step=f"Its newest attempt is {promotion.attempt}.")
            evaluation = self._new(tx, promotion, release, attempt, plan, plan_failure, now)
            records.add_evaluation(tx, evaluation)
            self._trail.begun(tx, evaluation)
        return evaluation

    def evaluate(self, evaluation_id: str, gate_name: str) -> GateResult:
        """A gate's answer: the stored one, or gathered, stored and judged now."""
        with self._store.reading() as tx:
            evaluation = records.evaluation(tx, evaluation_id)
            known = _stored(tx, evaluation, gate_name)
            promotion = records.promotion(tx, evaluation.promotion_id)
        if known is not None:
            return known
        if gate_name not in evaluation.gates:
            asked = ", ".join(evaluation.gates) or "none"
            raise EvaluationMissing(f"Evaluation {evaluation_id} has no gate {gate_name[:80]!r}.", next_step=f"Its gates: {asked}.")
        inputs, result = self._judge(evaluation, promotion, gate_name, self._releases.by_digest(promotion.release_digest))
        with self._store.writing() as tx:
            blobs.put(tx, inputs.canonical(), INPUTS_TYPE, result.judged_at)
            if records.add_result(tx, result):
                self._trail.judged(tx, evaluation, result)
            return _stored(tx, evaluation, gate_name) or result  # another process may have been first; its answer stays

    def decide(self, evaluation_id: str) -> tuple[Promotion, SealedPacket | None]:
        """What the gates say together, recorded; an allow or a deny is sealed in the same transaction."""
        with self._store.reading() as tx:
            promotion_id = records.evaluation(tx, evaluation_id).promotion_id
        release = self._release_of(promotion_id)
        with self._store.writing() as tx:
            return self._deciding.decide(tx, evaluation_id, release, self._clock.now())

    def _release_of(self, promotion_id: str) -> ReleaseRecord:
        with self._store.reading() as tx:
            promotion = records.promotion(tx, promotion_id)
        return self._releases.by_digest(promotion.release_digest)

    def _new(
        self,
        tx: Transaction,
        promotion: Promotion,
        release: ReleaseRecord,
        attempt: int,
        plan: Mapping[str, Any] | None,
        plan_failure: Mapping[str, Any] | None,
        now: datetime,
    ) -> Evaluation:
        estate, revision = self._environments.current(tx)
        environment = estate.environment(promotion.environment)
        current = promotion.state is PromotionState.EVALUATING and attempt == promotion.attempt
        return Evaluation(
            id=self._identifiers.new("evl", now),
            promotion_id=promotion.id,
            attempt=attempt,
            environment=promotion.environment,
            gates=tuple(gate.name for gate in _gates(environment)) if current else (),
            ungated=environment is not None and environment.gates == "none",
            plan_digest=None if plan is None else blobs.put(tx, canonical_json(plan), PLAN_TYPE, now),
            plan_failure=_archived(tx, promotion, release) or _failure(promotion.environment, environment, plan, plan_failure),
            estate_digest=blobs.put(tx, estate.canonical(), ESTATE_TYPE, now),
            notes=_notes(promotion, estate, revision, environment),
            begun_at=now,
            outcome=None if current else "superseded",
        )

    def _judge(self, evaluation: Evaluation, promotion: Promotion, gate_name: str, release: ReleaseRecord) -> tuple[GateInputs, GateResult]:
        now = self._clock.now()
        with self._store.reading() as tx:
            estate = Estate.model_validate_json(blobs.get(tx, evaluation.estate_digest))
            environment = _declared(estate, evaluation.environment)
            gate = next(gate for gate in _gates(environment) if gate.name == gate_name)
            kind = kind_named(gate_kinds(), kind_of(gate))
            facts = StoredFacts(tx, promotion, self._history, self._releases)
            plan = _plan(tx, evaluation.plan_digest)
            inputs = gather(kind, gate, GateContext(release, environment, estate, promotion, plan, evaluation.plan_digest, now, facts))
        verdict = judge(kind, inputs)
        digest = inputs.content_digest()
        return inputs, GateResult(evaluation_id=evaluation.id, name=gate.name, kind=inputs.kind, inputs_digest=digest, verdict=verdict, judged_at=now)


def _stored(tx: Transaction, evaluation: Evaluation, gate_name: str) -> GateResult | None:
    return next((result for result in records.results_of(tx, evaluation) if result.name == gate_name), None)


def _gates(environment: Environment | None) -> tuple[Gate, ...]:
    return () if environment is None or environment.gates == "none" else environment.gates


def _declared(estate: Estate, name: str) -> Environment:
    environment = estate.environment(name)
    if environment is None:
        raise unknown_environment(name)
    return environment


def _notes(promotion: Promotion, estate: Estate, revision: int, environment: Environment | None) -> tuple[str, ...]:
    changed = environment and change_since(promotion.requested_under, gates_in_force(estate, revision, environment))
    return (changed,) if changed else ()


def _plan(tx: Transaction, digest: Digest | None) -> dict[str, Any] | None:
    return None if digest is None else dict(json.loads(blobs.get(tx, digest)))


def _archived(tx: Transaction, promotion: Promotion, release: ReleaseRecord) -> dict[str, Any] | None:
    why = why_archived(tx, release)
    if why is None:
        return None
    next_step = f"It stays archived: withdraw this promotion with 'stella cancel {promotion.id}', and promote another release."
    return dict(ReleaseNotPromotable(why, next_step=next_step).document())


def _failure(name: str, environment: Environment | None, plan: Mapping[str, Any] | None, plan_failure: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if environment is None:
        return dict(unknown_environment(name).document())
    if plan_failure is not None:
        return dict(plan_failure)
    if plan is None:
        return {"code": "PROM_PLAN_UNKNOWN", "what": "No plan was made.", "next_step": "It is asked again by itself."}
    return None
