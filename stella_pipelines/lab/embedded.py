"""The embedded lab's hosts: folders in the place of machines, each with a loopback address of its own so that all use one port."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from stella_pipelines.lab.addresses import LabAddresses
from stella_pipelines.lab.hosts import ENVIRONMENT_OF, LabHost
from stella_pipelines.lab.ports import free_port

LAYOUT_HOST: Final = "registry.lab"
"""The name under which the layout folder stands in image references; nothing resolves it."""
_APP_PORT: Final = 8080


def embedded_hosts(folder: Path, addresses: LabAddresses) -> dict[str, LabHost]:
    """One folder per target."""
    places = {name: addresses.host(index) for index, name in enumerate(ENVIRONMENT_OF)}
    port = free_port(places.values(), _APP_PORT)
    hosts = {}
    for name, address in places.items():
        hosts[name] = LabHost(name=name, environment=ENVIRONMENT_OF[name], address=address, port=port, folder=folder / "hosts" / name)
        hosts[name].folder.mkdir(parents=True)
    return hosts
