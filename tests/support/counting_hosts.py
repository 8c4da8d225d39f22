"""Many environments with one host each, whose only program counts its own starts: what a control plane did to a host is read at the host."""

from __future__ import annotations

import os
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.references import ImageReference
from stella_pipelines.environments.model import Component, Environment, Estate, HealthCheck, ProcessAccess, Registry, Target
from stella_pipelines.integrations.registries.layout import LayoutRegistry
from stella_pipelines.lab.images import File, MultiArchImage, make_image, push
from tests.support.installation import ALICE

HOST = "registry.lab"
PATH = "count/web"
PROGRAM = """#!/bin/sh
echo {version} >> "$COUNT_FILE"
exec sleep 100000
"""


class CountingHosts:
    """`count` environments below one folder."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.environments = [f"env{number:02}" for number in range(count)]
        self._images = folder / "images"
        (folder / "counts").mkdir(parents=True)

    def estate(self) -> Estate:
        """Ungated, so that a request is a deployment."""
        return Estate(
            registries=(Registry(host=HOST, kind="layout", path=str(self._images)),),
            components=(Component(name="web", repository=f"{HOST}/{PATH}", health=HealthCheck(kind="none")),),
            environments=tuple(Environment(name=name, gates="none", variables={"COUNT_FILE": str(self._count_file(name))}) for name in self.environments),
            targets=tuple(self._target(name) for name in self.environments),
        )

    def _target(self, environment: str) -> Target:
        folder = self.folder / "hosts" / environment
        folder.mkdir(parents=True, exist_ok=True)
        return Target(name=f"{environment}-1", environment=environment, kind="process", process=ProcessAccess(directory=str(folder)))

    def release(self, plane: ControlPlane, version: str) -> Digest:
        """A finalized release whose program writes this version at its start."""
        program = File("app/count", PROGRAM.format(version=version).encode(), 0o755)
        images = tuple(make_image(platform, [[program]], {"Entrypoint": ["/app/count"]}) for platform in ("linux/amd64", "linux/arm64"))
        push(LayoutRegistry(self._images), PATH, version, MultiArchImage(images))
        reference = ImageReference(host=HOST, path=PATH, tag=version)
        made = plane.releases.create(ALICE, name="count", version=version, images={"web": reference}, registries=plane.registry, finalize=True)
        assert made.digest is not None
        return made.digest

    def starts(self, environment: str) -> Counter[str]:
        """By version: how often the program was started on the environment's host."""
        with suppress(FileNotFoundError):
            return Counter(self._count_file(environment).read_text().split())
        return Counter()

    def stop(self) -> None:
        """Stop what runs on the hosts."""
        mark = str(self.folder / "hosts").encode()
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)

    def _count_file(self, environment: str) -> Path:
        return self.folder / "counts" / environment
