"""The promotion path and the gates on it: no cycle, and no gate that could never open or never close."""

from __future__ import annotations

from collections.abc import Iterator

from stella_pipelines.environments.model import ApprovalGateConfig, Environment, Estate, FreezeGateConfig, Gate, PreviousEnvironmentGateConfig
from stella_pipelines.environments.problems import Path
from stella_pipelines.environments.promotion_path import find_cycle
from stella_pipelines.environments.rules.finding import Finding


def path_without_cycle(estate: Estate) -> Iterator[Finding]:
    """Nothing is promoted in a circle."""
    cycle = find_cycle(estate.environments)
    if cycle is not None:
        yield Finding(("environments", cycle[1], "promotes_from"), f"the promotion path goes in a circle: {' → '.join(cycle)}")


def gates_can_open(estate: Estate) -> Iterator[Finding]:
    """Gates that no release could ever pass."""
    for environment in estate.environments:
        for gate in gates_of(environment):
            at: Path = ("environments", environment.name, "gates", gate.name)
            if isinstance(gate.config, ApprovalGateConfig):
                yield from _enough_people(gate.config, at)
            if isinstance(gate.config, PreviousEnvironmentGateConfig) and not environment.promotes_from:
                yield Finding(at, f"never opens: '{environment.name}' has no 'promotes_from', so there is no previous environment")


def windows_have_a_gate(estate: Estate) -> Iterator[Finding]:
    """A freeze window that names an environment without a freeze_window gate would close nothing."""
    gated = {environment.name for environment in estate.environments if any(isinstance(gate.config, FreezeGateConfig) for gate in gates_of(environment))}
    for window in estate.freeze_windows:
        for index, name in enumerate(window.environments):
            if name not in gated:
                yield Finding(
                    ("freeze_windows", window.name, "environments", index),
                    f"'{name}' has no gate of kind freeze_window, so this window would close nothing; add 'freeze: {{kind: freeze_window}}' to its gates",
                )


def gates_of(environment: Environment) -> tuple[Gate, ...]:
    """The gates; none of them when the environment says so."""
    return () if environment.gates == "none" else environment.gates


def _enough_people(config: ApprovalGateConfig, at: Path) -> Iterator[Finding]:
    if not config.groups:
        yield Finding((*at, "groups"), "is empty; a group is name: {required: 1, members: [ada, grace]}")
    for group in config.groups:
        path: Path = (*at, "groups", group.name)
        people = set(group.members)
        if len(people) != len(group.members):
            yield Finding((*path, "members"), "one person is in this list twice, and would still fill one seat")
        if len(people) < group.required:
            yield Finding((*path, "required"), f"never opens: {group.required} must approve, and the group has {len(people)}")
    everybody = {person for group in config.groups for person in group.members}
    seats = sum(group.required for group in config.groups)
    if len(config.groups) > 1 and len(everybody) < seats and all(len(set(group.members)) >= group.required for group in config.groups):
        yield Finding((*at, "groups"), f"never opens: {seats} seats for {len(everybody)} different people, and one person fills one seat in one group only")
