"""Who still names a blob that may leave: one pass over everything in the store that is kept.

Every column of every table counts as naming what stands in it, also one that a later version adds, unless it is listed here with the reason why
it does not. So a new column that holds a blob's digest keeps the blob without anybody thinking of it. A blob that is kept keeps what it names.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import sqlalchemy as sa

from stella_pipelines.evidence.envelope import read_envelope
from stella_pipelines.evidence.retention.candidates import digests_in
from stella_pipelines.evidence.retention.holds import in_force
from stella_pipelines.evidence.retention.lists import LIST_TYPE
from stella_pipelines.evidence.retention.needs import ENDED, PACKET_ID
from stella_pipelines.evidence.retention.scopes import OfDigest, OfEverything, OfRelease
from stella_pipelines.evidence.retention.tables import blobs_leaving, evidence_purged
from stella_pipelines.evidence.tables import evidence_packets
from stella_pipelines.store.database import Transaction
from stella_pipelines.store.tables import blobs

_OWN_WAY: Final = "read here in its own way"
_HASH: Final = "holds hashes of rows, keys or nodes, and needs no bytes behind them"
NAMES_NOTHING: Final[Mapping[str, str]] = {
    "evidence_packets": _OWN_WAY,
    "blobs": _OWN_WAY,
    "promotions": _OWN_WAY,
    "promotion_evaluations": _OWN_WAY,
    "gate_results": _OWN_WAY,
    "approvals": _OWN_WAY,
    "evidence_hold_events": _OWN_WAY,
    "evidence_subjects": "repeats what packets say",
    "evidence_purged": "tells what is gone",
    "blobs_leaving": "the marks themselves",
    "audit_entries": _HASH,
    "log_pending": _HASH,
    "log_entries": _HASH,
    "log_nodes": _HASH,
    "log_checkpoints": _HASH,
    "log_cosignatures": _HASH,
    "evidence_key_events": _HASH,
}
"""Tables whose columns keep no blob by themselves, and why."""
_ENVELOPE: Final = b'{"payload":"'
_ROWS: Final = 500
_PAGE: Final = 1_000


def unneeded(tx: Transaction, marked: Collection[str]) -> set[str]:
    """Those of the marked blobs that nothing names which is kept. A packet that cannot be read raises: it may name anything."""
    free, found = set(marked), list[str]()
    if any(isinstance(hold.scope, OfEverything) for hold in in_force(tx)):
        return set()
    for content in _everything_kept(tx):
        _find(content, free, found)
    while found:  # what is needed after all needs in turn what it names
        inner = tx.connection.execute(sa.select(blobs.c.content).where(blobs.c.digest == f"sha256:{found.pop()}")).scalar_one()
        _find(bytes(inner), free, found)
    return free


def names_in(content: bytes) -> frozenset[str]:
    """Every digest that stands in these bytes, or in the payload if they are an envelope."""
    return digests_in(content) | digests_in(_payload(content))


def _find(content: bytes, free: set[str], found: list[str]) -> None:
    named = free.intersection(names_in(content))
    free -= named
    found += named


def _payload(content: bytes) -> bytes:
    """What stands in an envelope, as far as it can be read; whose signature it is does not matter here."""
    if not content.startswith(_ENVELOPE):
        return b""
    text = content[len(_ENVELOPE) : content.find(b'"', len(_ENVELOPE))]
    return base64.b64decode(text[: len(text) // 4 * 4], validate=False)


def _everything_kept(tx: Transaction) -> Iterator[bytes]:
    for hold in in_force(tx):
        if isinstance(hold.scope, OfDigest | OfRelease):
            yield hold.scope.digest.encode()
    for content in _values(tx, sa.select(evidence_packets.c.envelope)):
        yield read_envelope(content).payload
    yield from _of_promotions(tx)
    for name in sorted(set(sa.inspect(tx.connection).get_table_names()) - set(NAMES_NOTHING)):
        yield from _values(tx, _whole(tx, name).select())
    yield from _kept_blobs(tx)


def _whole(tx: Transaction, name: str) -> sa.TableClause:
    """A table with every column that it has in this database, also those that this version does not know."""
    return sa.table(name, *(sa.column(column["name"]) for column in sa.inspect(tx.connection).get_columns(name)))


def _values(tx: Transaction, query: sa.Select[Any]) -> Iterator[bytes]:
    """Every value of every row as bytes, a few rows at a time."""
    for row in tx.connection.execute(query, execution_options={"yield_per": _ROWS}):
        yield from (_bytes(value) for value in row if value is not None)


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value) if isinstance(value, bytes | memoryview | bytearray) else str(value).encode()


def _kept_blobs(tx: Transaction) -> Iterator[bytes]:
    """The contents of all blobs that bear no mark, one at a time. The lists of purges name what is gone, and keep nothing."""
    stays = (~sa.exists().where(blobs_leaving.c.digest == blobs.c.digest), blobs.c.media_type != LIST_TYPE)
    query = sa.select(blobs.c.digest).where(*stays).order_by(blobs.c.digest).limit(_PAGE)
    after = ""
    while page := list(tx.connection.execute(query.where(blobs.c.digest > after)).scalars()):
        for digest in page:
            yield bytes(tx.connection.execute(sa.select(blobs.c.content).where(blobs.c.digest == digest)).scalar_one())
        after = page[-1]


# A promotion needs what its gates looked at as long as one of its packets is kept, or it is under way. What one without a packet looked at stays.


def _of_promotions(tx: Transaction) -> Iterator[bytes]:
    promotions, evaluations = _whole(tx, "promotions"), _whole(tx, "promotion_evaluations")
    query, after = promotions.select().order_by(promotions.c.id).limit(_ROWS), ""
    while page := tx.connection.execute(query.where(promotions.c.id > after)).all():
        after = page[-1].id
        told = {row.id: [row.document] for row in page}
        for one in tx.connection.execute(evaluations.select().where(evaluations.c.promotion_id.in_(list(told)))):
            told[one.promotion_id].append(one.document)
        packets = {promotion_id: set(PACKET_ID.findall(" ".join(documents))) for promotion_id, documents in told.items()}
        purged = _purged(tx, sorted(set().union(*packets.values())))
        kept = [row.id for row in page if row.state not in ENDED or not packets[row.id] or not packets[row.id] <= purged]
        yield from _values(tx, promotions.select().where(promotions.c.id.in_(kept)))
        yield from _values(tx, evaluations.select().where(evaluations.c.promotion_id.in_(kept)))
        yield from _of_gates(tx, evaluations, kept)


def _of_gates(tx: Transaction, evaluations: sa.TableClause, promotion_ids: list[str]) -> Iterator[bytes]:
    results, approvals = _whole(tx, "gate_results"), _whole(tx, "approvals")
    mine = sa.select(evaluations.c.id).where(evaluations.c.promotion_id.in_(promotion_ids))
    yield from _values(tx, results.select().where(results.c.evaluation_id.in_(mine)))
    yield from _values(tx, approvals.select().where(approvals.c.promotion_id.in_(promotion_ids)))


def _purged(tx: Transaction, packet_ids: list[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(packet_ids), _ROWS):
        mine = evidence_purged.c.packet_id.in_(packet_ids[start : start + _ROWS])
        found |= set(tx.connection.execute(sa.select(evidence_purged.c.packet_id).where(mine)).scalars())
    return found
