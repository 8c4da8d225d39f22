"""How a packet says that its matter ended, in one word. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stella_pipelines.evidence.statement import Kind, Statement

_PLACES: Final[Mapping[Kind, tuple[str, str]]] = {
    "decision": ("decision", "outcome"),
    "deployment": ("deployment", "state"),
    "rollback": ("deployment", "state"),
    "override": ("override", "verdict"),
    "drift": ("drift", "state"),
}


def verdict_in(statement: Statement) -> str | None:
    """The word, or None for a packet that says none."""
    place = _PLACES.get(statement.kind) if statement.kind else None
    told = statement.predicate.get(place[0]) if place else None
    word = told.get(place[1]) if place and isinstance(told, dict) else None
    return word if isinstance(word, str) else None
