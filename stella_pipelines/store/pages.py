"""One page of a long list: the newest rows, and how many older ones there are, without counting all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from stella_pipelines.store.database import Transaction

COUNTED_MAX: Final = 1_000
"""How many of the rows behind a page are counted. To count a hundred thousand would cost more than to show the page, and says no more."""


def read_page(tx: Transaction, query: sa.Select[Any], limit: int) -> tuple[Sequence[sa.RowMapping], int]:
    """The first `limit` rows of an ordered query, and how many follow them: `COUNTED_MAX + 1` stands for all numbers above `COUNTED_MAX`."""
    rows = tx.connection.execute(query.limit(limit)).mappings().all()
    if len(rows) < limit:
        return rows, 0
    counted = query.with_only_columns(sa.literal(1).label("one"), maintain_column_froms=True).order_by(None).limit(limit + COUNTED_MAX + 1).subquery()
    return rows, int(tx.connection.execute(sa.select(sa.func.count()).select_from(counted)).scalar_one()) - limit
