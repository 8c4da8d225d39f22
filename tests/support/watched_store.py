"""Watches every writing transaction: all tables before and after, and which changed row has no audit entry, or one that does not tell the truth.

`watching()` is the watch, for whatever opens a store meanwhile in this process. It sees a transaction right before its commit; what is rolled back
is not looked at. Whoever writes to the database at the same moment from elsewhere is seen as part of the transaction, so one process writes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.audited import Audited, Machinery, row_digest
from stella_pipelines.evidence.every_table import EVERY_TABLE
from stella_pipelines.store.database import Store, Transaction
from tests.support.every_metadata import EVERY_METADATA

Row = Mapping[str, Any]
Rows = dict[tuple[Any, ...], Row]
Snapshot = dict[str, Rows]
_WATCH_LOCK = 0x57E11AAD


@dataclass
class Watch:
    """What was seen."""

    problems: list[str] = field(default_factory=list)
    tables: set[str] = field(default_factory=set)
    """Tables of which a row was changed."""
    entries: list[Row] = field(default_factory=list)

    @property
    def actions(self) -> set[str]:
        """What was done, as the entries say it."""
        return {entry["action"] for entry in self.entries}


@contextmanager
def watching(kinds: Mapping[str, object] = EVERY_TABLE) -> Iterator[Watch]:
    """Watch every store of this process for the block."""
    watch, plain = Watch(), Store.writing

    @contextmanager
    def writing(store: Store) -> Iterator[Transaction]:
        with plain(store) as tx:
            _wait_for_others(tx)
            before = snapshot(tx)
            yield tx
            compare(before, snapshot(tx), watch, kinds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "writing", writing)
        yield watch


def _wait_for_others(tx: Transaction) -> None:
    """On PostgreSQL, too, one watched transaction comes after the other: else the commits of one are seen in the middle of another."""
    if tx.connection.dialect.name == "postgresql":
        tx.connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WATCH_LOCK)))


def snapshot(tx: Transaction) -> Snapshot:
    """Every row of every table, by table and primary key."""
    return {table.name: {_key(table, row): dict(row) for row in tx.connection.execute(sa.select(table)).mappings()} for table in EVERY_METADATA.sorted_tables}


def _key(table: sa.Table, row: Mapping[Any, Any]) -> tuple[Any, ...]:
    return tuple(row[column.name] for column in table.primary_key.columns)


def compare(before: Snapshot, after: Snapshot, watch: Watch, kinds: Mapping[str, object] = EVERY_TABLE) -> None:
    """Note into the watch what one transaction did, and what is wrong with it."""
    entries = [row for key, row in sorted(after["audit_entries"].items()) if key not in before["audit_entries"]]
    watch.entries += entries
    entered: dict[str, list[Row]] = {}
    for entry in entries:
        entered.setdefault(entry["subject"], []).append(entry)
    for table in after:
        changed = {key for key in before[table].keys() | after[table].keys() if before[table].get(key) != after[table].get(key)}
        if changed:
            watch.tables.add(table)
            watch.problems += _problems(table, changed, before, after, entered, kinds.get(table))
    watch.problems += _untrue(before, after, entered)


def _problems(table: str, changed: set[tuple[Any, ...]], before: Snapshot, after: Snapshot, entered: Mapping[str, list[Row]], kind: object) -> Iterator[str]:
    if kind is None:
        yield f"{table} is not classified"
        return
    for key in sorted(changed, key=str):
        old, new = before[table].get(key), after[table].get(key)
        if isinstance(kind, Audited):
            yield from _unentered(f"{table} {key}", entered.get(_subject(kind, old or new or {}, before, after), []), old, new)
        else:
            assert isinstance(kind, Machinery) or hasattr(kind, "sealed_by")
            verb = "UPDATE" if old and new else "DELETE" if old else None
            if verb and verb not in kind.rights:  # type: ignore[attr-defined]
                yield f"{table} {key} was changed although nobody may: {verb}"


def _unentered(row: str, entries: list[Row], old: Row | None, new: Row | None) -> Iterator[str]:
    """What is wrong with the entries of one changed row. They are a chain from what it was to what it is."""
    if not entries:
        yield f"{row} was changed without an audit entry"
        return
    was = _digest(old)
    for entry in entries:
        if entry["before"] != was:
            yield f"{row}: the entry {entry['action']} has another hash before than the row had"
        was = entry["after"]
    if was != _digest(new):
        yield f"{row}: the entry {entries[-1]['action']} has another hash after than the row has"


def _untrue(before: Snapshot, after: Snapshot, entered: Mapping[str, list[Row]]) -> Iterator[str]:
    """Entries that tell of a change of a row that did not change."""
    subjects = {
        _subject(kind, row, before, after): row
        for table, kind in EVERY_TABLE.items()
        if isinstance(kind, Audited) and table in after
        for key, row in after[table].items()
        if before[table].get(key) == row
    }
    for subject, entries in entered.items():
        if subject in subjects and any(entry[side] != _digest(subjects[subject]) for entry in entries for side in ("before", "after")):
            yield f"{subject} did not change, but the entry {entries[0]['action']} says so"


def _subject(kind: Audited, row: Row, before: Snapshot, after: Snapshot) -> str:
    if kind.through is None:
        return kind.subject_of(row)
    table, theirs, ours = kind.through
    (found,) = [one for one in {**before[table], **after[table]}.values() if one[theirs] == row[ours]]
    return kind.subject_of({**found, **row})


def _digest(row: Row | None) -> Digest | None:
    return None if row is None else row_digest(row)
