"""Which packets are needed whatever their age: those of what runs, of the way back from it, and of what is under way.

The rows that say so belong to rooms above this one, so their tables are named and not imported; a test compares the names. The deployments and
promotions themselves are never purged: what is asked here is only whose packets somebody may still read to go on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa

from stella_pipelines.evidence.streams import RELEASES, environment_of
from stella_pipelines.evidence.tables import evidence_packets, evidence_subjects
from stella_pipelines.store.database import Transaction

DEPLOYMENTS: Final = sa.table("deployments", *map(sa.column, ("id", "environment", "sequence", "state", "release_digest", "promotion_id", "packet_id")))
PROMOTIONS: Final = sa.table("promotions", *map(sa.column, ("id", "environment", "state", "release_digest", "document")))
EVALUATIONS: Final = sa.table("promotion_evaluations", *map(sa.column, ("promotion_id", "document")))
OVERRIDES: Final = sa.table("overrides", sa.column("to_review", sa.Boolean), sa.column("environment"), sa.column("document"))
OBSERVATIONS: Final = sa.table("environment_observations", *map(sa.column, ("environment", "document")))
ENDED: Final = ("deployed", "rejected", "cancelled", "expired", "failed", "rolled_back")
"""The states in which a promotion is over. Any other one, also one that is not known here, is under way."""
PACKET_ID: Final = re.compile(r"evd_[0-9a-z_-]+")
_IDS_A_STATEMENT: Final = 500


def needed_packets(tx: Transaction) -> dict[str, str]:
    """By packet id, what it is needed for."""
    found: dict[str, str] = {}
    releases: dict[str, str] = {}
    for packet_id, release, why in [*_of_deployments(tx), *_of_promotions(tx), *_of_overrides(tx), *_of_looks(tx), *_newest_of_streams(tx)]:
        if packet_id is not None:
            found.setdefault(packet_id, why)
        if release is not None:
            releases.setdefault(release, why)
    for packet_id, release in _release_packets(tx, list(releases)):
        found.setdefault(packet_id, releases[release])
    return found


_Need = tuple[str | None, str | None, str]
"""A packet, a release whose packet is needed, and why."""


def _of_deployments(tx: Transaction) -> Iterator[_Need]:
    table = DEPLOYMENTS.c
    for (environment,) in tx.connection.execute(sa.select(table.environment).distinct()).all():
        mine = sa.select(DEPLOYMENTS).where(table.environment == environment).order_by(table.sequence.desc()).limit(1)
        newest = tx.connection.execute(mine).mappings().first()
        proven = tx.connection.execute(mine.where(table.state == "succeeded")).mappings().first()
        before = None
        if proven is not None:
            earlier = (table.state == "succeeded", table.release_digest != proven["release_digest"], table.sequence < proven["sequence"])
            before = tx.connection.execute(mine.where(*earlier)).mappings().first()
        unfinished = tx.connection.execute(mine.where(table.state == "running").limit(None)).mappings().all()
        for row, why in ((newest, "was deployed last"), (proven, "runs"), (before, "ran before"), *((row, "is being deployed") for row in unfinished)):
            yield from _of_deployment(tx, row, f"{why} in {environment}")


def _of_deployment(tx: Transaction, row: Any, why: str) -> Iterator[_Need]:
    """Its own packet, that of its release, and the decision under which it was deployed."""
    if row is None:
        return
    yield row["packet_id"], row["release_digest"], why
    if row["promotion_id"] is not None:
        document = tx.connection.execute(sa.select(PROMOTIONS.c.document).where(PROMOTIONS.c.id == row["promotion_id"])).scalar()
        yield from ((packet_id, None, why) for packet_id in PACKET_ID.findall(document or ""))


def _of_promotions(tx: Transaction) -> Iterator[_Need]:
    live = sa.select(PROMOTIONS).where(PROMOTIONS.c.state.not_in(ENDED))
    for row in tx.connection.execute(live).mappings().all():
        why = f"is being promoted into {row['environment']}"
        evaluations = tx.connection.execute(sa.select(EVALUATIONS.c.document).where(EVALUATIONS.c.promotion_id == row["id"])).scalars()
        yield None, row["release_digest"], why
        for document in (row["document"], *evaluations):
            yield from ((packet_id, None, why) for packet_id in PACKET_ID.findall(document))


def _of_overrides(tx: Transaction) -> Iterator[_Need]:
    """What was overruled and waits for its review."""
    for row in tx.connection.execute(sa.select(OVERRIDES).where(OVERRIDES.c.to_review)).all():
        yield from ((packet_id, None, f"waits for its review in {row.environment}") for packet_id in PACKET_ID.findall(row.document))


def _of_looks(tx: Transaction) -> Iterator[_Need]:
    """A drift that goes on is told by its packet's id in the last look."""
    for row in tx.connection.execute(sa.select(OBSERVATIONS)).all():
        yield from ((packet_id, None, f"the last look at {row.environment} names it") for packet_id in PACKET_ID.findall(row.document))


def _newest_of_streams(tx: Transaction) -> Iterator[_Need]:
    """What the packets themselves say was done last, whatever the rows say: they could have been lost."""
    packet = evidence_packets.c
    newest = sa.select(packet.stream, sa.func.max(packet.sequence).label("sequence")).where(packet.kind.in_(("deployment", "rollback"))).group_by(packet.stream)
    chosen = newest.subquery()
    same = (packet.stream == chosen.c.stream) & (packet.sequence == chosen.c.sequence)
    for row in tx.connection.execute(sa.select(packet.id, packet.stream).select_from(evidence_packets.join(chosen, same))):
        yield row.id, None, f"was deployed last in {environment_of(row.stream) or row.stream}"


def _release_packets(tx: Transaction, releases: list[str]) -> Iterator[tuple[str, str]]:
    table = evidence_subjects.join(evidence_packets, evidence_packets.c.id == evidence_subjects.c.packet_id)
    for start in range(0, len(releases), _IDS_A_STATEMENT):
        wanted = evidence_subjects.c.digest.in_(releases[start : start + _IDS_A_STATEMENT])
        query = sa.select(evidence_packets.c.id, evidence_subjects.c.digest).select_from(table).where(wanted, evidence_packets.c.stream == RELEASES)
        yield from ((row.id, row.digest) for row in tx.connection.execute(query))
