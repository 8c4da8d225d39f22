"""The fence of a Docker target: the highest token that ever acted there, kept by the engine itself in the name of an empty volume.

A label on a container says under which token the container was made, and can never be changed: somebody who only stops, starts or removes
would leave no trace of his token. A volume can be made by everybody who acts, needs no image, and stays when every container is gone. It is
made before the first change under a token and read again before each one, so a holder that was paused and wakes up late is stopped at its
next request. The engine has no compare-and-set: that one request is the window, and the lease in the store covers it.

Whoever prunes the engine's volumes removes the fence with them; then the labels of the containers still say something.
"""

from __future__ import annotations

from collections.abc import Iterable

from stella_pipelines.connectors.docker import labels
from stella_pipelines.connectors.docker.engine import Engine
from stella_pipelines.connectors.docker.instance import Instance
from stella_pipelines.connectors.port import Effect, StaleFence


class Fence:
    """The right to change one target under one effect's token."""

    def __init__(self, engine: Engine, target: str, effect: Effect) -> None:
        self.engine = engine
        self._target = target
        self._effect = effect

    async def raised(self) -> list[Instance]:
        """All instances on the target, once the target remembers this token. `StaleFence` when it remembers a higher one."""
        instances = await self.engine.instances()
        kept = await self.engine.fences()
        self._refuse_newer(highest(instances, kept.values()))
        if max(kept.values(), default=0) < self._effect.fence:
            await self.engine.put_fence(labels.fence_name(self._target, self._effect.fence), labels.fence_labels(self._target, self._effect))
            for name, token in (await self._held()).items():
                if token < self._effect.fence:
                    await self.engine.remove_fence(name)
        return instances

    async def held(self) -> Engine:
        """The engine for one change, after a look at the fence. `StaleFence` when a newer holder has come."""
        await self._held()
        return self.engine

    async def _held(self) -> dict[str, int]:
        kept = await self.engine.fences()
        self._refuse_newer(max(kept.values(), default=0))
        return kept

    def _refuse_newer(self, newest: int) -> None:
        if newest > self._effect.fence:
            raise StaleFence(
                f"Target {self._target} was changed under fence {newest}; this call acts under the older fence {self._effect.fence}.",
                unchanged="This call changed nothing more.",
                next_step="Stop this run: another one holds the target's lease now.",
            )


def highest(instances: Iterable[Instance], kept: Iterable[int]) -> int:
    """The highest token that the target's containers and its fence show. Pure."""
    return max([*(one.fence for one in instances), *kept], default=0)
