"""Whether the entries of each stream are numbered densely and in order, one entry after the other. Pure; remembers one number per stream."""

from __future__ import annotations

from collections.abc import Callable

from stella_pipelines.evidence.log.entries import LogEntry


class StreamsInOrder:
    """Fed with the log's entries from some index on. `before(stream)` says the last number of a stream in front of that index, 0 if there is none."""

    def __init__(self, before: Callable[[str], int]) -> None:
        self._before = before
        self.numbers: dict[str, int] = {}
        """By stream the number that came last."""

    def out_of_order(self, entry: LogEntry) -> str | None:
        """What is wrong with the entry's number, in words, or None."""
        last = self.numbers[entry.stream] if entry.stream in self.numbers else self._before(entry.stream)
        self.numbers[entry.stream] = max(last, entry.sequence)
        if entry.sequence == last + 1:
            return None
        if entry.sequence <= last:
            return f"{entry.id} is no. {entry.sequence} of {entry.stream}, which had no. {last} already"
        missing = f"no. {last + 1}" if entry.sequence == last + 2 else f"nos. {last + 1} to {entry.sequence - 1}"
        return f"{missing} of {entry.stream} is missing before {entry.id}"
