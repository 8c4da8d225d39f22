"""One Docker Engine: each method is one request (reading a list is a few), made in a thread, with errors translated. No sequences, no decisions."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar

from docker.errors import APIError, ImageNotFound, NotFound

from stella_pipelines.connectors.docker import sticker as stickers
from stella_pipelines.connectors.docker.client import EngineClient
from stella_pipelines.connectors.docker.errors import LIBRARY_ERRORS, bounded, disk_full, image_unavailable, is_disk_full, start_failed, translated
from stella_pipelines.connectors.docker.instance import Instance, read_instance
from stella_pipelines.connectors.docker.labels import FENCE, TARGET, fence_of
from stella_pipelines.connectors.docker.output import last_output
from stella_pipelines.connectors.docker.pulling import Image, require_success
from stella_pipelines.connectors.port import ComponentSpec, TargetUnreachable
from stella_pipelines.connectors.threads import Threads
from stella_pipelines.core.limits import PULL_TIMEOUT_S
from stella_pipelines.core.secrets import Secret

Result = TypeVar("Result")


class Engine:
    """The engine of the target called `target`, for as long as its client is open."""

    def __init__(self, client: EngineClient, target: str, threads: Threads) -> None:
        self._client = client
        self._target = target
        self._threads = threads

    # ------------------------------------------------------------ reading

    async def version(self) -> Mapping[str, Any]:
        """What the engine says about itself."""
        return await self._read("asking for its version", self._client.version)

    async def info(self) -> Mapping[str, Any]:
        """The engine's host, storage and folders."""
        return await self._read("asking for its state", self._client.info)

    async def instances(self) -> list[Instance]:
        """Every container of this target, running or not."""
        return await self._read("listing containers", self._instances)

    async def instance(self, container_id: str) -> Instance:
        """One container as it is now."""
        return await self._read("inspecting a container", lambda: read_instance(self._client.inspect_container(container_id)))

    async def image(self, name: str) -> Image | None:
        """An image by `repository@digest` or id, when the engine has it."""
        return await self._read("looking for an image", lambda: self._image(name))

    async def fences(self) -> dict[str, int]:
        """The volumes that keep this target's fence: their names, with the tokens that they stand for."""
        return await self._read("reading the fence", self._fences)

    async def read_sticker(self, container_id: str) -> bytes | None:
        """The sticker inside a container."""
        return await self._read("reading the sticker", lambda: self._read_sticker(container_id))

    async def logs(self, container_id: str, bytes_max: int) -> bytes:
        """The end of a container's output."""
        return await self._read("reading logs", lambda: last_output(self._client, container_id, bytes_max))

    # ------------------------------------------------------------ changing

    async def pull(self, component: ComponentSpec, login: tuple[str, Secret] | None) -> None:
        """Pull by platform digest; returns when the engine says that all of it is there."""
        await self._threads.read(lambda: self._pull(component, login))

    async def put_fence(self, name: str, labels: Mapping[str, str]) -> None:
        """Make the empty volume that keeps a fence; one that is there already stays."""
        await self._change("raising the fence", lambda: self._client.create_volume(name, labels=dict(labels)))

    async def remove_fence(self, name: str) -> None:
        """Remove the volume of a fence that a higher one replaces; another holder may have done it first."""
        await self._change("removing an old fence", lambda: self._remove_volume(name))

    async def create(self, name: str, component: ComponentSpec, labels: Mapping[str, str], environment: Mapping[str, str], address: str) -> str:
        """Create a container that is not started and will not start by itself; its id."""
        return await self._threads.change(lambda: self._create(name, component, labels, environment, address))

    async def put_sticker(self, container_id: str, sticker: bytes) -> None:
        """Put the sticker into a container."""
        await self._change("writing the sticker", lambda: self._client.put_archive(container_id, "/", stickers.packed(sticker)))

    async def start(self, container_id: str, component: str) -> None:
        """Start a container. The engine's refusal is a `StartFailed`."""
        await self._threads.change(lambda: self._start(container_id, component))

    async def stop(self, container_id: str, timeout_s: int) -> None:
        """Stop a container: SIGTERM, and SIGKILL after the timeout."""
        await self._change("stopping a container", lambda: self._client.stop(container_id, timeout=timeout_s))

    async def set_restart_policy(self, container_id: str, policy: Literal["no", "unless-stopped"]) -> None:
        """Whether the engine starts the container again by itself."""
        document: Any = {"Name": policy, "MaximumRetryCount": 0}  # Any: the stub knows only two of the four policies
        await self._change("changing a restart policy", lambda: self._client.update_container(container_id, restart_policy=document))

    async def remove(self, container_id: str) -> None:
        """Remove a stopped container and its anonymous volumes."""
        await self._change("removing a container", lambda: self._client.remove_container(container_id, v=True))

    # ------------------------------------------------------------ in the thread

    async def _read(self, doing: str, work: Callable[[], Result]) -> Result:
        return await self._threads.read(lambda: self._translated(doing, work))

    async def _change(self, doing: str, work: Callable[[], object]) -> None:
        await self._threads.change(lambda: self._translated(doing, work))

    def _translated(self, doing: str, work: Callable[[], Result]) -> Result:
        with translated(self._target, doing):
            return work()

    def _instances(self) -> list[Instance]:
        listed = self._client.containers(all=True, filters={"label": [f"{TARGET}={self._target}"]})
        return [instance for container in listed if (instance := self._still_there(container["Id"])) is not None]

    def _still_there(self, container_id: str) -> Instance | None:
        try:
            return read_instance(self._client.inspect_container(container_id))
        except NotFound:
            return None

    def _fences(self) -> dict[str, int]:
        answer = self._client.volumes(filters={"label": [f"{TARGET}={self._target}", FENCE]})
        return {volume["Name"]: fence_of(volume.get("Labels") or {}) for volume in answer.get("Volumes") or ()}

    def _remove_volume(self, name: str) -> None:
        with contextlib.suppress(NotFound):
            self._client.remove_volume(name)

    def _image(self, name: str) -> Image | None:
        try:
            answer: Mapping[str, Any] = self._client.inspect_image(name)  # type: ignore[no-untyped-call]  # the stub leaves it untyped
        except (ImageNotFound, NotFound):
            return None
        return Image(id=answer["Id"], repo_digests=tuple(answer.get("RepoDigests") or ()))

    def _read_sticker(self, container_id: str) -> bytes | None:
        try:
            chunks, _ = self._client.get_archive(container_id, stickers.STICKER_PATH)
        except NotFound:
            return None
        return stickers.unpacked(chunks)

    def _pull(self, component: ComponentSpec, login: tuple[str, Secret] | None) -> None:
        # An empty login, and not None: with None the library would look for one in ~/.docker.
        auth = {} if login is None else {"username": login[0], "password": login[1].reveal()}
        image = component.image()
        try:
            lines = self._client.pull(component.repository, tag=component.platform_digest, stream=True, decode=True, auth_config=auth)
            require_success(_until(lines, time.monotonic() + PULL_TIMEOUT_S, self._target, image), self._target, image, component.platform_digest)
        except APIError as error:
            raise image_unavailable(self._target, image, error.explanation or str(error)) from error
        except LIBRARY_ERRORS as error:
            with translated(self._target, f"pulling {image}"):
                raise error from None

    def _create(self, name: str, component: ComponentSpec, labels: Mapping[str, str], environment: Mapping[str, str], address: str) -> str:
        bindings: dict[int | str, list[tuple[str, int]]] = {}
        for port in component.ports:
            bindings.setdefault(port.container, []).append((port.address or address, port.host))
        with translated(self._target, f"creating {name}"):
            try:
                host = self._client.create_host_config(port_bindings=bindings, restart_policy={"Name": "no"})
                created = self._client.create_container(
                    component.image(),
                    name=name,
                    ports=list(bindings),
                    environment=dict(environment),
                    labels=dict(labels),
                    host_config=host,
                    stop_timeout=math.ceil(component.stop_timeout_s),
                    use_config_proxy=False,
                )
            except ImageNotFound as error:
                raise image_unavailable(self._target, component.image(), error.explanation or "it is not on the target") from error
            except APIError as error:
                if error.status_code != 400:
                    raise
                raise start_failed(self._target, component.name, error.explanation or str(error)) from error
        return str(created["Id"])

    def _start(self, container_id: str, component: str) -> None:
        with translated(self._target, f"starting {component}"):
            try:
                self._client.start(container_id)
            except APIError as error:
                words = bounded(error.explanation or str(error))
                raise disk_full(self._target, words) if is_disk_full(words) else start_failed(self._target, component, words) from error


def _until(lines: Iterable[Mapping[str, object]], deadline: float, target: str, image: str) -> Iterator[Mapping[str, object]]:
    for line in lines:
        if time.monotonic() > deadline:
            raise TargetUnreachable(
                f"Target {target} did not finish pulling {image} in {PULL_TIMEOUT_S:.0f} s.", next_step="Try again; layers that are there already are kept."
            )
        yield line
