"""What a new estate lets go of: environments and targets that it no longer has, and targets that it has somewhere else. Pure.

A target is a name and a place. Under a new place the name stays, and what runs in the old one is out of sight; so a target that moves, to another
environment or to another place, leaves as much as one that is removed. Another key, user, certificate, host key or address for published
ports is no other place.
"""

from __future__ import annotations

from stella_pipelines.core.values import Value
from stella_pipelines.environments.model import Estate
from stella_pipelines.environments.rules.places import endpoint_of


class Moved(Value):
    """From which place to which other one a target goes."""

    origin: str
    to: str


class Leaving(Value):
    """Names of what goes away. `moved` are those of the targets that only change their place."""

    environments: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    moved: dict[str, Moved] = {}

    @property
    def subjects(self) -> frozenset[str]:
        """`environment/prod`, `target/prod-1`: the names as they stand in leases and changes."""
        return frozenset(f"environment/{name}" for name in self.environments) | frozenset(f"target/{name}" for name in self.targets)


def what_leaves(old: Estate, new: Estate) -> Leaving:
    """Everything of `old` that nobody would look after under `new`."""
    becomes = {target.name: target for target in new.targets}
    gone, moved = set[str](), dict[str, Moved]()
    for target in old.targets:
        after = becomes.get(target.name)
        if after is None or after.environment != target.environment:
            gone.add(target.name)
        elif endpoint_of(after) != endpoint_of(target):
            moved[target.name] = Moved(origin=endpoint_of(target), to=endpoint_of(after))
    environments = {environment.name for environment in old.environments} - {environment.name for environment in new.environments}
    return Leaving(environments=frozenset(environments), targets=frozenset(gone | moved.keys()), moved=moved)
