"""Where things are: registries, repositories, engines, hosts. Two targets are two places."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Iterator
from typing import Final

from stella_pipelines.core.limits import TARGETS_MAX
from stella_pipelines.core.references import ImageReference, InvalidReference
from stella_pipelines.environments.model import DockerAccess, Estate, Registry, Target
from stella_pipelines.environments.problems import Path
from stella_pipelines.environments.rules.finding import Finding

_TCP: Final = re.compile(r"tcp://(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")
_HOST_KEY: Final = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]{20,}={0,2}( .*)?")


def registries_reachable(estate: Estate) -> Iterator[Finding]:
    """Each registry says enough to be spoken to, and nothing that is unsafe."""
    for registry in estate.registries:
        at: Path = ("registries", registry.host)
        if not _is_reference(f"{registry.host}/x"):
            yield Finding(at, "a registry is named by its host, with a dot or a port, such as registry.example.com or 127.0.0.1:5000")
        elif registry.plain_http and not _is_loopback(registry.host):
            yield Finding((*at, "plain_http"), "plain HTTP is for registries on this machine (loopback) only")
        yield from _registry_kind(registry, at)


def repositories(estate: Estate) -> Iterator[Finding]:
    """A component's repository names a registry and no tag: the release says which image."""
    for component in estate.components:
        at: Path = ("components", component.name, "repository")
        try:
            reference = ImageReference.parse(component.repository)
        except InvalidReference as error:
            yield Finding(at, f"{error.what} {error.next_step}")
            continue
        if reference.tag or reference.digest:
            yield Finding(at, f"has a tag or digest; write {reference.repository}, a release pins the digest")


def ports_once(estate: Estate) -> Iterator[Finding]:
    """One component does not publish two ports in one place."""
    for component in estate.components:
        taken = [(port.address, port.host) for port in component.ports]
        for index, place in enumerate(taken):
            if place in taken[:index]:
                yield Finding(("components", component.name, "ports", index, "host"), f"port {place[1]} is published twice")


def targets_apart(estate: Estate) -> Iterator[Finding]:
    """No two targets are one place: a rollout would fight itself."""
    if len(estate.targets) > TARGETS_MAX:
        yield Finding(("targets",), f"{len(estate.targets):,} targets; at most {TARGETS_MAX:,} are supported")
    first: dict[str, str] = {}
    for target in estate.targets:
        other = first.setdefault(endpoint_of(target), target.name)
        if other != target.name:
            yield Finding(("targets", target.name), f"is the same place as the target '{other}': {endpoint_of(target)}")


def engines_well_named(estate: Estate) -> Iterator[Finding]:
    """Endpoints and host keys that a connector can use."""
    for target in estate.targets:
        if target.docker is not None:
            yield from _engine(target.docker, ("targets", target.name, "docker"))


def endpoint_of(target: Target) -> str:
    """Which place a target is, whoever logs in there. Names are not looked up: two names of one host are two places here."""
    if target.process is not None:
        return f"process {posixpath.normpath(target.process.directory)}"
    if target.docker is None:
        return f"nothing {target.name}"
    scheme, _, rest = target.docker.endpoint.partition("://")
    place = f"{scheme}://{rest.lower()}" if scheme == "tcp" else f"{scheme}://{posixpath.normpath(rest)}"
    ssh = target.docker.ssh
    return f"docker {place} on {ssh.host.lower()}:{ssh.port}" if ssh else f"docker {place}"


def _registry_kind(registry: Registry, at: Path) -> Iterator[Finding]:
    if registry.kind == "layout":
        if registry.path is None:
            yield Finding(at, "a layout registry needs 'path', the folder of the OCI image layout")
        extra = [key for key in ("ca_file", "username", "password") if getattr(registry, key) is not None]
        for key in [*extra, *(["plain_http"] if registry.plain_http else [])]:
            yield Finding((*at, key), "a layout registry is a folder and is not spoken to over the network")
        return
    if registry.path is not None:
        yield Finding((*at, "path"), "only a registry of kind layout has a path")
    if (registry.username is None) != (registry.password is None):
        yield Finding(at, "'username' and 'password' go together")
    if registry.plain_http and registry.ca_file is not None:
        yield Finding((*at, "ca_file"), "plain HTTP has no certificates; remove 'ca_file' or 'plain_http'")


def _engine(docker: DockerAccess, at: Path) -> Iterator[Finding]:
    if docker.endpoint.startswith("tcp://"):
        match = _TCP.fullmatch(docker.endpoint)
        if match is None or not 0 < int(match[2]) <= 65535:
            yield Finding((*at, "endpoint"), "is tcp://host:port, with the port")
    if docker.ssh is not None and not _HOST_KEY.fullmatch(docker.ssh.host_key):
        yield Finding((*at, "ssh", "host_key"), "is the host's public key line, such as 'ssh-ed25519 AAAA…' (ssh-keyscan prints it after the host's name)")


def _is_reference(text: str) -> bool:
    try:
        ImageReference.parse(text)
    except InvalidReference:
        return False
    return True


def _is_loopback(host: str) -> bool:
    name = host.rsplit(":", 1)[0] if re.search(r":[0-9]+$", host) else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
