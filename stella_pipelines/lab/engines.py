"""A Docker Engine that is a host of its own in this machine's network: own folder, bridge, addresses, containerd and control group.

It publishes ports on its own loopback address with Docker's userland proxy, so no firewall rule is made. It never reads the
machine's `/etc/docker/daemon.json`, and it runs its own containerd: a second engine on the machine's containerd would share the
first one's containers.
"""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stella_pipelines.lab.daemons import Daemon

ENGINE_TLS_PORT: Final = 2376
_STALE: Final = ("docker.pid", "docker.sock")
_CONTAINERD: Final = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", \
"io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt"]
[grpc]
address = "{folder}/containerd.sock"
[debug]
level = "warn"
"""


@dataclass(frozen=True)
class EngineTls:
    """Mutual TLS of an engine that listens on TCP."""

    port: int
    ca_file: Path
    certificate_file: Path
    key_file: Path


@dataclass(frozen=True)
class EngineSettings:
    """What makes one engine different from the others."""

    name: str
    folder: Path
    address: str
    bridge: str
    extra_networks: str
    cgroup: str
    storage_driver: str
    tls: EngineTls | None = None

    @property
    def socket(self) -> Path:
        """The engine's unix socket. Every engine has one; who may use it is a matter of where it is."""
        return self.folder / "docker.sock"

    def daemon_json(self) -> dict[str, object]:
        """The engine's whole configuration."""
        document: dict[str, object] = {
            "data-root": str(self.folder / "data"),
            "exec-root": str(self.folder / "exec"),
            "pidfile": str(self.folder / "docker.pid"),
            "hosts": [f"unix://{self.socket}"],
            "containerd": str(self.folder / "containerd" / "containerd.sock"),
            "storage-driver": self.storage_driver,
            "features": {"containerd-snapshotter": False},  # engines from 29 on would otherwise not keep images in the storage driver
            "iptables": False,
            "ip6tables": False,
            "ip-masq": False,
            "ip-forward": False,
            "bridge": self.bridge,
            "ip": self.address,
            "default-address-pools": [{"base": self.extra_networks, "size": 28}],
            "cgroup-parent": self.cgroup,
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "labels": [f"stella.lab.host={self.name}"],
            "shutdown-timeout": 1,
        }
        if self.tls is not None:
            document["hosts"] = [f"unix://{self.socket}", f"tcp://{self.address}:{self.tls.port}"]
            document |= {"tlsverify": True, "tlscacert": str(self.tls.ca_file), "tlscert": str(self.tls.certificate_file), "tlskey": str(self.tls.key_file)}
        return document


class Engine:
    """One engine's processes: containerd and dockerd. Starting it again keeps its containers and images."""

    def __init__(self, settings: EngineSettings, *, has_key_file: bool) -> None:
        self.settings, self._has_key_file = settings, has_key_file
        self._daemons: list[Daemon] = []

    def start(self) -> None:
        """Start both processes; `wait()` before using the engine. dockerd itself waits for containerd."""
        folder = self.settings.folder
        for part in ("data", "containerd"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        for name in _STALE:  # a killed engine leaves them behind, and the next one would believe them
            (folder / name).unlink(missing_ok=True)
        (folder / "containerd" / "config.toml").write_text(_CONTAINERD.format(folder=folder / "containerd"))
        (folder / "daemon.json").write_text(json.dumps(self._configuration(), indent=2))
        self._daemons = [
            Daemon(f"containerd of {self.settings.name}", ["containerd", "--config", str(folder / "containerd" / "config.toml")], folder / "containerd.log"),
            Daemon(f"Docker Engine {self.settings.name}", ["dockerd", "--config-file", str(folder / "daemon.json")], folder / "dockerd.log"),
        ]

    def wait(self) -> None:
        """Return when the engine answers its ping."""
        for daemon in self._daemons[-1:]:
            daemon.wait_until(lambda: answers(self.settings.socket))

    def stop(self) -> None:
        """Kill both processes, as a power cut would. Containers go on until the engine is started again or the lab is removed."""
        for daemon in reversed(self._daemons):
            daemon.kill()

    def _configuration(self) -> dict[str, object]:
        """Engines take their id from a file. Without one of its own each would take the machine's, and all would be the same host."""
        folder = self.settings.folder
        if self._has_key_file:
            return self.settings.daemon_json() | {"deprecated-key-path": str(folder / "key.json")}
        (folder / "data" / "engine-id").write_text(f"stella-lab-{self.settings.name}-{self.settings.address}")
        return self.settings.daemon_json()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=2.0)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def answers(socket_path: Path) -> bool:
    """Whether an engine answers behind a unix socket."""
    connection = _UnixConnection(socket_path)
    try:
        connection.request("GET", "/_ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
