"""Simulated targets: `connectors/port.py` in memory. The world knows the truth, and keeps count of every effect, for the tests to compare.

An effect takes simulated time in two halves, so that other tasks run in its middle and limits on what is in flight can be broken, if they can.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from stella_pipelines.connectors.port import (
    ComponentSpec,
    ConnectorError,
    Effect,
    Health,
    ImageUnavailable,
    KeptInstanceMissing,
    Observation,
    Probe,
    RunningComponent,
    StaleFence,
    StartFailed,
    TargetSpec,
)
from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.environments.model import Target
from tests.simulation.faults import Fault, Points, no_faults
from tests.simulation.timeline import SimulatedClock


@dataclass
class Instance:
    """One container, running or kept."""

    spec: ComponentSpec
    deployment_id: str
    release_digest: Digest
    sticker: bytes
    running: bool = True


@dataclass
class SimulatedTarget:
    """One machine."""

    name: str
    platform: str = "linux/amd64"
    disk_free_bytes: int | None = None
    images: set[Digest] = field(default_factory=set)
    instances: dict[tuple[str, str], Instance] = field(default_factory=dict)
    fence: int = 0

    def running(self, component: str) -> Instance | None:
        return next((found for (name, _), found in self.instances.items() if name == component and found.running), None)


@dataclass
class Touch:
    """An effect on a target, as it began."""

    target: str
    operation: str
    deployment_id: str
    prepared: frozenset[str]


class World:
    """All targets, the images that are bad, and everything that was done."""

    def __init__(self, clock: SimulatedClock, platform: str = "linux/amd64") -> None:
        self.clock = clock
        self.platform = platform
        self.points = Points()
        self.fault: Fault = no_faults
        self.unhealthy: set[Digest] = set()
        self.crashing: set[Digest] = set()
        self.targets: dict[str, SimulatedTarget] = {}
        self.creations: Counter[tuple[str, str, str]] = Counter()
        self.touches: list[Touch] = []
        self.prepared: dict[str, set[str]] = {}
        self.changing: set[str] = set()
        self.changing_most = 0
        self.stale_effects = 0
        self.look_s = 0.01

    def target(self, name: str) -> SimulatedTarget:
        return self.targets.setdefault(name, SimulatedTarget(name, self.platform))

    def connector(self, target: Target, points: Points | None = None) -> SimulatedConnector:
        """A connection of the process that dies at `points`; by default, of the one process that there is."""
        return SimulatedConnector(self, self.target(target.name), points)

    def runs(self) -> dict[str, dict[str, tuple[Digest, str]]]:
        """The truth: by target and component, the platform digest and the deployment that started it."""
        found: dict[str, dict[str, tuple[Digest, str]]] = {}
        for name, target in sorted(self.targets.items()):
            running = [instance for instance in target.instances.values() if instance.running]
            found[name] = {instance.spec.name: (instance.spec.platform_digest, instance.deployment_id) for instance in running}
        return found


class SimulatedConnector:
    """One connection. Each effect has points before and after it at which the process may die."""

    def __init__(self, world: World, target: SimulatedTarget, points: Points | None = None) -> None:
        self._world = world
        self._target = target
        self._own_points = points

    @property
    def points(self) -> Points:
        return self._own_points or self._world.points

    async def __aenter__(self) -> SimulatedConnector:
        self._fail("connect", "before")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        return None

    # ------------------------------------------------------------ looks

    async def probe(self) -> Probe:
        await self._look("probe")
        return Probe(platform=self._target.platform, engine="simulated", disk_free_bytes=self._target.disk_free_bytes)

    async def observe(self, now: Instant) -> Observation:
        await self._look("observe")
        running = tuple(self._shown(instance) for instance in self._target.instances.values() if instance.running)
        return Observation(target=self._target.name, observed_at=now, components=running, fence=self._target.fence)

    async def has_image(self, platform_digest: Digest, repository: str) -> bool:
        await self._look("has_image")
        return platform_digest in self._target.images

    async def health(self, component: ComponentSpec, now: Instant) -> Health:
        await self._look("health")
        found = self._target.running(component.name)
        return Health.UNKNOWN if found is None else self._health(found)

    async def read_sticker(self) -> bytes | None:
        await self._look("read_sticker")
        running = [instance for instance in self._target.instances.values() if instance.running]
        return running[0].sticker if running else None

    async def logs(self, component: str, bytes_max: int) -> bytes:
        await self._look("logs")
        return f"{component} on {self._target.name} says what is wrong".encode()[:bytes_max]

    # ------------------------------------------------------------ effects

    async def prepare(self, component: ComponentSpec, effect: Effect) -> None:
        async with _Change(self, "prepare", effect):
            self._target.images.add(component.platform_digest)
            self._world.prepared.setdefault(effect.deployment_id, set()).add(self._target.name)

    async def activate(self, spec: TargetSpec, component: ComponentSpec, sticker: bytes, effect: Effect) -> None:
        async with _Change(self, "activate", effect):
            if component.platform_digest not in self._target.images:
                raise ImageUnavailable(f"{component.name} is not on the target.", next_step="Prepare it.")
            mine = self._target.instances.get((component.name, spec.deployment_id))
            if mine is None:
                self._world.creations[self._target.name, component.name, spec.deployment_id] += 1
                mine = Instance(component, spec.deployment_id, spec.release_digest, sticker, running=False)
                self._target.instances[component.name, spec.deployment_id] = mine
            self._switch_to(mine)
            if component.platform_digest in self._world.crashing:
                mine.running = False
                raise StartFailed(f"{component.name} exits right away.", next_step="Look at its output.")

    async def restore(self, component: str, to_deployment_id: str | None, effect: Effect) -> None:
        async with _Change(self, "restore", effect):
            self._target.instances.pop((component, effect.deployment_id), None)
            if to_deployment_id is not None:
                kept = self._target.instances.get((component, to_deployment_id))
                if kept is None:
                    raise KeptInstanceMissing(f"{component} of {to_deployment_id} is gone.", next_step="Look at the target.")
                self._switch_to(kept)

    async def retire(self, component: str, keep_deployment_ids: tuple[str, ...], effect: Effect) -> None:
        async with _Change(self, "retire", effect):
            for key, instance in list(self._target.instances.items()):
                if key[0] == component and not instance.running and key[1] not in keep_deployment_ids:
                    del self._target.instances[key]

    # ------------------------------------------------------------ inside

    def _switch_to(self, instance: Instance) -> None:
        for other in self._target.instances.values():
            if other.spec.name == instance.spec.name:
                other.running = other is instance

    def _shown(self, instance: Instance) -> RunningComponent:
        return RunningComponent(
            component=instance.spec.name,
            platform_digest=instance.spec.platform_digest,
            config_digest=instance.spec.config_digest,
            runtime_id=f"{instance.spec.name}-{instance.deployment_id}",
            deployment_id=instance.deployment_id,
            release_digest=instance.release_digest,
            running=True,
            health=self._health(instance),
        )

    def _health(self, instance: Instance) -> Health:
        return Health.UNHEALTHY if instance.spec.platform_digest in self._world.unhealthy else Health.HEALTHY

    async def _look(self, operation: str) -> None:
        if self.points.dead:
            self.points.reach(operation)
        await asyncio.sleep(self._world.look_s)
        self._fail(operation, "before")

    def _fail(self, operation: str, moment: str) -> None:
        error: ConnectorError | None = self._world.fault(self._target.name, operation, moment)
        if error is not None:
            raise error


class _Change:
    """The frame around an effect: points to die at, faults, the fence, and the count of targets that change at the same moment."""

    def __init__(self, connector: SimulatedConnector, operation: str, effect: Effect) -> None:
        self._connector = connector
        self._world = connector._world
        self._target = connector._target
        self._operation = operation
        self._effect = effect

    async def __aenter__(self) -> None:
        self._connector.points.reach(f"before {self._operation} on {self._target.name}")
        self._connector._fail(self._operation, "before")
        if self._effect.fence < self._target.fence:
            self._world.stale_effects += 1
            raise StaleFence(f"fence {self._effect.fence} is older than {self._target.fence}.", next_step="Stop.")
        self._target.fence = self._effect.fence
        if self._operation in ("activate", "restore"):
            prepared = frozenset(self._world.prepared.get(self._effect.deployment_id, ()))
            self._world.touches.append(Touch(self._target.name, self._operation, self._effect.deployment_id, prepared))
            self._world.changing.add(self._target.name)
            self._world.changing_most = max(self._world.changing_most, len(self._world.changing))
        await asyncio.sleep(0.5)
        if self._connector.points.dead:
            self._connector.points.reach(self._operation)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._world.changing.discard(self._target.name)
        if error is not None:
            return
        self._connector.points.reach(f"after {self._operation} on {self._target.name}")
        await asyncio.sleep(0.5)
        self._connector._fail(self._operation, "after")
