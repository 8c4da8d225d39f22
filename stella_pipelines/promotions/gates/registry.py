"""Finds the kinds of gates through the entry points of group `stella.gates`; the built-ins use the same door.

From a plain checkout, where nothing is installed, the same declarations are read out of the checkout's `pyproject.toml`.
A kind that cannot be loaded, or that two packages claim, becomes a `BrokenGate`: it answers `error`, so it never allows.
"""

from __future__ import annotations

import functools
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final

from stella_pipelines.core.errors import StellaError
from stella_pipelines.environments.model import Gate
from stella_pipelines.promotions.gates.port import GateContext, GateInputs, GateKind, GateVerdict, error

GROUP: Final = "stella.gates"
_CHECKOUT: Final = Path(__file__).resolve().parents[3] / "pyproject.toml"


class GateKindBroken(StellaError):
    """A kind of gate is missing, cannot be loaded, or is claimed twice."""

    code = "GATE_KIND_BROKEN"


class BrokenGate:
    """Stands in for a kind that cannot be used, and says why."""

    def __init__(self, kind: str, why: str) -> None:
        self.kind = kind
        self.why = why

    def gather(self, gate: Gate, context: GateContext) -> GateInputs:
        """Nothing can be gathered."""
        del gate, context
        raise GateKindBroken(f"Gates of kind {self.kind!r} cannot be used: {self.why}", next_step="Install or repair the plugin; the gate is asked again.")

    def judge(self, inputs: GateInputs) -> GateVerdict:
        """Never an allow."""
        del inputs
        return error(f"Gates of kind {self.kind!r} cannot be used: {self.why}", would_change=("Install or repair the plugin.",))


def gate_kinds(declared: Iterable[EntryPoint] | None = None) -> Mapping[str, GateKind]:
    """Every declared kind by name, broken ones included as `BrokenGate`."""
    by_name: dict[str, set[tuple[str, str]]] = defaultdict(set)
    points = {(point.name, point.value): point for point in (declarations() if declared is None else declared)}
    for name, value in points:
        by_name[name].add((name, value))
    return {name: _load(name, [points[key] for key in sorted(keys)]) for name, keys in sorted(by_name.items())}


def kind_named(kinds: Mapping[str, GateKind], name: str) -> GateKind:
    """The kind, or a `BrokenGate` when nobody declares it."""
    return kinds.get(name) or BrokenGate(name, f"nothing installed declares it under the entry-point group {GROUP!r}.")


@functools.cache
def declarations() -> tuple[EntryPoint, ...]:
    """What is installed, and what the checkout declares when the package itself is not installed. Looked for once per process."""
    return (*entry_points(group=GROUP), *_declared_by_checkout(_CHECKOUT))


def _declared_by_checkout(pyproject: Path) -> tuple[EntryPoint, ...]:
    if not pyproject.is_file():
        return ()
    project = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("project", {})
    if project.get("name") != "stella-pipelines":
        return ()
    return tuple(EntryPoint(name, value, GROUP) for name, value in project.get("entry-points", {}).get(GROUP, {}).items())


def _load(name: str, points: list[EntryPoint]) -> GateKind:
    if len(points) > 1:
        return BrokenGate(name, f"it is declared more than once: {', '.join(point.value for point in points)}.")
    try:
        kind: GateKind = points[0].load()()
    except Exception as problem:  # noqa: BLE001 - a plugin's import may raise anything; it becomes a BrokenGate that says why
        return BrokenGate(name, f"{points[0].value} does not load: {type(problem).__name__}.")
    if getattr(kind, "kind", None) != name:
        return BrokenGate(name, f"{points[0].value} calls itself {getattr(kind, 'kind', None)!r}.")
    return kind
