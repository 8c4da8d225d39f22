"""Splitting a deployment's targets into shards: who does what, and never what may be done. Pure.

A shard is not a wave, and has no limits of its own. Neighbours by name go into different shards, so that a wave, whose targets are neighbours,
is work for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from stella_pipelines.core.values import Value
from stella_pipelines.deployments.limits import SHARDS_MAX


class Shard(Value):
    """The `number`-th of `count` shards, from 1."""

    number: Annotated[int, Field(ge=1)]
    count: Annotated[int, Field(ge=1, le=SHARDS_MAX)]

    def of(self, targets: Sequence[str]) -> frozenset[str]:
        """The shard's targets, out of all."""
        return frozenset(sorted(targets)[self.number - 1 :: self.count])


def shards_for(targets: int, targets_per_shard: int) -> tuple[Shard, ...]:
    """As many shards as are needed, and at most `SHARDS_MAX`."""
    count = min(max(1, math.ceil(targets / targets_per_shard)), SHARDS_MAX)
    return tuple(Shard(number=number, count=count) for number in range(1, count + 1))
