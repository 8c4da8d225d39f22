"""What is stored about promotions, for whoever wants to look: pages, commands, sensors. Nothing here changes anything.

Every question costs the same number of statements, however long the history is and however many promotions are asked about.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from stella_pipelines.promotions import override_rows, records
from stella_pipelines.promotions.approvals import Approval
from stella_pipelines.promotions.evaluation import GateResult
from stella_pipelines.promotions.explanation import Explanation, explain
from stella_pipelines.promotions.overrides import Override
from stella_pipelines.promotions.promotion import Promotion
from stella_pipelines.store.database import Store, Transaction

Explained = tuple[Explanation, list[GateResult]]
"""Why a promotion is where it is, and the answers that say so."""


class RecordedPromotions:
    """The promotions of the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, promotion_id: str) -> Promotion:
        """The promotion with this id."""
        with self._store.reading() as tx:
            return records.promotion(tx, promotion_id)

    def live(self, environment: str) -> Promotion | None:
        """The promotion that holds an environment."""
        with self._store.reading() as tx:
            return records.live_promotion(tx, environment)

    def all_live(self) -> builtins.list[Promotion]:
        """Every promotion that holds an environment."""
        with self._store.reading() as tx:
            return records.live_promotions(tx)

    def list(self, environment: str | None = None, limit: int = 50) -> builtins.list[Promotion]:
        """Promotions, newest first."""
        with self._store.reading() as tx:
            return records.newest_promotions(tx, environment, limit)

    def page(self, environment: str | None = None, limit: int = 50, before: str | None = None) -> tuple[builtins.list[Promotion], int]:
        """Promotions, newest first, optionally only those older than `before`; and how many older ones follow (`store/pages.py`)."""
        with self._store.reading() as tx:
            return records.page(tx, environment, limit, before)

    def results(self, promotion_id: str) -> builtins.list[GateResult]:
        """The answers of the newest evaluation, in the order of its gates."""
        with self._store.reading() as tx:
            evaluation = records.newest_evaluations(tx, [promotion_id]).get(promotion_id)
            return [] if evaluation is None else records.results_of(tx, evaluation)

    def overrides(self, environment: str | None = None, limit: int = 50, *, to_review: bool = False) -> builtins.list[Override]:
        """Overrides, newest first; optionally only those that left something to review."""
        with self._store.reading() as tx:
            return override_rows.newest(tx, environment, limit, to_review=to_review)

    def approvals(self, promotion_id: str) -> tuple[Approval, ...]:
        """Every approval and rejection, in the order in which they were stored."""
        with self._store.reading() as tx:
            return records.approvals_of(tx, promotion_id)

    def explain(self, promotion_id: str) -> Explanation:
        """Why not, and what would change it."""
        with self._store.reading() as tx:
            return _explained(tx, [records.promotion(tx, promotion_id)])[promotion_id][0]

    def explained(self, asked: Sequence[Promotion]) -> dict[str, Explained]:
        """The same with the gates' answers, by promotion: as many statements for fifty of them as for one."""
        with self._store.reading() as tx:
            return _explained(tx, asked)


def _explained(tx: Transaction, asked: Sequence[Promotion]) -> dict[str, Explained]:
    newest = records.newest_evaluations(tx, [one.id for one in asked])
    answers = records.results_of_each(tx, list(newest.values()))
    found: dict[str, Explained] = {}
    for promotion in asked:
        evaluation = newest.get(promotion.id)
        results, notes = (answers[evaluation.id], evaluation.notes) if evaluation is not None else ([], ())
        found[promotion.id] = explain(promotion, results, notes), results
    return found
