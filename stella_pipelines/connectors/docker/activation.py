"""The changes to a target, as sequences of engine requests. After a crash between any two, the same call finds its place and goes on.

- A container is created stopped, gets its sticker, and only then starts: what runs always says what it is.
- Whatever is stopped first loses its restart policy, so a restarted engine never brings two versions up.
- Before any change, the fences that the containers carry are read: a holder that lost its lease stops here.

The fence is read and then acted upon; the engine has no way to do both at once. The window is one request long, and the lease covers it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from stella_pipelines.connectors.docker import labels
from stella_pipelines.connectors.docker.engine import Engine
from stella_pipelines.connectors.docker.errors import start_failed
from stella_pipelines.connectors.docker.instance import Instance
from stella_pipelines.connectors.port import ComponentSpec, DigestMismatch, Effect, KeptInstanceMissing, StaleFence, TargetSpec

SETTLE_S: Final = 0.25
"""A component that exits within this time after its start has not started."""
SETTLE_LOOKS: Final = 2
RESTART: Final = "unless-stopped"
NO_RESTART: Final = "no"


@dataclass(frozen=True)
class Launch:
    """What to run, and how. The environment holds secrets and is not shown."""

    spec: TargetSpec
    component: ComponentSpec
    environment: Mapping[str, str] = field(repr=False)
    address: str
    sticker: bytes


async def activate(engine: Engine, launch: Launch, effect: Effect) -> None:
    """Run the component for the deployment; the instance that ran before is stopped and kept."""
    target, component = launch.spec.target, launch.component
    ours = _of(await _under_fence(engine, target, effect), component.name)
    mine = _of_deployment(ours, launch.spec.deployment_id)
    if mine is not None:
        _require_same_image(mine, component, target)
    mine_id = mine.id if mine is not None else await _created(engine, launch, effect)
    if mine is None or not mine.was_started:
        await engine.put_sticker(mine_id, launch.sticker)
    await _stop_all(engine, (other for other in ours if other.id != mine_id))
    await _running(engine, mine_id, component.name, target)


async def restore(engine: Engine, target: str, component: str, to_deployment_id: str | None, effect: Effect) -> None:
    """Stop what this deployment started, and run the kept instance again; with nothing to go back to, only remove."""
    ours = _of(await _under_fence(engine, target, effect), component)
    kept = None if to_deployment_id is None else _of_deployment(ours, to_deployment_id)
    if to_deployment_id is not None and kept is None:
        raise KeptInstanceMissing(
            f"Target {target} no longer has the instance of {component} that {to_deployment_id} started.",
            unchanged="What runs there goes on running.",
            next_step="Deploy the earlier release again; its image is pulled by digest if it is gone too.",
        )
    if kept is not None:
        await _stop_all(engine, (one for one in ours if one.id != kept.id))
        await _running(engine, kept.id, component, target)
        return
    mine = [one for one in ours if one.deployment_id == effect.deployment_id]
    await _stop_all(engine, mine)
    for instance in mine:
        await engine.remove(instance.id)


async def retire(engine: Engine, target: str, component: str, keep_deployment_ids: tuple[str, ...], effect: Effect) -> None:
    """Remove what does not run and is no way back."""
    for instance in _of(await _under_fence(engine, target, effect), component):
        if not instance.is_active and instance.deployment_id not in keep_deployment_ids:
            await engine.remove(instance.id)


async def _under_fence(engine: Engine, target: str, effect: Effect) -> list[Instance]:
    """All instances on the target, unless one of them was made under a higher fence than the caller's."""
    instances = await engine.instances()
    newer = next((one for one in instances if one.fence > effect.fence), None)
    if newer is not None:
        raise StaleFence(
            f"Target {target} was changed by {newer.deployment_id} under fence {newer.fence}; this call acts under the older fence {effect.fence}.",
            next_step="Stop this run: another one holds the target's lease now.",
        )
    return instances


def _of(instances: Iterable[Instance], component: str) -> list[Instance]:
    return [one for one in instances if one.component == component]


def _of_deployment(instances: Iterable[Instance], deployment_id: str) -> Instance | None:
    return next((one for one in instances if one.deployment_id == deployment_id), None)


def _require_same_image(mine: Instance, component: ComponentSpec, target: str) -> None:
    found = mine.labels.get(labels.PLATFORM_DIGEST)
    if found != component.platform_digest:
        raise DigestMismatch(
            f"Target {target} has a container of this deployment for {component.name} at {found}; the plan says {component.platform_digest}.",
            next_step="Remove that container if nobody needs it, and start a new deployment.",
        )


async def _created(engine: Engine, launch: Launch, effect: Effect) -> str:
    name = labels.container_name(launch.component.name, launch.spec.deployment_id)
    return await engine.create(name, launch.component, labels.labels_of(launch.spec, launch.component, effect), launch.environment, launch.address)


async def _stop_all(engine: Engine, instances: Iterable[Instance]) -> None:
    for instance in instances:
        if instance.restart_policy != NO_RESTART:
            await engine.set_restart_policy(instance.id, NO_RESTART)
        if instance.is_active:
            await engine.stop(instance.id, instance.stop_timeout_s)


async def _running(engine: Engine, container_id: str, component: str, target: str) -> None:
    """Start the container unless it runs, see that it stays up for a moment, and only then let the engine restart it by itself."""
    instance = await engine.instance(container_id)
    if not instance.is_active:
        await engine.start(container_id, component)
        instance = await _settled(engine, container_id, component, target)
    if instance.restart_policy != RESTART:
        await engine.set_restart_policy(container_id, RESTART)


async def _settled(engine: Engine, container_id: str, component: str, target: str) -> Instance:
    for _ in range(SETTLE_LOOKS):
        await asyncio.sleep(SETTLE_S / SETTLE_LOOKS)
        instance = await engine.instance(container_id)
        if not instance.is_active:
            words = f"it exited at once with code {instance.exit_code} {instance.error}".strip()
            raise start_failed(target, component, words)
    return instance
