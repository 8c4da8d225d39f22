"""The process connector: `TargetConnector` over a folder on this machine. For the embedded lab. NO ISOLATION IS CLAIMED OR GIVEN.

An image's verified root file system is unpacked, and its entrypoint runs as a plain process under the caller's account. Whatever the
image's program wants to do to this machine, it can. Use Docker targets for anything that you did not build yourself.
"""

from __future__ import annotations

import errno
import platform
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from stella_pipelines.connectors import outside
from stella_pipelines.connectors.environment import environment_of
from stella_pipelines.connectors.kinds import Registries, Surroundings
from stella_pipelines.connectors.port import (
    ComponentSpec,
    Effect,
    Health,
    HealthcheckMissing,
    ImageUnavailable,
    Observation,
    Probe,
    RunningComponent,
    TargetDiskFull,
    TargetRefused,
    TargetSpec,
)
from stella_pipelines.connectors.process import activation
from stella_pipelines.connectors.process.command import command_of, healthcheck_of
from stella_pipelines.connectors.process.files import LOCK_TIMEOUT_S, locked
from stella_pipelines.connectors.process.healthcheck import look
from stella_pipelines.connectors.process.images import Images
from stella_pipelines.connectors.process.instances import Instance, Instances, running_sticker
from stella_pipelines.connectors.process.processes import Command, uptime_s
from stella_pipelines.connectors.threads import Threads
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.limits import PULL_TIMEOUT_S
from stella_pipelines.environments.model import Target

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7", "armv6l": "arm/v6", "i686": "386"}
Result = TypeVar("Result")


