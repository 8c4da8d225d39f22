"""What the asset graph is made from, read from the store in one go."""

from __future__ import annotations

from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.values import Value
from stella_pipelines.environments.model import Estate


class Catalogue(Value):
    """What the asset graph is made from: the estate at a revision, and which components the finalized releases of each name were ever made of."""

    estate: Estate = Estate()
    revision: int = 0
    releases: dict[str, tuple[str, ...]] = {}
    unavailable: str | None = None
    """Why the store could not be read; then there are no assets, and the code location says so."""

    def components(self) -> tuple[str, ...]:
        """Every component that is declared or released."""
        declared = {component.name for component in self.estate.components}
        return tuple(sorted(declared.union(*self.releases.values())))

    def says(self) -> str:
        """One sentence for the code location's page."""
        if self.unavailable is not None:
            return f"The store could not be read, so there are no assets. {self.unavailable}"
        if not self.estate.environments:
            return "The estate is empty. Declare environments and targets: stella apply -f estate.yaml"
        sizes = f"{len(self.estate.environments)} environments, {len(self.estate.targets)} targets, {len(self.releases)} release names"
        return f"Estate revision {self.revision}: {sizes}."


def read_catalogue(plane: ControlPlane) -> Catalogue:
    """The catalogue as the store has it now. It grows with the estate and the names of releases, and not with how many releases there are."""
    estate, revision = plane.environments.current()
    return Catalogue(estate=estate, revision=revision, releases=plane.releases.components_of_names())
