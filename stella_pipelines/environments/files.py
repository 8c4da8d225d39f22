"""File paths in an estate, made absolute from the folder of the estate file. Lexical only: no file is looked at."""

from __future__ import annotations

import os.path
from pathlib import Path

from stella_pipelines.environments.model import DockerAccess, Estate, ProcessAccess, Registry, Target, TlsAccess


def with_absolute_files(estate: Estate, base: Path) -> Estate:
    """The estate with every relative path resolved against `base`. Secret references and sockets are absolute by their form."""
    return estate.model_copy(
        update={
            "registries": tuple(_registry(registry, base) for registry in estate.registries),
            "targets": tuple(_target(target, base) for target in estate.targets),
        }
    )


def _registry(registry: Registry, base: Path) -> Registry:
    found = {key: _absolute(path, base) for key, path in (("path", registry.path), ("ca_file", registry.ca_file)) if path is not None}
    return registry.model_copy(update=found)


def _target(target: Target, base: Path) -> Target:
    return target.model_copy(
        update={
            "docker": _docker(target.docker, base) if target.docker else None,
            "process": ProcessAccess(directory=_absolute(target.process.directory, base)) if target.process else None,
        }
    )


def _docker(docker: DockerAccess, base: Path) -> DockerAccess:
    return docker.model_copy(update={"tls": _tls(docker.tls, base)}) if docker.tls else docker


def _tls(tls: TlsAccess, base: Path) -> TlsAccess:
    return tls.model_copy(update={"ca_file": _absolute(tls.ca_file, base), "certificate_file": _absolute(tls.certificate_file, base)})


def _absolute(path: str, base: Path) -> str:
    return os.path.normpath(base / path)
