"""What differs between two estates, for people and scripts. Pure data; how it is shown is up to whoever shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

from pydantic import JsonValue

from stella_pipelines.core.values import Value
from stella_pipelines.environments.model import Estate
from stella_pipelines.environments.problems import Path, dotted

NOUNS: Final = {
    "registries": "registry",
    "components": "component",
    "environments": "environment",
    "targets": "target",
    "policies": "policy",
    "freeze_windows": "freeze window",
}
"""Each section of an estate, and what one of its items is called."""
_KEYS: Final = ("name", "host")


class FieldChange(Value):
    """One field inside something that changed. None stands for absent: a field that is added has no `before`."""

    path: str
    before: JsonValue = None
    after: JsonValue = None


class Change(Value):
    """One thing that is added, removed or changed. `before` and `after` are its whole documents, `fields` what differs in them."""

    kind: Literal["add", "remove", "change"]
    noun: str
    name: str
    before: dict[str, JsonValue] | None = None
    after: dict[str, JsonValue] | None = None
    fields: tuple[FieldChange, ...] = ()

    @property
    def subject(self) -> str:
        """`environment/prod`: the thing's name where nouns mix, as in leases and audit entries."""
        return f"{self.noun.replace(' ', '_')}/{self.name}"


def diff(old: Estate, new: Estate) -> tuple[Change, ...]:
    """Every difference, section by section, in the order of names. Two estates with the same content have none."""
    before, after = old.document(), new.document()
    return tuple(change for section, noun in NOUNS.items() for change in _section(noun, _by_name(before[section]), _by_name(after[section])))


def _section(noun: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    for name in sorted(before.keys() | after.keys()):
        was, becomes = before.get(name), after.get(name)
        if was is None:
            yield Change(kind="add", noun=noun, name=name, after=becomes)
        elif becomes is None:
            yield Change(kind="remove", noun=noun, name=name, before=was)
        elif was != becomes:
            yield Change(kind="change", noun=noun, name=name, before=was, after=becomes, fields=tuple(_fields(was, becomes, ())))


def _fields(was: Any, becomes: Any, path: Path) -> Iterator[FieldChange]:
    if was == becomes:
        return
    if _is_named_list(was) and _is_named_list(becomes):
        before, after = _by_name(was), _by_name(becomes)
        if list(before) != list(after) and before.keys() == after.keys():
            yield FieldChange(path=f"{dotted(path)} (order)", before=list(before), after=list(after))
        was, becomes = before, after
    if not (isinstance(was, dict) and isinstance(becomes, dict)):
        yield FieldChange(path=dotted(path), before=was, after=becomes)
        return
    for key in [*was, *(key for key in becomes if key not in was)]:
        yield from _fields(was.get(key), becomes.get(key), (*path, key))


def _is_named_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) and "name" in item for item in value)


def _by_name(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {next(item[key] for key in _KEYS if key in item): item for item in items}
