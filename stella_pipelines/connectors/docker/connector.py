"""The Docker connector: `TargetConnector` over one Docker Engine, whichever way it is reached. It puts the pieces of this folder together."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

from stella_pipelines.connectors import outside
from stella_pipelines.connectors.docker import activation
from stella_pipelines.connectors.docker.access import EngineAddress, opened
from stella_pipelines.connectors.docker.client import EngineClient, connect
from stella_pipelines.connectors.docker.engine import Engine
from stella_pipelines.connectors.docker.errors import image_unavailable, translated
from stella_pipelines.connectors.docker.fencing import Fence, highest
from stella_pipelines.connectors.docker.instance import Instance, newest_first
from stella_pipelines.connectors.docker.observation import newest_running, observed, platform_of, uses_containerd_store
from stella_pipelines.connectors.docker.pulling import require_proof
from stella_pipelines.connectors.environment import environment_of
from stella_pipelines.connectors.kinds import PullLogins, Surroundings, anonymous
from stella_pipelines.connectors.port import ComponentSpec, Effect, Health, HealthcheckMissing, Observation, Probe, TargetSpec
from stella_pipelines.connectors.threads import Threads
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.references import ImageReference
from stella_pipelines.environments.model import DockerAccess, Target


class DockerConnector:
    """One Docker Engine. `logins` gives the engine a registry's user and password for a pull; it is asked at the last moment."""

    def __init__(self, target: Target, environ: Mapping[str, str], logins: PullLogins = anonymous) -> None:
        if target.docker is None:
            raise ValueError(f"target {target.name} is not a docker target")
        self._access: DockerAccess = target.docker
        self._target = target
        self._environ = environ
        self._logins = logins
        self._open = AsyncExitStack()
        self.engine: Engine
        """The engine, while the connector is open."""

    @classmethod
    def for_target(cls, target: Target, surroundings: Surroundings) -> DockerConnector:
        """The entry point's door."""
        return cls(target, surroundings.environ, surroundings.logins)

    async def __aenter__(self) -> DockerConnector:
        async with AsyncExitStack() as opening:
            address = await opening.enter_async_context(opened(self._access, self._environ, self._target.name))
            threads = Threads(f"engine-{self._target.name}")
            opening.push_async_callback(threads.close)
            client = await threads.read(lambda: self._connected(address))
            opening.callback(client.close)
            self.engine = Engine(client, self._target.name, threads)
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._open.aclose()

    async def probe(self) -> Probe:
        version, info = await asyncio.gather(self.engine.version(), self.engine.info())
        engine = f"Docker {version['Version']} (API {version['ApiVersion']}, {info.get('Driver', 'unknown storage')})"
        return Probe(platform=platform_of(version, info), engine=engine, disk_free_bytes=self._disk_free_bytes(str(info.get("DockerRootDir", ""))))

    async def observe(self, now: datetime) -> Observation:
        instances, info, fences = await asyncio.gather(self.engine.instances(), self.engine.info(), self.engine.fences())
        images = {image_id: await self.engine.image(image_id) for image_id in {one.image_id for one in instances}}
        sticker = await self._sticker(instances)
        fence = highest(instances, fences.values())
        return observed(self._target.name, now, instances, images, sticker, fence=fence, containerd_store=uses_containerd_store(info))

    async def prepare(self, component: ComponentSpec, effect: Effect) -> None:
        # Pulling twice is harmless; the fence is raised so that a late holder is stopped before this one has changed anything.
        await Fence(self.engine, self._target.name, effect).raised()
        info = await self.engine.info()
        image = await self.engine.image(component.image())
        if image is None:
            await self.engine.pull(component, self._logins(ImageReference.parse(component.image()).host))
            image = await self.engine.image(component.image())
        if image is None:
            raise image_unavailable(self._target.name, component.image(), "the engine reported success and does not have it")
        require_proof(image, component, self._target.name, containerd_store=uses_containerd_store(info))

    async def has_image(self, platform_digest: Digest, repository: str) -> bool:
        image = await self.engine.image(f"{repository}@{platform_digest}")
        return image is not None and image.proves(repository, platform_digest)

    async def activate(self, spec: TargetSpec, component: ComponentSpec, sticker: bytes, effect: Effect) -> None:
        launch = activation.Launch(spec, component, environment_of(component, self._environ), self._target.address, sticker)
        await activation.activate(self.engine, launch, effect)

    async def health(self, component: ComponentSpec, now: datetime) -> Health:  # noqa: ARG002 - the engine keeps the times of its own checks
        instance = await self._instance(component.name)
        if instance is None:
            return Health.UNKNOWN
        seen = instance.container_health()
        if not instance.runs:
            return seen or Health.UNHEALTHY
        if component.health.kind == "container":
            return self._required(seen, component)
        return Health.HEALTHY if component.health.kind == "none" else await outside.ask(component, self._target.address)

    async def restore(self, component: str, to_deployment_id: str | None, effect: Effect) -> None:
        await activation.restore(self.engine, self._target.name, component, to_deployment_id, effect)

    async def retire(self, component: str, keep_deployment_ids: tuple[str, ...], effect: Effect) -> None:
        await activation.retire(self.engine, self._target.name, component, keep_deployment_ids, effect)

    async def read_sticker(self) -> bytes | None:
        return await self._sticker(await self.engine.instances())

    async def logs(self, component: str, bytes_max: int) -> bytes:
        instance = await self._instance(component)
        return b"" if instance is None else await self.engine.logs(instance.id, bytes_max)

    def _connected(self, address: EngineAddress) -> EngineClient:
        with translated(self._target.name, "connecting"):
            return connect(address.base_url, address.tls)

    async def _instance(self, component: str) -> Instance | None:
        """The running instance, or the one that was created last."""
        found = newest_first([one for one in await self.engine.instances() if one.component == component])
        return found[0] if found else None

    async def _sticker(self, instances: list[Instance]) -> bytes | None:
        newest = newest_running(instances)
        return None if newest is None else await self.engine.read_sticker(newest.id)

    def _required(self, seen: Health | None, component: ComponentSpec) -> Health:
        if seen is None:
            raise HealthcheckMissing(
                f"The image of {component.name} on target {self._target.name} has no HEALTHCHECK, and its health check is of kind 'container'.",
                unchanged="The component goes on running.",
                next_step="Add a HEALTHCHECK to the image, or give the component an http or tcp check in the estate.",
            )
        return seen

    def _disk_free_bytes(self, root: str) -> int | None:
        """Engines do not tell; their folder does, when it is on this machine."""
        is_here = self._access.endpoint.startswith("unix://") and self._access.ssh is None
        return shutil.disk_usage(root).free if is_here and root and Path(root).is_dir() else None
