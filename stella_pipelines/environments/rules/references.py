"""Names that point to something: it must be declared. A name that is declared twice points nowhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from stella_pipelines.environments.model import Estate, PolicyGateConfig
from stella_pipelines.environments.problems import Path, suggestion
from stella_pipelines.environments.rules.finding import Finding

Names = Mapping[str, Collection[str]]
"""Per section of the estate, the names declared there."""


def names_of(estate: Estate) -> Names:
    """The names in an estate; a registry's name is its host."""
    return {
        "registries": [registry.host for registry in estate.registries],
        "components": [component.name for component in estate.components],
        "environments": [environment.name for environment in estate.environments],
        "targets": [target.name for target in estate.targets],
        "policies": [policy.name for policy in estate.policies],
        "freeze_windows": [window.name for window in estate.freeze_windows],
    }


def declared_once(names: Names) -> Iterator[Finding]:
    """Two of one name can only come from a program; a file's keys are unique already."""
    for section, declared in names.items():
        for name, times in Counter(declared).items():
            if times > 1:
                yield Finding((section, name), f"is declared {times} times")


def references(estate: Estate, names: Names) -> Iterator[Finding]:
    """Every mention of an environment, component or policy."""
    for environment in estate.environments:
        at: Path = ("environments", environment.name)
        yield from _known((*at, "promotes_from"), environment.promotes_from, "environment", names["environments"])
        yield from _known((*at, "components"), environment.components, "component", names["components"])
        for gate in environment.gates if environment.gates != "none" else ():
            if isinstance(gate.config, PolicyGateConfig):
                yield from _one((*at, "gates", gate.name, "policy"), gate.config.policy, "policy", names["policies"])
    for target in estate.targets:
        yield from _one(("targets", target.name, "environment"), target.environment, "environment", names["environments"])
    for window in estate.freeze_windows:
        yield from _known(("freeze_windows", window.name, "environments"), window.environments, "environment", names["environments"])


def _known(path: Path, mentioned: tuple[str, ...], noun: str, declared: Collection[str]) -> Iterator[Finding]:
    for index, name in enumerate(mentioned):
        yield from _one((*path, index), name, noun, declared)
        if name in mentioned[:index]:
            yield Finding((*path, index), f"'{name}' is in this list twice")


def _one(path: Path, name: str, noun: str, declared: Collection[str]) -> Iterator[Finding]:
    if name not in declared:
        yield Finding(path, f"there is no {noun} '{name}'.{suggestion(name, declared)}")
