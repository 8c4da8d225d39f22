"""Reading a `WWW-Authenticate` header (RFC 9110, and the Distribution token specification). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.request import parse_http_list

from stella_pipelines.core.values import Value


class Challenge(Value):
    """How a registry wants to be asked. `scheme` is lower-case; `parameters` have lower-case names."""

    scheme: str
    parameters: dict[str, str] = {}


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Every challenge of every header line, in order. What cannot be read is left out: an unreadable challenge is none that we can meet."""
    found: list[Challenge] = []
    for part in (part for header in headers for part in parse_http_list(header)):
        words, separator, value = part.partition("=")
        scheme, space, name = words.strip().rpartition(" ")
        if not separator:
            found.append(Challenge(scheme=part.strip().lower()))
            continue
        if space:
            found.append(Challenge(scheme=scheme.strip().lower()))
        if found:
            found[-1] = _with(found[-1], name.lower(), _unquoted(value.strip()))
    return found


def _with(challenge: Challenge, name: str, value: str) -> Challenge:
    return Challenge(scheme=challenge.scheme, parameters={**challenge.parameters, name: value})


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text.startswith('"') and text.endswith('"'):
        return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return text
