"""Reading and writing promotions, evaluations, gate results and approvals. SQL only; no rules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from stella_pipelines.core.clock import format_instant
from stella_pipelines.promotions.approvals import Approval
from stella_pipelines.promotions.errors import EvaluationMissing, PromotionMissing
from stella_pipelines.promotions.evaluation import Evaluation, GateResult
from stella_pipelines.promotions.promotion import Promotion
from stella_pipelines.promotions.tables import IS_LIVE, approvals, evaluations, gate_results, promotions
from stella_pipelines.promotions.transitions import PromotionState
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.errors import Conflict
from stella_pipelines.store.pages import read_page
from stella_pipelines.store.upsert import insert


def add_promotion(tx: Transaction, promotion: Promotion) -> None:
    """Store a new promotion. The unique index refuses a second live one; that leaves the transaction as a `Conflict`."""
    tx.connection.execute(sa.insert(promotions).values(promotion_row(promotion)))


def save_promotion(tx: Transaction, promotion: Promotion, before: Promotion) -> None:
    """Compare and swap: written only over the revision that was read."""
    statement = sa.update(promotions).where(promotions.c.id == before.id, promotions.c.revision == before.revision)
    if tx.connection.execute(statement.values(promotion_row(promotion))).rowcount != 1:
        raise Conflict(
            f"Promotion {before.id} was changed by somebody else in the meantime.", next_step="Read it again and repeat the call if it is still wanted."
        )


def promotion(tx: Transaction, promotion_id: str) -> Promotion:
    """The promotion with this id."""
    found = tx.connection.execute(sa.select(promotions.c.document).where(promotions.c.id == promotion_id)).scalar()
    if found is None:
        raise PromotionMissing(f"There is no promotion {promotion_id[:80]!r}.", next_step="'stella status' lists the live ones.")
    return Promotion.model_validate_json(found)


def live_promotion(tx: Transaction, environment: str) -> Promotion | None:
    """The promotion that holds the environment."""
    query = sa.select(promotions.c.document).where(promotions.c.environment == environment, IS_LIVE)
    found = tx.connection.execute(query).scalar()
    return None if found is None else Promotion.model_validate_json(found)


def live_promotions(tx: Transaction) -> list[Promotion]:
    """Every promotion that holds an environment; at most one for each."""
    rows = tx.connection.execute(sa.select(promotions.c.document).where(IS_LIVE).order_by(promotions.c.environment))
    return [Promotion.model_validate_json(document) for (document,) in rows]


def newest_promotions(tx: Transaction, environment: str | None, limit: int) -> list[Promotion]:
    """Promotions, newest first."""
    return [Promotion.model_validate_json(found) for found in tx.connection.execute(_newest_first(environment).limit(limit)).scalars()]


def page(tx: Transaction, environment: str | None, limit: int, before: str | None) -> tuple[list[Promotion], int]:
    """Promotions, newest first, optionally only those older than `before`; and how many older ones follow (`store/pages.py`)."""
    query = _newest_first(environment)
    if before is not None:
        last = promotion(tx, before)
        query = query.where(sa.tuple_(promotions.c.requested_at, promotions.c.id) < sa.tuple_(format_instant(last.requested_at), last.id))
    rows, older = read_page(tx, query, limit)
    return [Promotion.model_validate_json(row["document"]) for row in rows], older


def _newest_first(environment: str | None) -> sa.Select[Any]:
    query = sa.select(promotions.c.document).order_by(promotions.c.requested_at.desc(), promotions.c.id.desc())
    return query if environment is None else query.where(promotions.c.environment == environment)


def due_promotions(tx: Transaction, now: datetime) -> list[str]:
    """Waiting promotions whose time has come, the longest due first."""
    query = sa.select(promotions.c.id).where(promotions.c.state == PromotionState.WAITING, promotions.c.waiting_until <= format_instant(now))
    return list(tx.connection.execute(query.order_by(promotions.c.waiting_until, promotions.c.id)).scalars())


def requested_before(tx: Transaction, moment: datetime, states: Sequence[PromotionState]) -> list[str]:
    """Live promotions in one of the states that were requested at or before a moment. Asked every second, so it reads only those that live."""
    query = sa.select(promotions.c.id).where(IS_LIVE, promotions.c.state.in_(states), promotions.c.requested_at <= format_instant(moment))
    return list(tx.connection.execute(query.order_by(promotions.c.requested_at)).scalars())


def add_evaluation(tx: Transaction, evaluation: Evaluation) -> None:
    """Store a new evaluation; there is one per attempt."""
    tx.connection.execute(sa.insert(evaluations).values(evaluation_row(evaluation)))


def save_evaluation(tx: Transaction, evaluation: Evaluation) -> None:
    """Note an evaluation's outcome. It is set once."""
    statement = sa.update(evaluations).where(evaluations.c.id == evaluation.id, evaluations.c.outcome.is_(None))
    if tx.connection.execute(statement.values(evaluation_row(evaluation))).rowcount != 1:
        raise Conflict(f"Evaluation {evaluation.id} has its outcome already.", next_step="Read the promotion again.")


