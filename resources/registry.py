"""Image registries as a Dagster resource: the ones that the estate declares, by host."""

import dagster as dg

from resources.control_plane import ControlPlaneResource
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.references import ImageReference
from stella_pipelines.integrations.registries.port import Manifest, RegistryPort


class RegistryResource(dg.ConfigurableResource["RegistryResource"]):
    """A client per registry host, with the credentials and certificates of the estate."""

    control_plane: dg.ResourceDependency[ControlPlaneResource]

    def at(self, host: str) -> RegistryPort:
        """The registry at `host`."""
        return self.control_plane.plane.registry(host)

    def manifest(self, repository: str, digest: Digest) -> Manifest:
        """What the registry serves for a pinned image, verified against its digest."""
        image = ImageReference.parse(f"{repository}@{digest}")
        return self.at(image.host).manifest(image.path, digest)
