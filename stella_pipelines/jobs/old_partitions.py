"""How many releases Dagster shows as partitions: the newest, and every one that is in use. The store keeps all releases and their history.

Every asset of ours has one partition per release, and Dagster's pages grow slower with each of them. A deleted partition comes back when its
release is promoted again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import dagster as dg

from assets.keys import RELEASES

PARTITIONS_MAX: Final = 20_000
"""Partitions that stay. At 50,000 the partitions page takes seconds."""
PARTITIONS_PER_PASS_MAX: Final = 5_000


def published(instance: dg.DagsterInstance) -> Sequence[str]:
    """Every partition that Dagster shows, the oldest first."""
    assert RELEASES.name is not None, "a named definition"
    return instance.get_dynamic_partitions(RELEASES.name)


def superfluous(oldest_first: Sequence[str], in_use: Collection[str], limit: int = PARTITIONS_MAX) -> list[str]:
    """The partitions that go in one pass: the oldest that are not in use, as many as there are too many. Pure."""
    excess = min(max(len(oldest_first) - limit, 0), PARTITIONS_PER_PASS_MAX)
    return [partition for partition in oldest_first if partition not in in_use][:excess]


def delete_partitions(instance: dg.DagsterInstance, partitions: Sequence[str]) -> None:
    """Delete them, one by one: what was interrupted is gone on with by the next pass."""
    assert RELEASES.name is not None, "a named definition"
    for partition in partitions:
        instance.delete_dynamic_partition(RELEASES.name, partition)
