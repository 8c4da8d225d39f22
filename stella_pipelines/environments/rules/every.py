"""All rules of an estate, in one call. A new rule is one more line here."""

from __future__ import annotations

from stella_pipelines.environments.model import Estate
from stella_pipelines.environments.rules.environments import gates_can_open, path_without_cycle, windows_have_a_gate
from stella_pipelines.environments.rules.finding import Finding
from stella_pipelines.environments.rules.people_and_variables import approvers_are_actors, overrides_take_two, variables_are_names
from stella_pipelines.environments.rules.places import engines_well_named, ports_once, registries_reachable, repositories, targets_apart
from stella_pipelines.environments.rules.policies import policies_compile
from stella_pipelines.environments.rules.references import Names, declared_once, names_of, references
from stella_pipelines.environments.rules.windows import windows_happen


def findings(estate: Estate, names: Names | None = None) -> tuple[Finding, ...]:
    """Everything that is wrong with `estate`. `names` are the declared names when they are more than the estate has (a file that was partly read)."""
    names = names_of(estate) if names is None else names
    return (
        *declared_once(names),
        *references(estate, names),
        *path_without_cycle(estate),
        *gates_can_open(estate),
        *windows_happen(estate),
        *policies_compile(estate),
        *registries_reachable(estate),
        *repositories(estate),
        *ports_once(estate),
        *targets_apart(estate),
        *engines_well_named(estate),
        *approvers_are_actors(estate),
        *overrides_take_two(estate),
        *variables_are_names(estate),
    )


def findings_of_absence(estate: Estate) -> tuple[Finding, ...]:
    """What is missing. Asked only of an estate that is otherwise right: in a broken one, the missing part may be the broken one."""
    return tuple(windows_have_a_gate(estate))
