"""Target connectors as Dagster resources, one per kind. A deployment's engine opens the same connectors under its leases."""

from typing import ClassVar

import dagster as dg

from resources.control_plane import ControlPlaneResource
from stella_pipelines.connectors.port import Observation, TargetConnector
from stella_pipelines.environments.errors import TargetUnknown
from stella_pipelines.environments.model import Target


class TargetResource(dg.ConfigurableResource["TargetResource"]):
    """Targets of one kind, by name."""

    kind: ClassVar[str] = ""
    control_plane: dg.ResourceDependency[ControlPlaneResource]

    def target(self, name: str) -> Target:
        """The declared target with this name."""
        estate, _ = self.control_plane.plane.environments.current()
        named = [target for target in estate.targets if target.kind == self.kind]
        found = next((target for target in named if target.name == name), None)
        if found is None:
            known = ", ".join(target.name for target in named) or "none"
            raise TargetUnknown(f"There is no {self.kind} target {name!r}.", next_step=f"Targets of this kind: {known}.")
        return found

    def connect(self, name: str) -> TargetConnector:
        """A connection to the target; open it with `async with`."""
        return self.control_plane.plane.connector(self.target(name))

    async def observe(self, name: str) -> Observation:
        """What the target says that it runs. Changes nothing."""
        async with self.connect(name) as connector:
            return await connector.observe(self.control_plane.plane.clock.now())


class DockerTargetResource(TargetResource):
    """Docker Engines: by socket, TCP with mutual TLS, or SSH."""

    kind: ClassVar[str] = "docker"


class ProcessTargetResource(TargetResource):
    """Folders of plain processes, as the embedded lab has them."""

    kind: ClassVar[str] = "process"
