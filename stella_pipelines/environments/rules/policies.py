"""Policies that are CEL: the expression compiles. What it says about a release is judged by the policy gate, not here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import cel

from stella_pipelines.environments.model import Estate
from stella_pipelines.environments.rules.finding import Finding

EXPRESSION_CHARS_MAX: Final = 10_000
_PLACE: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?([^\n]*)")


def policies_compile(estate: Estate) -> Iterator[Finding]:
    """Every policy's expression, with the line and column where CEL stumbles."""
    for policy in estate.policies:
        trouble = _trouble(policy.cel)
        if trouble:
            yield Finding(("policies", policy.name, "cel"), trouble)


def _trouble(expression: str) -> str | None:
    if len(expression) > EXPRESSION_CHARS_MAX:
        return f"is longer than {EXPRESSION_CHARS_MAX:,} characters"
    if not expression.strip():
        return "is empty; an empty policy allows nothing"
    try:
        cel.compile(expression)
    except ValueError as error:
        return _located(str(error))
    return None


def _located(message: str) -> str:
    match = _PLACE.search(message)
    if match is None:
        return f"is not CEL: {message[:200]}"
    line, column, trouble = match.groups()
    return f"is not CEL: line {line}, column {column} of the expression: {trouble.split(' expecting {')[0]}"
