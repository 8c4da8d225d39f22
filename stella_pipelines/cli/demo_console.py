"""The demo's console: on a terminal, what is longer than a line goes on below its own beginning. Anywhere else no line is broken, as in every command."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Console
from rich.text import Text

WIDTH_COLUMNS: Final = 144
"""How wide the rules between chapters are where no terminal says how wide it is (a pipe, a CI log)."""
_HANGING_COLUMNS: Final = 2
"""How much further in a continued line begins than the line that it continues."""


class StoryConsole(Console):
    """Prints what `Console` prints, with hanging lines for text."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Text that may be folded hangs; anything else is printed as ever."""
        is_text = len(objects) == 1 and isinstance(objects[0], str) and options.keys() <= {"soft_wrap"}
        if is_text and self.is_terminal and not options.get("soft_wrap"):
            self._hanging(Text.from_markup(objects[0]))
        elif is_text:
            super().print(objects[0], soft_wrap=True)
        else:
            super().print(*objects, **options)

    def _hanging(self, text: Text) -> None:
        for line in text.split("\n", allow_blank=True):
            indent_columns = len(line.plain) - len(line.plain.lstrip(" ")) + _HANGING_COLUMNS
            if max((len(word) for word in line.plain.split()), default=0) > self.width - indent_columns:
                super().print(line, soft_wrap=True)  # a word that does not fit into a line is not cut, so that it can be copied
                continue
            first, *rest = line.wrap(self, self.width)
            super().print(_without_end(first))
            continued = Text(" ").join(_without_end(piece) for piece in rest)  # it is wrapped anew, on the narrower column
            for piece in continued.wrap(self, self.width - indent_columns) if rest else ():
                super().print(Text(" " * indent_columns) + _without_end(piece))


def _without_end(line: Text) -> Text:
    line.rstrip()
    return line


def story_console() -> StoryConsole:
    """On stdout."""
    return StoryConsole(highlight=False, width=None if Console().is_terminal else WIDTH_COLUMNS)
