"""What the lab tells about a host: enough to look at it, to knock on it, and to reach its engine without the product."""

from __future__ import annotations

from pathlib import Path

from stella_pipelines.core.values import Value

ENVIRONMENT_OF: dict[str, str] = {"dev": "dev", "staging": "staging", "prod-1": "prod", "prod-2": "prod"}
"""The lab's targets, in the order of their addresses, and the environment of each."""


class LabSsh(Value):
    """How to log in on a host."""

    port: int
    host_key: str
    private_key: Path


class LabTls(Value):
    """How to speak mutual TLS to a host's engine."""

    ca_file: Path
    certificate_file: Path
    key_file: Path


class LabHost(Value):
    """One target. `address` and `port` are where the shop is published; `docker_socket` is the engine's own door on this machine."""

    name: str
    environment: str
    address: str
    port: int
    folder: Path
    docker_endpoint: str | None = None
    docker_socket: Path | None = None
    ssh: LabSsh | None = None
    tls: LabTls | None = None

    @property
    def url(self) -> str:
        """Where the shop answers once it is deployed."""
        return f"http://{self.address}:{self.port}"
