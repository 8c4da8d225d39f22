"""The components that a release may be made of: those that the estate declares. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from stella_pipelines.environments.problems import suggestion
from stella_pipelines.releases.errors import ComponentUndeclared


def require_declared(components: Iterable[str], declared: Collection[str]) -> None:
    """Nothing, when every component is declared. A misspelt one would be released, promoted, and run nowhere."""
    unknown = next((component for component in components if component not in declared), None)
    if unknown is not None:
        raise ComponentUndeclared(
            f"The estate declares no component {unknown[:80]!r}.{suggestion(unknown, declared)}",
            next_step="Correct the name, or declare the component in estate.yaml and run 'stella apply'.",
        )
