"""YAML text as plain data, with the place of every key and value, under limits.

Strict on purpose: one document, text keys, each key once, no tags, bounded aliases. Words are read as in YAML 1.2 (`true`, `null`, numbers; `no` and
`on` stay text), and times stay text for the model to judge. What the keys mean is not decided here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import yaml

from stella_pipelines.core.canonical import Json
from stella_pipelines.core.limits import ESTATE_BYTES_MAX
from stella_pipelines.environments.problems import InvalidEstate, Path, Problem, dotted

NODES_MAX: Final = 500_000
"""Values in one file after aliases are expanded; 10,000 targets with everything spelled out take about 300,000. The bound against an alias bomb."""
DEPTH_MAX: Final = 32
"""Nesting; the deepest key of the file form is 8 levels down."""
INTEGER_MAX: Final = 2**53 - 1
"""The largest whole number that canonical JSON can hold."""

_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_NUMBER: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,4})?")
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "~": None, "": None}
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LOADER: Final = yaml.CLoader if yaml.__with_libyaml__ else yaml.SafeLoader


@dataclass(frozen=True)
class Mark:
    """A place in the text, counted from 1."""

    line: int
    column: int


@dataclass
class Source:
    """The data of a file and where each part of it stands. `problems` are those of the YAML itself."""

    name: str
    data: Json = None
    keys: dict[Path, Mark] = field(default_factory=dict)
    values: dict[Path, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> Problem:
        """A problem at `path`; a place that is not in the file is reported at the nearest one around it."""
        marks = (self.keys, self.values) if at_key else (self.values, self.keys)
        near = path
        while near and not any(near in table for table in marks):
            near, marks = near[:-1], (self.keys, self.values)
        mark = next((table[near] for table in marks if near in table), Mark(1, 1))
        return Problem(source=self.name, line=mark.line, column=mark.column, path=dotted(path), message=message)


def read_source(text: str, name: str) -> Source:
    """The data in `text`. Raises `InvalidEstate` when there is no data to speak of; lesser problems are collected in the result."""
    source = Source(name)
    _refuse_oversize(text, name)
    try:
        _Builder(source, yaml.parse(text, Loader=_LOADER)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = "this is not YAML: " + ", ".join(part for part in (error.context, error.problem) if part)
        raise InvalidEstate(name, [*source.problems, Problem(source=name, line=place[0], column=place[1], message=message)]) from error
    except yaml.YAMLError as error:
        raise InvalidEstate(name, [Problem(source=name, message=f"this is not YAML: {' '.join(str(error).split())}")]) from error
    return source


def _refuse_oversize(text: str, name: str) -> None:
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise InvalidEstate(name, [Problem(source=name, line=line, column=1, message="half of a surrogate pair is not text")]) from error
    if size_bytes > ESTATE_BYTES_MAX:
        message = f"the file has {size_bytes:,} bytes; at most {ESTATE_BYTES_MAX:,} are read"
        raise InvalidEstate(name, [Problem(source=name, message=message)])


class _Builder:
    """Turns one document's events into data. An anchored part is kept as its events and replayed where it is named."""

    def __init__(self, source: Source, events: Iterator[yaml.Event]) -> None:
        self._source = source
        self._events = iter(events)
        self._anchors: dict[str, list[yaml.Event]] = {}
        self._recording: list[list[yaml.Event]] = []
        self._replaying: set[str] = set()
        self._nodes = 0

    def document(self) -> None:
        self._expect(yaml.StreamStartEvent)
        event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            raise self._fatal(event, "the file is empty")
        self._source.data = self._value(self._next(), ())
        self._expect(yaml.DocumentEndEvent)
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._fatal(event, "a second document begins here; an estate is one document")

    def _next(self) -> yaml.Event:
        event = next(self._events)
        for record in self._recording:
            record.append(event)
        return event

    def _expect(self, kind: type[yaml.Event]) -> None:
        event = self._next()
        assert isinstance(event, kind), "the YAML parser keeps to its own grammar"

    def _value(self, event: yaml.Event, path: Path) -> Json:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise self._fatal(event, f"more than {NODES_MAX:,} values, counting what aliases repeat")
        if len(path) > DEPTH_MAX:
            raise self._fatal(event, f"nested more than {DEPTH_MAX} deep")
        self._source.values.setdefault(path, _mark(event))
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        tag, anchor = getattr(event, "tag", None), getattr(event, "anchor", None)
        if tag is not None:
            self._complain(event, path, f"the tag '{tag}' is not allowed; plain values only")
        if anchor is None:
            return self._content(event, path)
        return self._anchored(event, path, anchor)

    def _anchored(self, event: yaml.Event, path: Path, anchor: str) -> Json:
        record = [event]
        self._replaying.add(anchor)  # naming an anchor inside itself is a loop
        self._recording.append(record)
        data = self._content(event, path)
        self._recording.pop()
        self._replaying.discard(anchor)
        self._anchors[anchor] = record
        return data

    def _alias(self, event: yaml.AliasEvent, path: Path) -> Json:
        name = event.anchor
        if name in self._replaying or name not in self._anchors:
            raise self._fatal(event, f"'*{name}' names {'itself' if name in self._replaying else 'an anchor that is not above'}")
        outer, recording = self._events, self._recording
        first, *rest = self._anchors[name]
        self._events, self._recording = iter(rest), []
        self._replaying.add(name)
        data = self._content(first, path)
        self._replaying.discard(name)
        self._events, self._recording = outer, recording
        return data

    def _content(self, event: yaml.Event, path: Path) -> Json:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        return self._list(path) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(path)

    def _list(self, path: Path) -> list[Json]:
        items: list[Json] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Json]:
        data: dict[str, Json] = {}
        first: dict[str, Mark] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event, path)
            if key is not None and key in first:
                self._complain(event, (*path, key), f"'{key}' stands here twice; the first is in line {first[key].line}")
                key = None
            if key is None:  # a refused key's value is still read, so that its own problems are found
                self._value(self._next(), (*path, "(refused)"))
                continue
            first[key] = self._source.keys[(*path, key)] = _mark(event)
            data[key] = self._value(self._next(), (*path, key))
        return data

    def _key(self, event: yaml.Event, path: Path) -> str | None:
        if isinstance(event, yaml.ScalarEvent):
            key = self._scalar(event, path)
            if isinstance(key, str) and key != "<<":
                return key
            trouble = f"the key {event.value!r} is not text; write it in quotes"
            if key == "<<":
                trouble = "'<<' does not merge; give a whole section an alias instead"
        else:
            trouble = "a key must be text"
            self._value(event, (*path, "?"))
        self._complain(event, path, trouble)
        return None

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> Json:
        text = event.value
        if _CONTROL.search(text):
            self._complain(event, path, "control characters are not allowed")
        if event.style:  # quoted or a block; plain is None or "" by parser
            return text
        if text in _WORDS:
            return _WORDS[text]
        if not _NUMBER.fullmatch(text):
            return text
        number = int(text) if _INTEGER.fullmatch(text) else float(text)
        if math.isinf(number) or abs(number) > INTEGER_MAX:
            self._complain(event, path, f"the number {text[:30]} is too large; if it is text, write it in quotes")
        return number

    def _complain(self, event: yaml.Event, path: Path, message: str) -> None:
        self._source.problems.append(self._at(event, message, path))

    def _fatal(self, event: yaml.Event, message: str) -> InvalidEstate:
        return InvalidEstate(self._source.name, [*self._source.problems, self._at(event, message, ())])

    def _at(self, event: yaml.Event, message: str, path: Path) -> Problem:
        mark = _mark(event)
        return Problem(source=self._source.name, line=mark.line, column=mark.column, path=dotted(path), message=message)


def _mark(event: yaml.Event) -> Mark:
    at = event.start_mark
    return Mark(at.line + 1, at.column + 1) if at is not None else Mark(1, 1)
