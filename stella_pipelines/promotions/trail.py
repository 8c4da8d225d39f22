"""The audit entries of the promotions room: one for each row that is written, in the same transaction, with the row's digest before and after.

What is entered for which row stands here; who writes the rows, and when, does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from stella_pipelines.core.actor import SYSTEM, Actor
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.audited import row_digest
from stella_pipelines.promotions import records
from stella_pipelines.promotions.approvals import Approval
from stella_pipelines.promotions.evaluation import Evaluation, GateResult
from stella_pipelines.promotions.override_rows import override_row
from stella_pipelines.promotions.overrides import Override
from stella_pipelines.promotions.promotion import Promotion
from stella_pipelines.store.database import Transaction

Row = Mapping[str, Any]


class Trail:
    """Writes them."""

    def __init__(self, identifiers: Identifiers) -> None:
        self._identifiers = identifiers

    def promotion(self, tx: Transaction, actor: Actor, action: str, after: Promotion, now: datetime, reason: str | None, *, before: Promotion | None) -> None:
        """What became of a promotion. One that was only tried has the same digest before and after."""
        old = None if before is None else records.promotion_row(before)
        self._enter(tx, actor, action, after.id, after.environment, now, before=old, after=records.promotion_row(after), reason=reason)

    def word(self, tx: Transaction, approval: Approval, environment: str, row: Row) -> None:
        """A person's word on a promotion."""
        subject = f"{approval.promotion_id}/approval/{row['number']}"
        self._enter(tx, approval.actor, f"approval.{approval.verdict}", subject, environment, approval.at, after=row, reason=approval.reason or None)

    def override(self, tx: Transaction, actor: Actor, action: str, after: Override, now: datetime, reason: str, *, before: Override | None) -> None:
        """What became of an override."""
        old = None if before is None else override_row(before)
        self._enter(tx, actor, action, after.id, after.overruled.environment, now, before=old, after=override_row(after), reason=reason)

    def begun(self, tx: Transaction, evaluation: Evaluation) -> None:
        """An evaluation that begins."""
        after = records.evaluation_row(evaluation)
        self._enter(tx, SYSTEM, "evaluation.begin", _evaluation(evaluation), evaluation.environment, evaluation.begun_at, after=after)

    def closed(self, tx: Transaction, before: Evaluation, after: Evaluation, now: datetime) -> None:
        """An evaluation that has its outcome."""
        old, new = records.evaluation_row(before), records.evaluation_row(after)
        self._enter(tx, SYSTEM, f"evaluation.{after.outcome}", _evaluation(after), after.environment, now, before=old, after=new)

    def judged(self, tx: Transaction, evaluation: Evaluation, result: GateResult) -> None:
        """A gate's answer."""
        subject, after = f"{_evaluation(evaluation)}/gate/{result.name}", records.result_row(result)
        self._enter(tx, SYSTEM, f"gate.{result.verdict.verdict}", subject, evaluation.environment, result.judged_at, after=after)

    def _enter(
        self,
        tx: Transaction,
        actor: Actor,
        action: str,
        subject: str,
        environment: str,
        now: datetime,
        *,
        after: Row,
        before: Row | None = None,
        reason: str | None = None,
    ) -> None:
        audit.record(
            tx,
            entry_id=self._identifiers.new("aud", now),
            at=now,
            actor=actor,
            action=action,
            subject=subject,
            environment=environment,
            before=None if before is None else row_digest(before),
            after=row_digest(after),
            reason=reason,
        )


def _evaluation(evaluation: Evaluation) -> str:
    return f"{evaluation.promotion_id}/evaluation/{evaluation.attempt}"