class ProcessConnector:
    """A folder of this machine as a target. Images come through the control plane's own registry port."""

    def __init__(self, target: Target, registries: Registries, environ: Mapping[str, str]) -> None:
        if target.process is None:
            raise ValueError(f"target {target.name} is not a process target")
        self._target = target
        self._environ = environ
        self._directory = Path(target.process.directory).absolute()
        self._images = Images(self._directory, registries, target.name)
        self._instances = Instances(self._directory, target.name)
        self._threads: Threads

    @classmethod
    def for_target(cls, target: Target, surroundings: Surroundings) -> ProcessConnector:
        """The entry point's door."""
        return cls(target, surroundings.registries, surroundings.environ)

    async def __aenter__(self) -> ProcessConnector:
        self._threads = Threads(f"process-{self._target.name}")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._threads.close()

    async def probe(self) -> Probe:
        return await self._read(self._probe)

    async def observe(self, now: datetime) -> Observation:
        return await self._read(lambda: self._observe(now))

    async def prepare(self, component: ComponentSpec, effect: Effect) -> None:  # noqa: ARG002 - unpacking twice is harmless, so no fence is needed
        await self._change(lambda: self._images.pull(component), "images.lock", PULL_TIMEOUT_S)

    async def has_image(self, platform_digest: Digest, repository: str) -> bool:  # noqa: ARG002 - content is the same wherever it came from
        return await self._read(lambda: self._images.config_digest(platform_digest) is not None)

    async def activate(self, spec: TargetSpec, component: ComponentSpec, sticker: bytes, effect: Effect) -> None:
        await self._change(lambda: self._activate(spec, component, sticker, effect))

    async def health(self, component: ComponentSpec, now: datetime) -> Health:  # noqa: ARG002 - process times come from the machine's own clock
        instance = await self._read(lambda: self._newest(component.name))
        if instance is None:
            return Health.UNKNOWN
        if not await self._read(instance.process.runs):
            return Health.STARTING if instance.record.wanted == "created" else Health.UNHEALTHY
        if component.health.kind == "container":
            return await self._read(lambda: self._container_health(component, instance))
        return Health.HEALTHY if component.health.kind == "none" else await outside.ask(component, self._target.address)

    async def restore(self, component: str, to_deployment_id: str | None, effect: Effect) -> None:
        await self._change(lambda: self._restore(component, to_deployment_id, effect))

    async def retire(self, component: str, keep_deployment_ids: tuple[str, ...], effect: Effect) -> None:
        await self._change(lambda: self._retire(component, keep_deployment_ids, effect))

    async def read_sticker(self) -> bytes | None:
        return await self._read(lambda: running_sticker(self._instances.all()))

    async def logs(self, component: str, bytes_max: int) -> bytes:
        instance = await self._read(lambda: self._newest(component))
        return b"" if instance is None else await self._read(lambda: instance.process.output(bytes_max))

    # ------------------------------------------------------------ in the thread

    def _probe(self) -> Probe:
        self._directory.mkdir(parents=True, exist_ok=True)
        architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
        free = shutil.disk_usage(self._directory).free
        return Probe(platform=f"{platform.system().lower()}/{architecture}", engine="plain processes, no isolation", disk_free_bytes=free)

    def _observe(self, now: datetime) -> Observation:
        instances = self._instances.all()
        sticker = running_sticker(instances)
        return Observation(
            target=self._target.name,
            observed_at=now,
            components=tuple(self._running(one) for one in instances),
            sticker=None if sticker is None else Digest.of(sticker),
            fence=self._instances.fence(),
        )

    def _running(self, instance: Instance) -> RunningComponent:
        component, runs = instance.record.component, instance.process.runs()
        config_digest = self._images.config_digest(component.platform_digest)
        return RunningComponent(
            component=component.name,
            platform_digest=None if config_digest is None else component.platform_digest,
            config_digest=config_digest,
            runtime_id=str(instance.folder),
            deployment_id=instance.record.deployment_id,
            release_digest=instance.record.release_digest,
            running=runs,
            health=Health.UNKNOWN if runs else Health.UNHEALTHY,
        )

    def _activate(self, spec: TargetSpec, component: ComponentSpec, sticker: bytes, effect: Effect) -> None:
        if self._images.config_digest(component.platform_digest) != component.config_digest:
            raise ImageUnavailable(f"Target {self._target.name} does not have {component.image()}.", next_step="Prepare the target first.")
        image_root = self._images.rootfs(component.config_digest)
        activation.activate(self._instances, spec, component, sticker, image_root, self._command, effect, self._target.address)

    def _restore(self, component: str, to_deployment_id: str | None, effect: Effect) -> None:
        activation.restore(self._instances, component, to_deployment_id, self._command, effect)

    def _retire(self, component: str, keep_deployment_ids: tuple[str, ...], effect: Effect) -> None:
        activation.retire(self._instances, component, keep_deployment_ids, effect)

    def _newest(self, component: str) -> Instance | None:
        """The running instance, or the one that was made last."""
        return next(iter(self._instances.all(component)), None)

    def _command(self, component: ComponentSpec, root: Path) -> Command:
        settings = self._images.config(component.config_digest).config
        return command_of(settings, root, component, environment_of(component, self._environ), self._target.address)

    def _container_health(self, component: ComponentSpec, instance: Instance) -> Health:
        settings = self._images.config(instance.record.component.config_digest).config
        variables = environment_of(component, self._environ)
        command = healthcheck_of(settings, instance.root, component, variables, self._target.address)
        started_at_s = instance.process.started_at_s()
        if settings.healthcheck is None or command is None:
            raise HealthcheckMissing(
                f"The image of {component.name} has no HEALTHCHECK, and its health check is of kind 'container'.",
                unchanged="The component goes on running.",
                next_step="Add a HEALTHCHECK to the image, or give the component an http or tcp check in the estate.",
            )
        return look(command, settings.healthcheck, uptime_s() - (started_at_s or 0.0))

    # ------------------------------------------------------------ borders

    async def _read(self, work: Callable[[], Result]) -> Result:
        return await self._threads.read(lambda: self._translated(work))

    async def _change(self, work: Callable[[], None], lock: str = "target.lock", patience_s: float = LOCK_TIMEOUT_S) -> None:
        await self._threads.change(lambda: self._translated(lambda: self._alone(work, lock, patience_s)))

    def _alone(self, work: Callable[[], None], lock: str, patience_s: float) -> None:
        """One change of a kind at a time, whichever process makes it."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with locked(self._directory / lock, patience_s):
            work()

    def _translated(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise TargetDiskFull(f"Target {self._target.name} has no room.", next_step="Free space on this machine, then retry.") from error
            raise TargetRefused(f"Target {self._target.name}: {error}.", next_step="Check the target's folder and this account's rights.") from error
