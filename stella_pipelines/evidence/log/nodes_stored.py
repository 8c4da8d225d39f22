"""Whether the nodes of the tree that are kept for proofs are those that the entries give. A wrong one proves nothing false; it spoils proofs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from stella_pipelines.evidence.log.tables import log_nodes
from stella_pipelines.evidence.log.tree import LEVELS_PER_TILE, Node
from stella_pipelines.store.database import Transaction


def wrong_nodes(tx: Transaction, nodes: Sequence[Node]) -> Iterator[str]:
    """Of these nodes, which the entries completed, those that are stored otherwise or not at all."""
    for node in nodes:
        query = sa.select(log_nodes.c.hash).where(log_nodes.c.level == node.level, log_nodes.c.node_index == node.index)
        stored = tx.connection.execute(query).scalar()
        if stored is None or bytes(stored) != node.hash:
            yield f"the tree's node {node.index} of level {node.level} is not stored as the entries give it, so proofs that need it fail"


def nodes_behind(tx: Transaction, end: int, limit: int) -> Iterator[str]:
    """Stored nodes that no tree of `end` leaves has. They stop the log when it comes to their place."""
    column, levels = log_nodes.c, range(LEVELS_PER_TILE, end.bit_length(), LEVELS_PER_TILE)
    has = sa.or_(sa.false(), *((column.level == level) & (column.node_index >= 0) & (column.node_index < end >> level) for level in levels))
    for row in tx.connection.execute(sa.select(column.level, column.node_index).where(~has).limit(limit)):
        yield f"the tree's node {row.node_index} of level {row.level} is stored, and a log of {end} entries has none there"
