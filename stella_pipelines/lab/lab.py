"""The lab as a whole: claim a number, sweep orphans, stand it up, publish the images, write the estate; and remove it all again.

    with Lab(kind, folder) as lab: …

`folder` must not exist yet, or be empty: it is removed in the end. The parts are in files of their own; here is only their order.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from stella_pipelines.core.references import ImageReference
from stella_pipelines.integrations.registries.distribution import DistributionRegistry
from stella_pipelines.integrations.registries.layout import LayoutRegistry
from stella_pipelines.integrations.registries.port import RegistryPort
from stella_pipelines.lab.choice import choose_lab
from stella_pipelines.lab.claims import Claim, LabKind, LabRecord, claims, claims_folder
from stella_pipelines.lab.embedded import LAYOUT_HOST, embedded_hosts
from stella_pipelines.lab.errors import LabNotRemoved, LabUnsupported
from stella_pipelines.lab.estate import estate_text, layout_registry, plain_registry
from stella_pipelines.lab.hosts import LabHost
from stella_pipelines.lab.images import Image, MultiArchImage, push
from stella_pipelines.lab.interruption import Interruption, undisturbed
from stella_pipelines.lab.kernel import image_platform
from stella_pipelines.lab.programs import program
from stella_pipelines.lab.removal import remove, sweep
from stella_pipelines.lab.reports import Scanned, write_reports
from stella_pipelines.lab.rig import Rig
from stella_pipelines.lab.webapp.container import container_image, static_busybox
from stella_pipelines.lab.webapp.pages import REPOSITORY_PATH, VERSIONS
from stella_pipelines.lab.webapp.script import script_image

__all__ = ["Lab", "choose_lab"]

FOLDER_CHARACTERS_MAX: Final = 60
"""A unix socket's path has at most 107 characters, and the engines put their sockets 45 below our folder."""


class Lab:
    """A lab that stands for the length of a `with` block."""

    def __init__(self, kind: LabKind, folder: Path) -> None:
        self.kind: LabKind = kind
        self.folder = folder.absolute()
        self.hosts: dict[str, LabHost] = {}
        self.images: dict[str, ImageReference] = {}
        self.published: dict[str, MultiArchImage] = {}
        self.registry_host = ""
        self.rig: Rig | None = None
        self._claim: Claim | None = None
        self._interruption = Interruption()

    @property
    def estate_path(self) -> Path:
        """The lab's `estate.yaml`."""
        return self.folder / "estate.yaml"

    @property
    def reports(self) -> Path:
        """The folder with `<version>.trivy.json` and `v2.vex.json`."""
        return self.folder / "reports"

    @property
    def platform(self) -> str:
        """The platform of the lab's hosts."""
        return image_platform()

    def platform_image(self, version: str) -> Image:
        """The image of a version as the lab's hosts run it."""
        return self.published[version].image(self.platform)

    def registry(self) -> RegistryPort:
        """The lab's registry, without going through an estate."""
        if self.kind == "embedded":
            return LayoutRegistry(self.folder / "images")
        return DistributionRegistry(self.registry_host, plain_http=True)

    def describe(self) -> str:
        """One line about what stands where."""
        what = "Docker Engines" if self.kind == "engines" else "process folders"
        places = ", ".join(f"{host.name} {host.address}" for host in self.hosts.values())
        return f"registry {self.registry_host}, {what} {places}, everything below {self.folder}"

    def __enter__(self) -> Self:
        self._refuse_folder()
        with suppress(LabNotRemoved):  # it keeps its number, so it is not in our way; `python -m stella_pipelines.lab sweep` tells about it
            sweep()
        self._interruption.begin()
        try:
            self._claim = self._claimed()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._stand_up(self._claim)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Remove everything. Closing twice is fine."""
        try:
            with undisturbed():
                self._remove()
        finally:
            self._interruption.end()

    def _remove(self) -> None:
        if self._claim is None:
            return
        record = self._claim.read()
        if self.rig is not None:
            self.rig.stop()
        if record is not None:
            remove(record)
        self._claim.clear()
        self._claim.release()
        self._claim = None

    def _claimed(self) -> Claim:
        claim = next(claims(claims_folder()), None)
        if claim is None:
            raise LabUnsupported("Every lab number of this machine is taken.", next_step="Run `python -m stella_pipelines.lab sweep`.")
        claim.write(LabRecord(number=claim.addresses.number, kind=self.kind, folder=str(self.folder), owner_pid=os.getpid()))
        return claim

    def _stand_up(self, claim: Claim) -> None:
        if self.kind == "engines":
            self.rig = Rig(self.folder, claim.addresses)
            self.hosts = self.rig.start()
            self.registry_host, registry = self.rig.registry.host, plain_registry()
        else:
            self.hosts = embedded_hosts(self.folder, claim.addresses)
            self.registry_host, registry = LAYOUT_HOST, layout_registry(self.folder / "images")
        now = datetime.now(UTC)
        self._publish()
        write_reports(self.reports, {name: self._scanned(name) for name in self.published}, now)
        self.estate_path.write_text(estate_text(self.kind, self.registry_host, registry, self.hosts, now))

    def _publish(self) -> None:
        registry = self.registry()
        for version, image in zip(VERSIONS, self._build(), strict=True):
            push(registry, REPOSITORY_PATH, version.name, image)
            self.published[version.name] = image
            self.images[version.name] = ImageReference(host=self.registry_host, path=REPOSITORY_PATH, tag=version.name)

    def _build(self) -> list[MultiArchImage]:
        if self.kind == "embedded":
            return [script_image(version) for version in VERSIONS]
        busybox = static_busybox(Path(program("busybox")))
        return [container_image(version, busybox, self.platform) for version in VERSIONS]

    def _scanned(self, name: str) -> Scanned:
        image = self.platform_image(name)
        return Scanned(self.images[name], self.platform, self.published[name].digest, image.digest, image.config_digest)

    def _refuse_folder(self) -> None:
        """Before anything is claimed: what is there already must not be removed with the lab."""
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise LabUnsupported(f"{self.folder} is not an empty folder.", next_step="Give a folder that does not exist yet.")
        if self.kind == "engines" and len(str(self.folder)) > FOLDER_CHARACTERS_MAX:
            raise LabUnsupported(
                f"{self.folder} has more than {FOLDER_CHARACTERS_MAX} characters: the engines' sockets would not fit into a path.",
                next_step="Give a shorter folder, such as one below /tmp.",
            )
