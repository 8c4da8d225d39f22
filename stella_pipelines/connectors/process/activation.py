"""The changes to a process target, as sequences under the target's lock. After a crash between any two steps, the same call goes on from there.

What shall be is written down before it is done. An instance that is to stop is marked first, so nothing would start it again.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from stella_pipelines.connectors.port import ComponentSpec, DigestMismatch, Effect, KeptInstanceMissing, StartFailed, TargetSpec
from stella_pipelines.connectors.process.instances import Instance, Instances
from stella_pipelines.connectors.process.processes import Command

SETTLE_S: Final = 0.25
"""A component that exits within this time after its start has not started."""


CommandOf = Callable[[ComponentSpec, Path], Command]
"""How a component is run with the files of a folder. Called at the last moment, since the command holds secrets."""


def activate(
    instances: Instances,
    spec: TargetSpec,
    component: ComponentSpec,
    sticker: bytes,
    image_root: Path,
    command_of: CommandOf,
    effect: Effect,
    address: str,
) -> None:
    """Run the component for the deployment; the instance that ran before is stopped and kept."""
    instances.require_fence(effect)
    command_of(component, image_root)  # what cannot be started is refused here, before anything is changed
    mine = instances.of(component.name, spec.deployment_id) or instances.create(spec, component, sticker, effect, image_root)
    if mine.record.component.platform_digest != component.platform_digest:
        raise DigestMismatch(
            f"Target {spec.target} has an instance of this deployment at {mine.record.component.platform_digest}; the plan says {component.platform_digest}.",
            next_step="Start a new deployment.",
        )
    command = command_of(component, mine.root)
    _stop_others(instances, mine)
    if not mine.process.runs():
        _stop_left_behind(mine)
        _require_free_ports(component, address)
    _run(mine, command)


def restore(instances: Instances, component: str, to_deployment_id: str | None, command_of: CommandOf, effect: Effect) -> None:
    """Stop what this deployment started, and run the kept instance again; with nothing to go back to, only remove."""
    instances.require_fence(effect)
    if to_deployment_id is None:
        mine = instances.of(component, effect.deployment_id)
        if mine is not None:
            _stop(mine)
            instances.remove(mine)
        return
    kept = instances.of(component, to_deployment_id)
    if kept is None:
        raise KeptInstanceMissing(
            f"The instance of {component} that {to_deployment_id} started is gone.",
            unchanged="What runs goes on running.",
            next_step="Deploy the earlier release again.",
        )
    command = command_of(kept.record.component, kept.root)
    _stop_others(instances, kept)
    if not kept.process.runs():
        _stop_left_behind(kept)
    _run(kept, command)


def retire(instances: Instances, component: str, keep_deployment_ids: tuple[str, ...], effect: Effect) -> None:
    """Remove what does not run and is no way back."""
    instances.require_fence(effect)
    for instance in instances.all(component):
        if not instance.process.runs() and instance.record.deployment_id not in keep_deployment_ids:
            _stop_left_behind(instance)
            instances.remove(instance)


def _stop_others(instances: Instances, one: Instance) -> None:
    for other in instances.all(one.record.component.name):
        if other.folder != one.folder:
            _stop(other)


def _stop(instance: Instance) -> None:
    instance.want("stopped")
    instance.process.stop(instance.record.component.stop_timeout_s)


def _stop_left_behind(instance: Instance) -> None:
    """Children may go on after a process that ended by itself, on its ports."""
    instance.process.stop(instance.record.component.stop_timeout_s)


def _run(instance: Instance, command: Command) -> None:
    instance.want("running")
    if instance.process.runs():
        return
    instance.process.start(command)
    time.sleep(SETTLE_S)
    failure = instance.process.failure()
    if failure is not None:
        raise _start_failed(instance.record.component.name, failure)


def _require_free_ports(component: ComponentSpec, address: str) -> None:
    """An engine would refuse to publish a port that is taken; a plain process might say so only in its output, or share it."""
    for port in component.ports:
        host = port.address or address
        with closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port.host))
            except OSError as error:
                raise _start_failed(component.name, f"{host}:{port.host}: {error.strerror}") from error


def _start_failed(component: str, why: str) -> StartFailed:
    return StartFailed(
        f"{component} did not start: {why}.",
        unchanged="The instance that ran before is kept, stopped.",
        next_step="Correct what the words name; the rollout restores the earlier instance.",
    )
