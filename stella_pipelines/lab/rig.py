"""The real parts of an `engines` lab: one registry, four engines, two SSH servers. Started together, since each takes its time alone."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

from stella_pipelines.lab.addresses import LabAddresses
from stella_pipelines.lab.certificates import LabAuthority, write_ssh_key
from stella_pipelines.lab.engines import ENGINE_TLS_PORT, Engine, EngineSettings, EngineTls
from stella_pipelines.lab.errors import LabNotStarted
from stella_pipelines.lab.hosts import ENVIRONMENT_OF, LabHost, LabSsh, LabTls
from stella_pipelines.lab.kernel import storage_driver
from stella_pipelines.lab.ports import free_port
from stella_pipelines.lab.programs import program
from stella_pipelines.lab.registry import PROGRAMS as REGISTRY_PROGRAMS
from stella_pipelines.lab.registry import LabRegistry
from stella_pipelines.lab.sshd import SshServer

KEY_FILE_BEFORE: Final = 23
"""Engines before this release take their id from a key file, later ones from a file in their data folder."""
_APP_PORT: Final = 8080
_COMMAND_TIMEOUT_S: Final = 10.0


class Rig:
    """Starts the parts, describes the hosts, and kills the parts. What killed engines leave behind is `removal.py`'s business."""

    def __init__(self, folder: Path, addresses: LabAddresses) -> None:
        self._folder, self._addresses = folder, addresses
        self._keys = folder / "keys"
        self.registry = LabRegistry(program(*REGISTRY_PROGRAMS), folder / "registry", addresses.registry)
        self.engines: dict[str, Engine] = {}
        self.ssh_servers: dict[str, SshServer] = {}

    def start(self) -> dict[str, LabHost]:
        """Start everything, wait until everything answers, and describe the hosts."""
        self._keys.mkdir(mode=0o700)
        self.registry.start()
        make_bridges(self._addresses)
        self._make_engines()
        for engine in self.engines.values():
            engine.start()
        self._make_ssh_servers()
        for server in self.ssh_servers.values():
            server.start()
        self._wait()
        return self._describe()

    def stop(self) -> None:
        """Kill and reap every process that we started ourselves."""
        for server in self.ssh_servers.values():
            server.stop()
        for engine in self.engines.values():
            engine.stop()
        self.registry.stop()

    def _wait(self) -> None:
        self.registry.wait()
        for server in self.ssh_servers.values():
            server.wait()
        for engine in self.engines.values():
            engine.wait()

    def _make_engines(self) -> None:
        has_key_file, driver = engine_release() < KEY_FILE_BEFORE, storage_driver(self._folder)
        for index, name in enumerate(ENVIRONMENT_OF):
            settings = EngineSettings(
                name=name,
                folder=self._folder / "hosts" / name,
                address=self._addresses.host(index),
                bridge=self._addresses.bridge(index),
                extra_networks=self._addresses.extra_networks(index),
                cgroup=self._addresses.cgroup,
                storage_driver=driver,
                tls=self._make_tls(self._addresses.host(index)) if name == "staging" else None,
            )
            self.engines[name] = Engine(settings, has_key_file=has_key_file)

    def _make_tls(self, address: str) -> EngineTls:
        authority = LabAuthority()
        authority.write_ca(self._keys / "ca.pem")
        authority.write_server(self._keys / "engine.pem", self._keys / "engine.key", address)
        authority.write_client(self._keys / "client.pem", self._keys / "client.key", "stella")
        return EngineTls(free_port([address], ENGINE_TLS_PORT), self._keys / "ca.pem", self._keys / "engine.pem", self._keys / "engine.key")

    def _make_ssh_servers(self) -> None:
        (self._keys / "authorized_keys").write_text(write_ssh_key(self._keys / "ssh_ed25519") + "\n")
        for name, environment in ENVIRONMENT_OF.items():
            if environment == "prod":
                settings = self.engines[name].settings
                self.ssh_servers[name] = SshServer(program("sshd"), settings.folder / "ssh", settings.address, self._keys / "authorized_keys", settings.socket)

    def _describe(self) -> dict[str, LabHost]:
        port = free_port([engine.settings.address for engine in self.engines.values()], _APP_PORT)
        return {name: self._host(engine.settings, port) for name, engine in self.engines.items()}

    def _host(self, settings: EngineSettings, port: int) -> LabHost:
        server = self.ssh_servers.get(settings.name)
        tls = settings.tls
        return LabHost(
            name=settings.name,
            environment=ENVIRONMENT_OF[settings.name],
            address=settings.address,
            port=port,
            folder=settings.folder,
            docker_endpoint=f"tcp://{settings.address}:{tls.port}" if tls else f"unix://{settings.socket}",
            docker_socket=settings.socket,
            ssh=LabSsh(port=server.port, host_key=server.host_key, private_key=self._keys / "ssh_ed25519") if server else None,
            tls=LabTls(ca_file=tls.ca_file, certificate_file=self._keys / "client.pem", key_file=self._keys / "client.key") if tls else None,
        )


def make_bridges(addresses: LabAddresses) -> None:
    """A bridge for every host, in one call."""
    lines = []
    for index in range(len(ENVIRONMENT_OF)):
        name = addresses.bridge(index)
        lines += [f"link add {name} type bridge", f"addr add {addresses.bridge_address(index)} dev {name}", f"link set {name} up"]
    _run(program("ip"), "-batch", "-", text="\n".join(lines) + "\n")


def engine_release() -> int:
    """The major release of this machine's dockerd (`Docker version 20.10.24+dfsg1, build …` → 20)."""
    said = _run(program("dockerd"), "--version")
    found = re.search(r"version (\d+)\.", said)
    if found is None:
        raise _not_started(f"`dockerd --version` says {said.strip()[:100]!r}")
    return int(found[1])


def _run(*words: str, text: str = "") -> str:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False, timeout=_COMMAND_TIMEOUT_S)
    if done.returncode != 0:
        raise _not_started(f"`{' '.join(words)}` failed: {done.stderr.strip()}")
    return done.stdout


def _not_started(what: str) -> LabNotStarted:
    return LabNotStarted(f"The lab cannot be started: {what}.", unchanged="It has been removed again.", next_step="Use the embedded lab (LAB=embedded).")
