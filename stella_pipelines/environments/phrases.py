"""pydantic's findings in plain words: what is expected, what was found, what to write instead."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from pydantic_core import ErrorDetails

from stella_pipelines.environments.problems import nearest, suggestion

_FORMS: Final[Mapping[str, str]] = {
    r"^[a-z][a-z0-9_]{0,62}$": "must begin with a lower-case letter and go on with a–z, 0–9 and _ (63 at most)",
    r"^[a-z][a-z0-9_-]{0,62}$": "must begin with a lower-case letter and go on with a–z, 0–9, _ and - (63 at most)",
    r"^(env://[A-Za-z_][A-Za-z0-9_]*|file:///[^\x00\n]+)$": "must say where the secret is, env://NAME or file:///absolute/path, and never what it is",
    r"^(100|[1-9]?[0-9])%$": "must be a count such as 2, or a percentage such as '25%'",
}
_TIME: Final = "must be a time with a zone, such as 2026-12-24T18:00:00+01:00"
_TYPES: Final[Mapping[str, str]] = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "tuple": "a list (lines that begin with '- ', or [a, b])",
    "list": "a list (lines that begin with '- ', or [a, b])",
    "dict": "a mapping (key: value)",
    "model": "a mapping (key: value)",
    "model_attributes": "a mapping (key: value)",
}


def phrase(error: ErrorDetails, allowed: Collection[str]) -> str:
    """One finding as half a sentence. `allowed` are the keys that may stand at its place."""
    kind = error["type"]
    if kind.startswith(("datetime_", "timezone_")):
        return _TIME
    if kind in _SAYINGS:
        return _SAYINGS[kind](error, allowed)
    if kind.endswith("_type") and kind.removesuffix("_type") in _TYPES:
        return f"must be {_TYPES[kind.removesuffix('_type')]}, not {described(error['input'])}"
    return error["msg"].replace("Input should be", "must be").replace("String should", "must")


def described(value: object) -> str:
    """What stands in the file, for people."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the word {str(value).lower()}"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return f"the {'text' if isinstance(value, str) else 'number'} {str(value)[:60]!r}"


def _unknown_key(error: ErrorDetails, allowed: Collection[str]) -> str:
    return "is not a key here." + suggestion(str(error["loc"][-1]), allowed)


def _pattern(error: ErrorDetails, allowed: Collection[str]) -> str:
    del allowed
    pattern = _context(error).get("pattern", "")
    return f"{_FORMS.get(pattern, f'must match {pattern}')}, not {described(error['input'])}"


def _text(error: ErrorDetails, allowed: Collection[str]) -> str:
    del allowed
    advice = "; write it in quotes" if isinstance(error["input"], bool | int | float) else ""
    return f"must be text, not {described(error['input'])}{advice}"


def _choice(error: ErrorDetails, allowed: Collection[str]) -> str:
    del allowed
    expected = str(_context(error).get("expected", "")).replace("True", "true").replace("False", "false")
    near = nearest(str(error["input"]), [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")])
    return f"must be {expected}, not {described(error['input'])}" + (f"; did you mean '{near}'?" if near else "")


def _branch(error: ErrorDetails, allowed: Collection[str]) -> str:
    del allowed
    context = _context(error)
    return f"'kind' must be one of {context['expected_tags']}, not {context['tag']!r}"


def _context(error: ErrorDetails) -> dict[str, Any]:
    return error.get("ctx", {})


_SAYINGS: Final[Mapping[str, Callable[[ErrorDetails, Collection[str]], str]]] = {
    "extra_forbidden": _unknown_key,
    "missing": lambda _error, _allowed: "is required",
    "string_pattern_mismatch": _pattern,
    "string_type": _text,
    "literal_error": _choice,
    "enum": _choice,
    "union_tag_invalid": _branch,
    "union_tag_not_found": lambda _error, _allowed: "needs 'kind' to say what it is",
    "value_error": lambda error, _allowed: str(_context(error).get("error", error["msg"])),
}
