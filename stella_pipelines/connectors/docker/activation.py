"""The changes to a target, as sequences of engine requests. After a crash between any two, the same call finds its place and goes on.

- A container is created stopped, gets its sticker, and only then starts: what runs always says what it is.
- Whatever is stopped first loses its restart policy, so a restarted engine never brings two versions up.
- Before the first change the target's fence is raised, and before each one it is read again: a holder that lost its lease stops here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from stella_pipelines.connectors.docker import labels
from stella_pipelines.connectors.docker.engine import Engine
from stella_pipelines.connectors.docker.errors import start_failed
from stella_pipelines.connectors.docker.fencing import Fence
from stella_pipelines.connectors.docker.instance import Instance
from stella_pipelines.connectors.port import ComponentSpec, DigestMismatch, Effect, KeptInstanceMissing, TargetSpec

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
    fence = Fence(engine, target, effect)
    ours = _of(await fence.raised(), component.name)
    mine = _of_deployment(ours, launch.spec.deployment_id)
    if mine is not None:
        _require_same_image(mine, component, target)
    mine_id = mine.id if mine is not None else await _created(fence, launch, effect)
    if mine is None or not mine.was_started:
        await (await fence.held()).put_sticker(mine_id, launch.sticker)
    await _stop_all(fence, (other for other in ours if other.id != mine_id))
    await _running(fence, mine_id, component.name, target)


async def restore(engine: Engine, target: str, component: str, to_deployment_id: str | None, effect: Effect) -> None:
    """Stop what this deployment started, and run the kept instance again; with nothing to go back to, only remove."""
    fence = Fence(engine, target, effect)
    ours = _of(await fence.raised(), component)
    kept = None if to_deployment_id is None else _of_deployment(ours, to_deployment_id)
    if to_deployment_id is not None and kept is None:
        raise KeptInstanceMissing(
            f"Target {target} no longer has the instance of {component} that {to_deployment_id} started.",
            unchanged="What runs there goes on running.",
            next_step="Deploy the earlier release again; its image is pulled by digest if it is gone too.",
        )
    if kept is not None:
        await _stop_all(fence, (one for one in ours if one.id != kept.id))
        await _running(fence, kept.id, component, target)
        return
    mine = [one for one in ours if one.deployment_id == effect.deployment_id]
    await _stop_all(fence, mine)
    for instance in mine:
        await (await fence.held()).remove(instance.id)


async def retire(engine: Engine, target: str, component: str, keep_deployment_ids: tuple[str, ...], effect: Effect) -> None:
    """Remove what does not run and is no way back."""
    fence = Fence(engine, target, effect)
    for instance in _of(await fence.raised(), component):
        if not instance.is_active and instance.deployment_id not in keep_deployment_ids:
            await (await fence.held()).remove(instance.id)


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


async def _created(fence: Fence, launch: Launch, effect: Effect) -> str:
    name = labels.container_name(launch.spec.target, launch.component.name, launch.spec.deployment_id)
    marks = labels.labels_of(launch.spec, launch.component, effect)
    return await (await fence.held()).create(name, launch.component, marks, launch.environment, launch.address)


async def _stop_all(fence: Fence, instances: Iterable[Instance]) -> None:
    for instance in instances:
        if instance.restart_policy != NO_RESTART:
            await (await fence.held()).set_restart_policy(instance.id, NO_RESTART)
        if instance.is_active:
            await (await fence.held()).stop(instance.id, instance.stop_timeout_s)


async def _running(fence: Fence, container_id: str, component: str, target: str) -> None:
    """Start the container unless it runs, see that it stays up for a moment, and only then let the engine restart it by itself."""
    instance = await fence.engine.instance(container_id)
    if not instance.is_active:
        await (await fence.held()).start(container_id, component)
        instance = await _settled(fence.engine, container_id, component, target)
    if instance.restart_policy != RESTART:
        await (await fence.held()).set_restart_policy(container_id, RESTART)


async def _settled(engine: Engine, container_id: str, component: str, target: str) -> Instance:
    for _ in range(SETTLE_LOOKS):
        await asyncio.sleep(SETTLE_S / SETTLE_LOOKS)
        instance = await engine.instance(container_id)
        if not instance.is_active:
            words = f"it exited at once with code {instance.exit_code} {instance.error}".strip()
            raise start_failed(target, component, words)
    return instance
