"""From the file form to values: names are keys in the file and fields in the model; a target's kind is the section it has.

Every problem is noted and reading goes on. What is right in a broken item is kept, so that later checks see as much as possible; an estate with any
problem is never used. Cross-references are not looked at here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, TypeVar, get_args

from pydantic import ValidationError

from stella_pipelines.core.canonical import Json
from stella_pipelines.core.values import Value
from stella_pipelines.environments.model import (
    ApprovalGateConfig,
    ApprovalGroup,
    Component,
    Environment,
    Estate,
    FreezeWindow,
    Gate,
    GateConfig,
    Policy,
    Registry,
    Target,
)
from stella_pipelines.environments.phrases import described, phrase
from stella_pipelines.environments.problems import Path, Problem, suggestion
from stella_pipelines.environments.shape import place_of, tag_of
from stella_pipelines.environments.source import Source

SECTIONS: Final = tuple(Estate.model_fields)
OWN_KEYS_PREFIX: Final = "x-"
"""Top-level keys that begin so belong to the author: a home for anchors."""
TARGET_KINDS: Final = ("docker", "process")
GATE_CONFIGS: Final[Mapping[str, type[Value]]] = {tag_of(config): config for config in get_args(get_args(GateConfig)[0])}

AnyValue = TypeVar("AnyValue", bound=Value)
Mapped = Mapping[str, Any]


class Reading:
    """One pass over a file: `estate` is what could be read, `names` what was declared in each section, right or wrong."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.problems: list[Problem] = list(source.problems)
        self.names: dict[str, frozenset[str]] = {}
        self.estate = self._estate()

    def _estate(self) -> Estate:
        data = self._mapping(self._source.data, (), "an estate")
        for key in data:
            if key not in SECTIONS and not key.startswith(OWN_KEYS_PREFIX):
                self._complain((key,), "is not a key here." + suggestion(key, SECTIONS), at_key=True)
        if "environments" not in data:
            self._complain((), "'environments' is required; write 'environments: {}' if there are none")
        return Estate(
            registries=self._section(data, "registries", Registry, "host"),
            components=self._section(data, "components", Component),
            environments=tuple(self._environments(data)),
            targets=tuple(self._targets(data)),
            policies=self._section(data, "policies", Policy),
            freeze_windows=self._section(data, "freeze_windows", FreezeWindow),
        )

    def _environments(self, data: Mapped) -> Iterator[Environment]:
        for name, item in self._items(data, "environments"):
            path: Path = ("environments", name)
            gates = self._gates(item["gates"], (*path, "gates")) if "gates" in item else None
            if gates is None and "gates" not in item:
                self._complain(path, "'gates' is required: a mapping of gates, or the word none")
            environment = self._value(Environment, {**item, "gates": "none"}, path, {"name": name})
            if environment is not None:
                yield environment.model_copy(update={"gates": gates or "none"})

    def _targets(self, data: Mapped) -> Iterator[Target]:
        for name, item in self._items(data, "targets"):
            path: Path = ("targets", name)
            kinds = [kind for kind in TARGET_KINDS if kind in item]
            if len(kinds) != 1:
                self._complain(path, f"a target has exactly one of the sections {' and '.join(TARGET_KINDS)}, which says how it is reached")
                continue
            target = self._value(Target, item, path, {"name": name, "kind": kinds[0]})
            if target is not None:
                yield target

    def _gates(self, data: Json, path: Path) -> tuple[Gate, ...] | None:
        if data == "none":
            return None
        if not isinstance(data, dict) or not data:
            self._complain(path, f"must be a mapping name: {{kind: …}} or the word none, not {'empty' if data == {} else described(data)}")
            return None
        gates = []
        for name, item in data.items():
            config = self._gate_config(self._mapping(item, (*path, name), "a gate"), (*path, name))
            if config is None:
                continue
            try:
                gates.append(Gate.model_validate({"name": name, "config": config}))
            except ValidationError as error:
                self._explain(error, Gate, (*path, name), ("name",))
        return tuple(gates)

    def _gate_config(self, item: Mapped, path: Path) -> Value | None:
        kind = item.get("kind")
        model = GATE_CONFIGS.get(kind) if isinstance(kind, str) else None
        if model is None:
            stated = "'kind' is required." if kind is None else f"there is no gate of kind {str(kind)[:60]!r}."
            self._complain((*path, "kind") if kind is not None else path, stated + suggestion(str(kind), GATE_CONFIGS))
            return None
        if model is not ApprovalGateConfig:
            return self._value(model, item, path, {})
        config = self._value(model, {**item, "groups": []}, path, {})
        if "groups" not in item:
            self._complain(path, "'groups' is required: name: {required: 1, members: [ada, grace]}")
            return None
        groups = tuple(self._approval_groups(item["groups"], (*path, "groups")))
        return config and config.model_copy(update={"groups": groups})

    def _approval_groups(self, data: Json, path: Path) -> Iterator[ApprovalGroup]:
        for name, content in self._mapping(data, path, "the groups").items():
            at: Path = (*path, name)
            group = self._value(ApprovalGroup, self._mapping(content, at, "a group"), at, {"name": name})
            if group is not None:
                yield group

    def _section(self, data: Mapped, section: str, model: type[AnyValue], key_field: str = "name") -> tuple[AnyValue, ...]:
        found = (self._value(model, item, (section, name), {key_field: name}) for name, item in self._items(data, section))
        return tuple(value for value in found if value is not None)

    def _items(self, data: Mapped, section: str) -> Iterator[tuple[str, Mapped]]:
        content = self._mapping(data[section], (section,), section) if section in data else {}
        self.names[section] = frozenset(content)
        for name, item in content.items():
            if isinstance(item, dict):
                yield name, item
            else:
                self._mapping(item, (section, name), "it")

    def _mapping(self, data: Json, path: Path, noun: str) -> Mapped:
        if isinstance(data, dict):
            return data
        self._complain(path, f"{noun} must be a mapping (key: value), not {described(data)}")
        return {}

    def _value(self, model: type[AnyValue], item: Mapped, path: Path, given: Mapping[str, str]) -> AnyValue | None:
        """`item` as `model`. `given` are fields that the file form says in another way, and that may not be keys as well."""
        for key in given.keys() & item.keys():
            self._complain((*path, key), f"is not a key here: the {key} is said by the {'key above' if key != 'kind' else 'section given'}", at_key=True)
        content = {**item, **given}
        try:
            return _strictly(model, content)
        except ValidationError as error:
            self._explain(error, model, path, given)
            wrong = {finding["loc"][0] for finding in error.errors() if finding["loc"]}
        try:
            return _strictly(model, {key: part for key, part in content.items() if key not in wrong})
        except ValidationError:
            return None  # explained above

    def _explain(self, error: ValidationError, model: type[Value], path: Path, given: Collection[str]) -> None:
        seen: set[Path] = set()  # a value of several types yields one finding for each; the first says enough
        for finding in error.errors(include_url=False):
            inner, owner = place_of(model, finding["loc"])
            about_name = len(inner) == 1 and inner[0] in given
            allowed = [key for key in owner.model_fields if owner is not model or key not in given]
            message = ("the name " if about_name else "") + phrase(finding, allowed)
            place = path if about_name else (*path, *inner)
            if place not in seen:
                seen.add(place)
                self._complain(place, message, at_key=about_name or finding["type"] == "extra_forbidden")

    def _complain(self, path: Path, message: str, *, at_key: bool = False) -> None:
        self.problems.append(self._source.problem(path, message, at_key=at_key))


def _strictly(model: type[AnyValue], content: Mapped) -> AnyValue:
    # As JSON, because pydantic then takes times and lists from text and arrays, and nothing else: no "80" for 80, no 1 for true.
    return model.model_validate_json(json.dumps(content), strict=True)
