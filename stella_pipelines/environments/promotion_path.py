"""The promotion path as a graph: its order, and the cycle that it must not have. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

from stella_pipelines.environments.model import Environment


def find_cycle(environments: Iterable[Environment]) -> tuple[str, ...] | None:
    """A cycle in the direction of promotion, such as `("a", "b", "a")`; None when there is none."""
    try:
        _sorter(environments).prepare()
    except CycleError as error:
        return tuple(error.args[1])
    return None


def in_promotion_order(environments: Iterable[Environment]) -> tuple[Environment, ...]:
    """Upstream before downstream, by name among equals, so that the file's own order never matters. Needs a path without cycles."""
    by_name = {environment.name: environment for environment in environments}
    sorter = _sorter(by_name.values())
    sorter.prepare()
    ordered: list[Environment] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered += [by_name[name] for name in ready if name in by_name]
        sorter.done(*ready)
    return tuple(ordered)


def _sorter(environments: Iterable[Environment]) -> TopologicalSorter[str]:
    return TopologicalSorter({environment.name: environment.promotes_from for environment in environments})
