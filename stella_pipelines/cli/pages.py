"""What the lists share: the newest rows first, how many older ones there are, and how to go on."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.markup import escape

from stella_pipelines.cli.output import Output
from stella_pipelines.store.pages import COUNTED_MAX

LIMIT_DEFAULT: Final = 50
LimitOption = Annotated[int, typer.Option(min=1, max=1000, metavar="COUNT", help="At most so many.")]


def say_older(output: Output, older: int, last: str) -> None:
    """One line below a list that does not show everything: how many rows are behind it, and the way to them."""
    if older:
        count = f"{older:,}" if older <= COUNTED_MAX else f"More than {COUNTED_MAX:,}"
        output.say(f"[dim]{count} older. The next ones: the same command with[/] --before {escape(last)}")
