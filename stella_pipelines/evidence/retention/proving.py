"""Whether what is gone was purged: by a sealed packet of a purge whose list names it with its digest, and not just by a row that says so.

`stella audit verify` counts what this confirms as purged; everything else that is missing is a problem, and so is every row that does not hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import groupby
from typing import Any, Final

import sqlalchemy as sa
from pydantic import ValidationError

from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.evidence.log.tables import log_entries
from stella_pipelines.evidence.retention.lists import LIST_INPUT, PurgedPacket, read_list
from stella_pipelines.evidence.retention.tables import evidence_purged
from stella_pipelines.evidence.service import packet_of
from stella_pipelines.evidence.streams import EXPORTS
from stella_pipelines.evidence.tables import evidence_packets
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Transaction

_LISTS_KEPT: Final = 16
_ROWS_A_PAGE: Final = 1_000
_ROW: Final = evidence_purged.c


class ProvenPurges:
    """The `IsPurged` port of `log/contents.py`, and the problems of purges themselves. Reads the list of each purge, and remembers a few."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._lists: dict[str, dict[str, PurgedPacket] | None] = {}

    def __call__(self, tx: Transaction, packet_ids: Collection[str]) -> set[str]:
        """Those that a sealed purge names with the digest and the place that the log has of them."""
        query = _rows().where(_ROW.packet_id.in_(list(packet_ids)))
        return {row["packet_id"] for row in tx.connection.execute(query).mappings() if self._wrong(tx, row) is None}

    def problems(self, tx: Transaction) -> Iterator[str]:
        """Every row that says of a packet that it was purged, and does not hold; each purge is looked at once."""
        after: tuple[str, str] | None = None
        order = (_ROW.purge_packet_id, _ROW.packet_id)
        while True:
            query = _rows().order_by(*order).limit(_ROWS_A_PAGE)
            rows = tx.connection.execute(query if after is None else query.where(sa.tuple_(*order) > sa.tuple_(*after))).mappings().all()
            for _, of_one in groupby(rows, key=lambda row: row["purge_packet_id"]):
                yield from self._of_rows(tx, list(of_one))
            if len(rows) < _ROWS_A_PAGE:
                return
            after = (rows[-1]["purge_packet_id"], rows[-1]["packet_id"])

    def _of_rows(self, tx: Transaction, rows: list[Mapping[Any, Any]]) -> Iterator[str]:
        stored = set(_stored(tx, [row["packet_id"] for row in rows]))
        for row in rows:
            wrong = self._wrong(tx, row)
            if wrong is not None:
                yield f"packet {row['packet_id']} is said to be purged: {wrong}"
            elif row["packet_id"] in stored:
                yield f"packet {row['packet_id']} was purged under {row['purge_packet_id']}, and is stored"

    def _wrong(self, tx: Transaction, row: Mapping[Any, Any]) -> str | None:
        """What does not hold about a row, in words."""
        listed = self._listed(tx, row["purge_packet_id"])
        if listed is None:
            return f"there is no sealed purge {row['purge_packet_id']} with its list"
        one = listed.get(row["packet_id"])
        if one is None:
            return f"the purge {row['purge_packet_id']} does not name it"
        logged = (row["leaf_index"], row["logged"], row["logged_stream"], row["logged_sequence"])
        if (one.index, one.content, one.stream, one.sequence) != logged or row["content"] != one.content:
            return f"the log has another packet than {row['purge_packet_id']} names"
        return None

    def _listed(self, tx: Transaction, purge_packet_id: str) -> dict[str, PurgedPacket] | None:
        if purge_packet_id not in self._lists:
            while len(self._lists) >= _LISTS_KEPT:
                del self._lists[next(iter(self._lists))]
            self._lists[purge_packet_id] = self._read(tx, purge_packet_id)
        return self._lists[purge_packet_id]

    def _read(self, tx: Transaction, purge_packet_id: str) -> dict[str, PurgedPacket] | None:
        query = sa.select(evidence_packets, log_entries.c.leaf_index).where(evidence_packets.c.id == purge_packet_id)
        joined = query.select_from(evidence_packets.outerjoin(log_entries, log_entries.c.entry_id == evidence_packets.c.id))
        row = tx.connection.execute(joined).mappings().first()
        if row is None:
            return None
        try:
            packet = packet_of({column.name: row[column.name] for column in evidence_packets.columns})
            verified = verify_packet(packet.envelope, self._ring, log_index=row["leaf_index"])
            if (verified.kind, verified.seal.stream, verified.seal.packet_id) != ("purge", EXPORTS, purge_packet_id):
                return None
            named = [one.digest for one in verified.statement.inputs if one.name == LIST_INPUT]
            found = read_list(blobs.get(tx, named[0])) if len(named) == 1 else None
        except (StellaError, ValidationError):
            return None
        return None if found is None else {one.id: one for one in found.packets}


def _rows() -> sa.Select[Any]:
    entry = log_entries.c
    columns = (_ROW.packet_id, _ROW.purge_packet_id, _ROW.content, entry.leaf_index, entry.content.label("logged"))
    more = (entry.stream.label("logged_stream"), entry.sequence.label("logged_sequence"))
    return sa.select(*columns, *more).select_from(evidence_purged.outerjoin(log_entries, entry.entry_id == _ROW.packet_id))


def _stored(tx: Transaction, packet_ids: list[str]) -> Iterator[str]:
    for start in range(0, len(packet_ids), 500):
        query = sa.select(evidence_packets.c.id).where(evidence_packets.c.id.in_(packet_ids[start : start + 500]))
        yield from tx.connection.execute(query).scalars()
