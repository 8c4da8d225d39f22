"""Names that leave the estate: people who approve, and variables that a container gets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pydantic import TypeAdapter, ValidationError

from stella_pipelines.core.actor import ActorName
from stella_pipelines.environments.model import ApprovalGateConfig, Estate, OverridableConfig
from stella_pipelines.environments.problems import Path
from stella_pipelines.environments.rules.environments import gates_of
from stella_pipelines.environments.rules.finding import Finding

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ACTOR: Final[TypeAdapter[str]] = TypeAdapter(ActorName)


def approvers_are_actors(estate: Estate) -> Iterator[Finding]:
    """A member whose name nobody can have would be a seat that nobody fills."""
    for environment in estate.environments:
        for gate in gates_of(environment):
            for group in gate.config.groups if isinstance(gate.config, ApprovalGateConfig) else ():
                at: Path = ("environments", environment.name, "gates", gate.name, "groups", group.name, "members")
                for index, member in enumerate(group.members):
                    if not _can_be_an_actor(member):
                        yield Finding((*at, index), f"{member[:60]!r} cannot be anybody's name; use letters, digits and . _ @ + -")


def overrides_take_two(estate: Estate) -> Iterator[Finding]:
    """Fewer than two people could overrule nothing, and a name that nobody can have is not one of them."""
    for environment in estate.environments:
        for gate in gates_of(environment):
            people = gate.config.overridable_by if isinstance(gate.config, OverridableConfig) else ()
            at: Path = ("environments", environment.name, "gates", gate.name, "overridable_by")
            if len({person.casefold() for person in people}) != len(people) or len(people) == 1:
                yield Finding(at, "names at least two different people, each once: one asks for an override, and another one confirms it")
            for index, person in enumerate(people):
                if not _can_be_an_actor(person):
                    yield Finding((*at, index), f"{person[:60]!r} cannot be anybody's name; use letters, digits and . _ @ + -")


def variables_are_names(estate: Estate) -> Iterator[Finding]:
    """A variable that a shell could not set, or that is both a value and a secret."""
    for environment in estate.environments:
        yield from _names(("environments", environment.name, "variables"), environment.variables)
    for component in estate.components:
        at: Path = ("components", component.name)
        yield from _names((*at, "variables"), component.variables)
        yield from _names((*at, "secrets"), component.secrets)
        for name in component.variables.keys() & component.secrets.keys():
            yield Finding((*at, "secrets", name), f"'{name}' is a variable and a secret; keep one of them")


def _names(at: Path, variables: dict[str, str]) -> Iterator[Finding]:
    for name in variables:
        if not _VARIABLE.fullmatch(name):
            yield Finding((*at, name), f"{name[:60]!r} is not a variable's name; use letters, digits and _")


def _can_be_an_actor(name: str) -> bool:
    try:
        _ACTOR.validate_python(name)
    except ValidationError:
        return False
    return True
