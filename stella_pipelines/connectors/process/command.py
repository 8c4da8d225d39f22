"""From an image's config and a component's settings to the command that runs it without a container. Reads the root file system, starts nothing.

Paths of the image are mapped into its unpacked root. Since there is no network namespace, the component is told where to listen:
`PORT` and `HOST` for its first published port, and `STELLA_PORT_<container port>` for each. `STELLA_ROOT` is where its files are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stella_pipelines.connectors.port import ComponentSpec, StartFailed
from stella_pipelines.connectors.process.images import RunSettings
from stella_pipelines.connectors.process.processes import Command
from stella_pipelines.connectors.process.rootfs import LinkLoop, inside

_IMAGE_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where engines look for programs when an image does not say."""


def command_of(settings: RunSettings, rootfs: Path, component: ComponentSpec, variables: Mapping[str, str], address: str) -> Command:
    """The component's entrypoint as a command of this machine."""
    words = (*(settings.entrypoint or ()), *(settings.command or ()))
    return _command(words, settings, rootfs, component, environment(settings, rootfs, component, variables, address))


def healthcheck_of(settings: RunSettings, rootfs: Path, component: ComponentSpec, variables: Mapping[str, str], address: str) -> Command | None:
    """The image's HEALTHCHECK as a command; None when it has none."""
    test = settings.healthcheck.test if settings.healthcheck is not None else ()
    if len(test) < 2 or test[0] not in ("CMD", "CMD-SHELL"):
        return None
    words = test[1:] if test[0] == "CMD" else ("/bin/sh", "-c", test[1])
    return _command(words, settings, rootfs, component, environment(settings, rootfs, component, variables, address))


def environment(settings: RunSettings, rootfs: Path, component: ComponentSpec, variables: Mapping[str, str], address: str) -> dict[str, str]:
    """The image's variables, then the component's, then where to listen: the port on this machine, as the image cannot know it."""
    image = dict(entry.split("=", 1) for entry in settings.environment or () if "=" in entry)
    ports = {f"STELLA_PORT_{port.container}": str(port.host) for port in component.ports}
    first = {"PORT": str(component.ports[0].host), "HOST": component.ports[0].address or address} if component.ports else {}
    # A script's interpreter is this machine's: the one that runs the control plane is certainly there.
    own = {"PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', _IMAGE_PATH)}"}
    return {**own, **image, **variables, **ports, **first, "STELLA_ROOT": str(rootfs)}


def _command(words: tuple[str, ...], settings: RunSettings, rootfs: Path, component: ComponentSpec, variables: dict[str, str]) -> Command:
    if not words:
        raise _cannot_start(component, "its image has neither an entrypoint nor a command")
    try:
        working_directory = inside(rootfs, settings.working_directory or "/")
        file = _program(words[0], rootfs, working_directory, _search_path(settings))
        arguments = tuple(_mapped(word, rootfs) for word in words[1:])
    except LinkLoop as error:
        raise _cannot_start(component, str(error)) from error
    if file is None or not working_directory.is_dir():
        raise _cannot_start(component, f"{words[0] if file is None else settings.working_directory} is not in its image")
    return Command(file=str(file), argv=(_mapped(words[0], rootfs), *arguments), environment=variables, working_directory=str(working_directory))


def _program(word: str, rootfs: Path, working_directory: Path, search_path: str) -> Path | None:
    if "/" in word:
        candidates = [inside(rootfs, word if word.startswith("/") else f"/{working_directory.relative_to(rootfs)}/{word}")]
    else:
        candidates = [inside(rootfs, f"{folder}/{word}") for folder in search_path.split(":") if folder.startswith("/")]
    return next((path for path in candidates if path.is_file() and os.access(path, os.X_OK)), None)


def _search_path(settings: RunSettings) -> str:
    return next((entry.removeprefix("PATH=") for entry in settings.environment or () if entry.startswith("PATH=")), _IMAGE_PATH)


def _mapped(word: str, rootfs: Path) -> str:
    """An absolute path that exists in the image becomes its path here; every other word stays as it is."""
    if not word.startswith("/") or word == "/":
        return word
    found = rootfs / word.lstrip("/")
    return str(found) if inside(rootfs, word).exists() else word


def _cannot_start(component: ComponentSpec, why: str) -> StartFailed:
    return StartFailed(f"{component.name} cannot start: {why}.", unchanged="The instance that ran before is kept.", next_step="Correct the image.")