def evaluation(tx: Transaction, evaluation_id: str) -> Evaluation:
    """The evaluation with this id."""
    found = tx.connection.execute(sa.select(evaluations.c.document).where(evaluations.c.id == evaluation_id)).scalar()
    if found is None:
        raise EvaluationMissing(f"There is no evaluation {evaluation_id[:80]!r}.", next_step="An evaluation begins with its promotion's attempt.")
    return Evaluation.model_validate_json(found)


def evaluation_of(tx: Transaction, promotion_id: str, attempt: int) -> Evaluation | None:
    """The evaluation of one attempt."""
    query = sa.select(evaluations.c.document).where(evaluations.c.promotion_id == promotion_id, evaluations.c.attempt == attempt)
    found = tx.connection.execute(query).scalar()
    return None if found is None else Evaluation.model_validate_json(found)


def newest_evaluations(tx: Transaction, promotion_ids: Sequence[str]) -> dict[str, Evaluation]:
    """By promotion the newest evaluation that was not superseded: one statement, however often each was asked."""
    spoken = evaluations.c.outcome.is_(None) | (evaluations.c.outcome != "superseded")
    mine = evaluations.alias("newest")
    newest = sa.select(sa.func.max(evaluations.c.attempt)).where(evaluations.c.promotion_id == mine.c.promotion_id, spoken).scalar_subquery()
    query = sa.select(mine.c.document).where(mine.c.promotion_id.in_(promotion_ids), mine.c.attempt == newest)
    found = [Evaluation.model_validate_json(document) for document in tx.connection.execute(query).scalars()] if promotion_ids else []
    return {one.promotion_id: one for one in found}


def outcomes_of(tx: Transaction, promotion_id: str) -> list[str | None]:
    """The outcomes of a promotion's evaluations, newest attempt first."""
    query = sa.select(evaluations.c.outcome).where(evaluations.c.promotion_id == promotion_id).order_by(evaluations.c.attempt.desc())
    return list(tx.connection.execute(query).scalars())


def add_result(tx: Transaction, result: GateResult) -> bool:
    """Store a gate's answer. The first one stays; False when there is one."""
    statement = insert(tx, gate_results).values(result_row(result)).on_conflict_do_nothing(index_elements=["evaluation_id", "gate"])
    return tx.connection.execute(statement).rowcount == 1


def results_of(tx: Transaction, evaluation: Evaluation) -> list[GateResult]:
    """The stored answers of an evaluation, in the order of its gates."""
    return results_of_each(tx, [evaluation])[evaluation.id]


def results_of_each(tx: Transaction, asked: Sequence[Evaluation]) -> dict[str, list[GateResult]]:
    """The stored answers of some evaluations, each in the order of its gates, by the evaluation's id."""
    query = sa.select(gate_results.c.document).where(gate_results.c.evaluation_id.in_([one.id for one in asked]))
    found = [GateResult.model_validate_json(document) for document in tx.connection.execute(query).scalars()] if asked else []
    gates = {one.id: one.gates for one in asked}
    in_order = sorted(found, key=lambda result: gates[result.evaluation_id].index(result.name))
    return {one.id: [result for result in in_order if result.evaluation_id == one.id] for one in asked}


def add_approval(tx: Transaction, approval: Approval) -> dict[str, Any]:
    """Store one person's word under the promotion's next number; its row. Of two at the same moment the second is a `Conflict`."""
    given = sa.select(sa.func.coalesce(sa.func.max(approvals.c.number), 0)).where(approvals.c.promotion_id == approval.promotion_id)
    number = int(tx.connection.execute(given).scalar_one()) + 1
    named = {"id": approval.id, "promotion_id": approval.promotion_id, "number": number, "actor": approval.actor.name, "at": format_instant(approval.at)}
    row = {**named, "document": approval.canonical().decode()}
    tx.connection.execute(sa.insert(approvals).values(row))
    return row


def approvals_of(tx: Transaction, promotion_id: str) -> tuple[Approval, ...]:
    """Every approval and rejection of a promotion, in the order in which they were stored, whatever their clocks said."""
    query = sa.select(approvals.c.document).where(approvals.c.promotion_id == promotion_id).order_by(approvals.c.number)
    return tuple(Approval.model_validate_json(document) for document in tx.connection.execute(query).scalars())


def promotion_row(promotion: Promotion) -> dict[str, Any]:
    """The row of a promotion, with all its columns."""
    return {
        "id": promotion.id,
        "environment": promotion.environment,
        "release_digest": promotion.release_digest,
        "state": promotion.state,
        "requested_at": format_instant(promotion.requested_at),
        "waiting_until": None if promotion.waiting_until is None else format_instant(promotion.waiting_until),
        "revision": promotion.revision,
        "document": promotion.canonical().decode(),
    }


def result_row(result: GateResult) -> dict[str, Any]:
    """The row of a gate's answer."""
    return {
        "evaluation_id": result.evaluation_id,
        "gate": result.name,
        "verdict": result.verdict.verdict,
        "inputs_digest": result.inputs_digest,
        "document": result.canonical().decode(),
    }


def evaluation_row(evaluation: Evaluation) -> dict[str, Any]:
    """The row of an evaluation."""
    identity = {"id": evaluation.id, "promotion_id": evaluation.promotion_id, "attempt": evaluation.attempt}
    return {**identity, "outcome": evaluation.outcome, "document": evaluation.canonical().decode()}
