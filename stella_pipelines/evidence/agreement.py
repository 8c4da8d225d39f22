"""Whether the stored rows are those that the trail tells of: an edited, added or removed row is named. Reads only, a page at a time.

The newest entry of a row has the digest of the row as it must stand now, and each entry begins where the one before ended. That the entries
themselves were not edited is proven by the log (`stella audit verify`); the two together leave nowhere to change anything unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa

import stella_pipelines.evidence.imports.tables  # noqa: F401  # one of the audited tables, which nothing else here uses
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.audited import Audited, row_digest
from stella_pipelines.evidence.every_table import AUDITED
from stella_pipelines.evidence.tables import audit_entries
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.metadata import metadata

PAGE_ROWS: Final = 250
"""Rows that are compared at once, and held in memory. SQLite takes as many parameters in one statement, for every column of a key."""
_ENTRIES: Final = audit_entries.c
Row = Mapping[str, Any]
Progress = Callable[[int], None]


class Problem(Value):
    """One row, or one entry, that does not agree."""

    table: str
    subject: str
    what: str


def stored_rows_agree(tx: Transaction, progress: Progress = lambda _: None) -> Iterator[Problem]:
    """Every disagreement between the audited rows and the trail. `progress` is told how many rows were compared so far.

    The caller's transaction is one snapshot: what is written meanwhile is not seen.
    """
    compared = 0
    for table, kind in AUDITED.items():
        for rows in _pages(tx.connection.execute(_with_subject_columns(table, kind).execution_options(yield_per=PAGE_ROWS)).mappings()):
            yield from _rows_without_their_entry(tx, table, kind, rows)
            compared += len(rows)
            progress(compared)
    yield from _entries_without_their_row(tx)
    yield from _broken_chains(tx)


def audited_rows(tx: Transaction) -> int:
    """How many rows there are to compare."""
    return sum(int(tx.connection.execute(sa.select(sa.func.count()).select_from(metadata.tables[table])).scalar_one()) for table in AUDITED)


# ---------------------------------------------------------------- rows and their entries


def _rows_without_their_entry(tx: Transaction, table: str, kind: Audited, rows: Sequence[Row]) -> Iterator[Problem]:
    own = metadata.tables[table].columns.keys()
    digests = {kind.subject_of(row): row_digest({name: row[name] for name in own}) for row in rows}
    newest = _newest(tx, list(digests))
    for subject, digest in digests.items():
        if subject not in newest:
            yield Problem(table=table, subject=subject, what="the row has no audit entry")
        elif newest[subject] is None:
            yield Problem(table=table, subject=subject, what="the row is there, and its newest audit entry says that it was removed")
        elif newest[subject] != digest:
            what = f"the row was changed after its newest audit entry: it is {digest}, the entry says {newest[subject]}"
            yield Problem(table=table, subject=subject, what=what)


def _newest(tx: Transaction, subjects: Sequence[str]) -> dict[str, str | None]:
    """By subject, the `after` of its newest entry."""
    last = sa.select(sa.func.max(_ENTRIES.position)).where(_ENTRIES.subject.in_(subjects)).group_by(_ENTRIES.subject)
    query = sa.select(_ENTRIES.subject, _ENTRIES.after).where(_ENTRIES.position.in_(last))
    return {row.subject: row.after for row in tx.connection.execute(query)}


def _with_subject_columns(table: str, kind: Audited) -> sa.Select[Any]:
    """Our rows in the order of their keys, with the columns of another table that their subjects need."""
    ours = metadata.tables[table]
    if kind.through is None:
        return sa.select(ours).order_by(*ours.primary_key.columns)
    other = metadata.tables[kind.through[0]]
    more = [other.c[name] for name in kind.fields if name not in ours.c]
    return sa.select(ours, *more).join_from(ours, other, other.c[kind.through[1]] == ours.c[kind.through[2]]).order_by(*ours.primary_key.columns)


# ---------------------------------------------------------------- entries and their rows


def _entries_without_their_row(tx: Transaction) -> Iterator[Problem]:
    """Rows that were removed, which nobody entered."""
    last = sa.select(sa.func.max(_ENTRIES.position).label("position")).group_by(_ENTRIES.subject).subquery()
    alive = sa.select(_ENTRIES.subject).join(last, last.c.position == _ENTRIES.position).where(_ENTRIES.after.is_not(None))
    for subjects in _pages(tx.connection.execute(alive.execution_options(yield_per=PAGE_ROWS)).scalars()):
        for table, kind in AUDITED.items():
            named = {subject: fields for subject in subjects if (fields := kind.fields_of(subject)) is not None}
            for subject in _missing(tx, table, kind, named):
                yield Problem(table=table, subject=subject, what="the row is gone, and no audit entry says so")


def _missing(tx: Transaction, table: str, kind: Audited, named: Mapping[str, Mapping[str, str]]) -> list[str]:
    if not named:
        return []
    query = _with_subject_columns(table, kind).order_by(None)
    columns = [query.selected_columns[name] for name in kind.fields]
    keys = [tuple(_typed(column, fields[name]) for column, name in zip(columns, kind.fields, strict=True)) for fields in named.values()]
    there = query.with_only_columns(*columns, maintain_column_froms=True).where(sa.tuple_(*columns).in_(keys))
    found = {kind.subject_of(dict(row)) for row in tx.connection.execute(there).mappings()}
    return [subject for subject in named if subject not in found]


def _typed(column: sa.ColumnElement[Any], text: str) -> str | int:
    """A subject's part as its column has it. What is no number there names no row."""
    if not isinstance(column.type, sa.Integer):
        return text
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1


def _broken_chains(tx: Transaction) -> Iterator[Problem]:
    """Entries that do not begin where the one before ended: something was changed in between, and changed again."""
    before = sa.func.lag(_ENTRIES.after).over(partition_by=_ENTRIES.subject, order_by=_ENTRIES.position)
    chain = sa.select(_ENTRIES.id, _ENTRIES.subject, _ENTRIES.before, before.label("ended")).subquery()
    broken = sa.select(chain).where(chain.c.before.is_distinct_from(chain.c.ended)).execution_options(yield_per=PAGE_ROWS)
    for row in tx.connection.execute(broken):
        table = next((name for name, kind in AUDITED.items() if kind.fields_of(row.subject) is not None), None)
        if table is not None:
            yield Problem(table=table, subject=row.subject, what=f"before the entry {row.id}, the row was changed without one")


def _pages(found: Any) -> Iterator[list[Any]]:
    while page := list(islice(found, PAGE_ROWS)):
        yield page
