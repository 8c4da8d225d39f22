"""Whether an export's streams are without a gap and reach as far as its question. Pure; remembers a few numbers per stream.

A stream begins with its first packet, or with one that stands in front of the span; it ends with one behind the span, or is proven by the log's
tail to have no more. So whoever took packets out at an end would have to leave a border that is none.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from stella_pipelines.evidence.exports.errors import QuestionNotAnswered, SequenceGap
from stella_pipelines.evidence.exports.manifest import StreamSpan
from stella_pipelines.evidence.exports.question import Question
from stella_pipelines.evidence.log.entries import LogEntry


@dataclass(slots=True)
class _Line:
    """How far one stream was followed."""

    span: StreamSpan
    purged: array[int]
    next: int
    place: int = 0
    """The next purged number that was not passed yet."""
    first_at: datetime | None = None
    last_at: datetime | None = None
    last_index: int = -1

    def pass_purged(self) -> None:
        while self.place < len(self.purged) and self.purged[self.place] == self.next:
            self.next += 1
            self.place += 1


@dataclass
class Purged:
    """The numbers of packets whose bytes were purged and whose leaves are there, by stream."""

    numbers: dict[str, array[int]] = field(default_factory=dict)
    indexes: dict[str, int] = field(default_factory=dict)

    def take(self, entry: LogEntry) -> None:
        """One more, in the order of the log."""
        self.numbers.setdefault(entry.stream, array("q")).append(entry.sequence)
        self.indexes[entry.stream] = entry.index


class DenseStreams:
    """Fed with the entries of an export in the order of the log."""

    def __init__(self, question: Question, spans: Iterable[StreamSpan], purged: Purged) -> None:
        self._question = question
        none: array[int] = array("q")
        self._lines = {span.stream: _Line(span, purged.numbers.get(span.stream, none), span.first or 1) for span in spans}
        for stream, line in self._lines.items():
            line.last_index = purged.indexes.get(stream, -1)

    def has(self, stream: str) -> bool:
        """Whether the stream must be here without a gap."""
        return stream in self._lines

    def take(self, entry: LogEntry, at: datetime) -> None:
        """The next entry of one of these streams; `SequenceGap` if it is not the one that must follow."""
        line = self._lines[entry.stream]
        line.pass_purged()
        if line.span.first is None or entry.sequence != line.next:
            raise SequenceGap(f"No. {entry.sequence} of {entry.stream} stands where no. {line.next} must be.")
        line.first_at = at if entry.sequence == line.span.first else line.first_at
        line.last_at, line.last_index = at, max(line.last_index, entry.index)
        line.next += 1

    def require_whole(self) -> None:
        """Every stream went to where the manifest says, and that is where the question ends."""
        for stream, line in self._lines.items():
            line.pass_purged()
            span = line.span
            if span.first is None or span.last is None:
                _require(
                    span.first is None and span.last is None and span.end != "followed", f"{stream} has a first packet and no last one, or none to follow."
                )
                continue
            if line.next != span.last + 1 or line.place != len(line.purged):
                raise SequenceGap(f"{stream} ends with no. {line.next - 1}; the manifest says no. {span.last}.")
            begins = span.first == 1 or (line.first_at is not None and not self._question.is_in_span(line.first_at))
            _require(begins, f"{stream} begins with no. {span.first}, and nothing shows that those before are not asked for.")
            followed = line.last_at is not None and not self._question.is_in_span(line.last_at)
            _require(span.end != "followed" or followed, f"{stream} ends with no. {span.last}, and nothing shows that those behind are not asked for.")

    def tail_from(self) -> int | None:
        """From which index on the log's leaves must be there; None if no stream needs them."""
        newest = [line.last_index + 1 for line in self._lines.values() if line.span.end == "newest"]
        return min(newest) if newest else None

    def take_tail(self, entry: LogEntry) -> None:
        """A leaf of the log's tail: none of a stream that is said to have ended before."""
        line = self._lines.get(entry.stream)
        if line is not None and line.span.end == "newest" and entry.sequence > (line.span.last or 0):
            raise SequenceGap(f"No. {entry.sequence} of {entry.stream} stands in the log, and the export says that it ends with no. {line.span.last or 0}.")
        _require(line is not None or not self._question.is_everything, f"{entry.stream} stands in the log, and the export knows nothing of it.")


def ends_in_words(spans: Iterable[StreamSpan]) -> Mapping[str, str]:
    """What is proven of each stream's end, for people."""
    words = {"followed": "the next one is there too", "newest": "nothing follows in the log", "stated": "nothing follows, says the installation"}
    return {span.stream: words[span.end] for span in spans}


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise QuestionNotAnswered(otherwise)
