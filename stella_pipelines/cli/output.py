"""Where a command's words go: tables and colour for people on stdout, or exactly one JSON document, never both.

Where no terminal is, a line is never broken or padded, so that ids and digests can be searched and copied; on a terminal only prose folds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from stella_pipelines.cli.exits import Exit
from stella_pipelines.core.errors import StellaError

STATE_STYLES = {
    "deployed": "green",
    "succeeded": "green",
    "allow": "green",
    "healthy": "green",
    "approved": "cyan",
    "deploying": "cyan",
    "running": "cyan",
    "evaluating": "cyan",
    "waiting": "yellow",
    "wait": "yellow",
    "error": "red",
    "deny": "red",
    "rejected": "red",
    "failed": "red",
    "deprecated": "yellow",
    "archived": "dim",
    "unhealthy": "red",
    "rolled_back": "magenta",
    "rollback_failed": "red",
    "cancelled": "dim",
    "expired": "dim",
}


UNBROKEN_CHARS: Final = 100_000
"""Wider than any line that is printed."""
COLUMN_GAP_CHARS: Final = 1
"""What stands between two columns of a table."""


class Output:
    """The two ways to answer. A command builds its document once, and shows it as text or prints it as JSON."""

    def __init__(self, *, as_json: bool = False, console: Console | None = None) -> None:
        self.as_json = as_json
        self.console = console or Console(highlight=False)
        self.errors = console or Console(stderr=True, highlight=False)

    def document(self, value: object) -> None:
        """Print the JSON answer (only with `--json`)."""
        if self.as_json:
            sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")

    def line(self, value: object) -> None:
        """Print one JSON answer of a sequence on a line of its own (only with `--json`), at once, for whoever reads as it comes."""
        if self.as_json:
            sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
            sys.stdout.flush()

    def clear(self) -> None:
        """An empty screen for the next look; a pipe and `--json` keep every look."""
        if not self.as_json:
            self.console.clear()

    def hint(self, text: str) -> None:
        """A line beside the answer, for people: never on stdout, so that it is no part of what a script reads."""
        self.errors.print(f"[yellow]{escape(text)}[/]", soft_wrap=True)

    @contextmanager
    def working(self, description: str) -> Iterator[Callable[[str], None]]:
        """A spinner and the elapsed time while something takes long; nothing where nobody watches (a pipe, a log, `--json`).

        The block gets a function that changes the words.
        """
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True, disable=self.as_json or not self.console.is_terminal) as progress:
            task = progress.add_task(escape(description), total=None)
            yield lambda text: progress.update(task, description=escape(text))

    @contextmanager
    def counting(self, description: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar while something long is counted through; nothing where nobody watches. The block gets a function that says how far it has come."""
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True, disable=self.as_json or not self.console.is_terminal) as progress:
            task = progress.add_task(escape(description), total=total)
            yield lambda done: progress.update(task, completed=done)

    def say(self, text: str) -> None:
        """A line for people; markup allowed, so escape what users or machines wrote."""
        if not self.as_json:
            _print(self.console, text)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], ids: Collection[str] = ()) -> None:
        """A table for people, under a line that is its title; cells may hold markup. The columns in `ids` are never folded."""
        if self.as_json:
            return
        if title:
            self.say(title)
        table = Table(header_style="bold", box=None, pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold", no_wrap=column in ids)
        for row in rows:
            table.add_row(*row)
        if self.console.is_terminal:
            self.console.print(_AtLeast(table), crop=False)
        else:
            _print(self.console, escape(_unbroken(self.console, table)))

    def error(self, error: StellaError) -> Exit:
        """Say what happened, what is unchanged and what to do next; returns the exit code that goes with it."""
        if self.as_json:
            sys.stdout.write(json.dumps({"error": error.document()}, indent=2, ensure_ascii=False) + "\n")
        else:
            _print(self.errors, f"[bold red]{escape(error.code)}[/]  {escape(error.what)}")
            _print(self.errors, f"  {escape(error.unchanged)}")
            _print(self.errors, f"  [bold]Next:[/] {escape(error.next_step)}")
        return Exit.TRY_AGAIN if error.retryable else Exit.REFUSED


@dataclass(frozen=True)
class _AtLeast:
    """A table as wide as its ids need it, also where the terminal is narrower: a line that runs over can be copied, a cut id cannot."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        needed = max((sum(self._unbroken_widths(console, options)), options.max_width))
        yield from console.render(self.table, options.update(width=needed))

    def _unbroken_widths(self, console: Console, options: ConsoleOptions) -> Iterator[int]:
        wide = options.update(width=UNBROKEN_CHARS)
        for column in self.table.columns:
            measured = [Measurement.get(console, wide, cell) for cell in (column.header, *column.cells)]
            yield max((one.maximum if column.no_wrap else one.minimum for one in measured), default=0) + COLUMN_GAP_CHARS


def _unbroken(console: Console, table: Table) -> str:
    """The table's lines as they are without a terminal's edge, and without blanks at their ends."""
    segments = console.render(table, console.options.update(width=UNBROKEN_CHARS))
    return "\n".join(line.rstrip() for line in "".join(segment.text for segment in segments).splitlines())


def _print(console: Console, text: str) -> None:
    """Print what may hold markup. Only a terminal folds it, between words, and not where a word is wider than the terminal."""
    longest = max((len(word) for word in Text.from_markup(text).plain.split()), default=0)
    console.print(text, soft_wrap=not console.is_terminal or longest > console.width)


def styled(state: str) -> str:
    """A state's name in the colour that every command uses for it."""
    style = STATE_STYLES.get(state)
    return f"[{style}]{escape(state)}[/]" if style else escape(state)


def when(moment: datetime | None) -> str:
    """A time for people: to the second, always with the zone."""
    return moment.strftime("%Y-%m-%d %H:%M:%SZ") if moment else "–"


def ago(moment: datetime, now: datetime) -> str:
    """How long ago something was seen, in the largest unit that fits. A clock that is a little behind sees nothing in the future."""
    seconds = max(0, int((now - moment).total_seconds()))
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length_s:
            return f"{seconds // length_s} {unit} ago"
    return f"{seconds} s ago"
