"""What a process target remembers: one folder per instance, `instances/<component>/<deployment id>/`, and the highest fence that ever acted.

An instance's folder appears all at once, with its sticker and its own copy of the image's files. The records that change in it later are
whole files. So whoever is killed when, what is there can be believed, and the next call goes on from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from stella_pipelines.connectors.port import ComponentSpec, Effect, StaleFence, TargetRefused, TargetSpec
from stella_pipelines.connectors.process.files import appearing_folder, copy_tree, remove_tree, write_atomically
from stella_pipelines.connectors.process.processes import InstanceProcess
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.limits import STICKER_BYTES_MAX
from stella_pipelines.core.values import Value

STICKER_NAME: Final = "stella.version.json"
_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


class InstanceRecord(Value):
    """Who put an instance there, how it is run, and whether it shall run. Secrets are in it as references only."""

    component: ComponentSpec
    environment: str
    target: str
    release: str
    release_digest: Digest
    deployment_id: str
    fence: int
    effect: str
    wanted: Literal["created", "running", "stopped"] = "created"


class Instance:
    """One instance: its record, its process and its files."""

    def __init__(self, folder: Path, record: InstanceRecord) -> None:
        self.folder = folder
        self.record = record
        self.process = InstanceProcess(folder)

    @property
    def root(self) -> Path:
        """The instance's own copy of the image's files, in which it may write."""
        return self.folder / "rootfs"

    @property
    def sticker_path(self) -> Path:
        """The sticker beside the process."""
        return self.folder / STICKER_NAME

    def sticker(self) -> bytes | None:
        """The sticker, unless somebody took it away or put something huge there."""
        try:
            with self.sticker_path.open("rb") as file:
                content = file.read(STICKER_BYTES_MAX + 1)
        except OSError:
            return None
        return content if len(content) <= STICKER_BYTES_MAX else None

    def want(self, wanted: Literal["running", "stopped"]) -> None:
        """Write down what the instance shall do, before anything is done about it."""
        if self.record.wanted != wanted:
            self.record = self.record.model_copy(update={"wanted": wanted})
            write_atomically(self.folder / "instance.json", self.record.canonical())


class Instances:
    """All instances of one target."""

    def __init__(self, directory: Path, target: str) -> None:
        self._directory = directory
        self._target = target

    def all(self, component: str = "*") -> list[Instance]:
        """Every instance, those that run first, then the newest deployment first. Half-made folders are hidden and not seen."""
        paths = self._directory.glob(f"instances/{component}/[A-Za-z0-9]*/instance.json")
        found = [instance for path in paths if (instance := _read(path)) is not None]
        newest = sorted(found, key=lambda one: one.record.deployment_id, reverse=True)
        return sorted(newest, key=lambda one: not one.process.runs())

    def of(self, component: str, deployment_id: str) -> Instance | None:
        """The instance of a deployment."""
        return next((one for one in self.all(_safe(component)) if one.record.deployment_id == deployment_id), None)

    def create(self, spec: TargetSpec, component: ComponentSpec, sticker: bytes, effect: Effect, image_root: Path) -> Instance:
        """An instance with its sticker and its copy of the image's files, not running."""
        record = InstanceRecord(
            component=component,
            environment=spec.environment,
            target=spec.target,
            release=spec.release,
            release_digest=spec.release_digest,
            deployment_id=spec.deployment_id,
            fence=effect.fence,
            effect=effect.key,
        )
        folder = self._directory / "instances" / _safe(component.name) / _safe(spec.deployment_id)
        with appearing_folder(folder) as hidden:
            copy_tree(image_root, hidden / "rootfs")
            write_atomically(hidden / STICKER_NAME, sticker, 0o444)
            write_atomically(hidden / "instance.json", record.canonical())
        return Instance(folder, record)

    def remove(self, instance: Instance) -> None:
        """Remove a stopped instance: hidden at once, then emptied."""
        hidden = instance.folder.with_name(f".{instance.folder.name}.removed")
        remove_tree(hidden)
        instance.folder.replace(hidden)
        remove_tree(hidden)

    def fence(self) -> int:
        """The highest fence that ever acted on the target."""
        path = self._directory / "fence"
        text = path.read_text().strip() if path.is_file() else ""
        return max([int(text) if text.isdigit() else 0, *(one.record.fence for one in self.all())])

    def require_fence(self, effect: Effect) -> None:
        """Raise when a newer holder has acted; otherwise remember this one. Called under the target's lock."""
        newest = self.fence()
        if newest > effect.fence:
            raise StaleFence(
                f"Target {self._target} was changed under fence {newest}; this call acts under the older fence {effect.fence}.",
                next_step="Stop this run: another one holds the target's lease now.",
            )
        if effect.fence > newest or not (self._directory / "fence").exists():
            write_atomically(self._directory / "fence", str(effect.fence).encode())


def running_sticker(instances: Iterable[Instance]) -> bytes | None:
    """The sticker of the latest deployment that runs, which speaks for the target. Deployment ids sort by time."""
    running = [one for one in instances if one.process.runs()]
    newest = max(running, key=lambda one: one.record.deployment_id, default=None)
    return None if newest is None else newest.sticker()


def _read(path: Path) -> Instance | None:
    try:
        return Instance(path.parent, InstanceRecord.model_validate_json(path.read_bytes()))
    except (OSError, ValidationError):
        return None


def _safe(name: str) -> str:
    """A name that may become a folder."""
    if not _SAFE.fullmatch(name):
        raise TargetRefused(f"{name[:80]!r} cannot name a folder.", next_step="Use letters, digits, '_' and '-'.")
    return name
