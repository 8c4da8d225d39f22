"""A deployment carried out in shards, in one simulated thread: workers that begin late, die, and are replaced, as a queue of steps has them."""

from __future__ import annotations

import asyncio
import itertools
import random
import zlib
from collections.abc import Callable
from typing import Any

from stella_pipelines.deployments.model import DeploymentRecord
from stella_pipelines.deployments.service import Deployments
from stella_pipelines.deployments.shards import Shard, shards_for
from tests.simulation.faults import Killed, MortalStore, Points
from tests.simulation.installation import CountedIdentifiers, Installation
from tests.simulation.timeline import simulate

START_S = (0.5, 6.0)
"""A worker takes about so long to begin with a step."""
RESTART_S = (1.0, 60.0)
"""And about so long until the step of a dead one is given to another one."""


class Worker:
    """One process that carries a shard out, and that may die without the others."""

    def __init__(self, installation: Installation, name: str, die_at: int | None) -> None:
        self.name = name
        self.points = Points(die_at)
        store: Any = MortalStore(installation.database, self.points)
        rooms = (installation.evidence, installation.environments, installation.releases, installation.promotions)
        world = installation.world
        identifiers = CountedIdentifiers(zlib.crc32(name.encode()))
        self.deployments = Deployments(store, *rooms, lambda target: world.connector(target, self.points), installation.clock, identifiers)


class ShardedRun:
    """One run of the job: open, every shard on one of `slots` workers, close. `lives` says at which point the n-th worker dies, or never."""

    def __init__(self, installation: Installation, holder: str, *, shards: int, slots: int, dice: random.Random, lives: Callable[[int], int | None]) -> None:
        self.installation = installation
        self.holder = holder
        self.shards = shards
        self.deaths = 0
        self._slots = asyncio.Semaphore(slots)
        self._dice = dice
        self._lives = lives
        self._numbers = itertools.count(1)

    def carried_out(self, promotion_id: str) -> DeploymentRecord:
        return simulate(self.installation.clock, self.work(promotion_id))

    async def work(self, promotion_id: str) -> DeploymentRecord:
        deployments = self.installation.deployments
        record = await deployments.begin(promotion_id, self.holder, gone=self._gone)
        if not record.ended:
            targets = len(deployments.ledger(record.id))
            shards = shards_for(targets, max(1, -(-targets // self.shards)))
            await asyncio.gather(*(self.carry(promotion_id, shard) for shard in shards))
        return await deployments.run(promotion_id, self.holder, gone=lambda holder: self._gone(holder) or holder.startswith(f"{self.holder}/"))

    async def carry(self, promotion_id: str, shard: Shard) -> None:
        """One step, until a worker has done it."""
        while True:
            async with self._slots:
                await asyncio.sleep(self._dice.uniform(*START_S))
                number = next(self._numbers)
                worker = Worker(self.installation, f"{self.holder}/{number}", self._lives(number))
                try:
                    return await worker.deployments.roll_out_shard(promotion_id, shard, self.holder, worker.name, gone=self._gone)
                except Killed:
                    self.deaths += 1
            await asyncio.sleep(self._dice.uniform(*RESTART_S))

    def _gone(self, holder: str) -> bool:
        """What Dagster knows: which runs have ended. That a worker of a run that goes on is dead, nobody knows."""
        return holder.split("/", maxsplit=1)[0] in {dead.split("/")[0] for dead in self.installation.dead}
