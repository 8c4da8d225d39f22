"""`stella demo`: the whole product on a lab that it brings along, told with the same commands that a user types.

Every step is a real `stella` command line, run through the same door as the console script; a step whose exit code is not the one that
the story expects ends the demo with an error. So the demo is also the longest test.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.rule import Rule

from stella_pipelines.cli.demo_auditor import Auditor
from stella_pipelines.cli.demo_background import background_installation
from stella_pipelines.cli.demo_console import story_console
from stella_pipelines.cli.demo_story import Chapter, Step, story
from stella_pipelines.cli.exits import Exit
from stella_pipelines.cli.output import Output
from stella_pipelines.cli.session import Session
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.settings import DATABASE_VARIABLE, HOME_VARIABLE, Settings
from stella_pipelines.lab.lab import Lab, choose_lab


class DemoStoryBroken(StellaError):
    """A step of the demo ended otherwise than the story says: the product, or the machine, has a problem."""

    code = "SYS_DEMO_BROKEN"


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command()(demo)


def demo(
    lab: Annotated[str | None, typer.Option(envvar="LAB", help="engines (real Docker Engines; needs root) or embedded (needs only Python).")] = None,
    keep: Annotated[bool, typer.Option(envvar="KEEP", help="Leave the lab and the Dagster UI up until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(help="The UI's port; 0 picks a free one.")] = 0,
) -> None:
    """Watch three releases meet their gates, from a registry onto real hosts, in under three minutes. Leaves nothing behind."""
    started = time.monotonic()
    console = story_console()
    kind, reason = choose_lab({**os.environ, **({"LAB": lab} if lab else {})})
    console.print(f"[bold]Stella demo[/] on the [bold]{kind}[/] lab: {escape(reason)}")
    with tempfile.TemporaryDirectory(prefix="stella-demo-") as folder, Lab(kind, Path(folder) / "lab") as running_lab:
        _use_home(Path(folder) / "home")
        console.print(f"Lab up after {time.monotonic() - started:.1f} s: {running_lab.describe()}")
        with background_installation(port) as address:
            console.print(f"Stella up after {time.monotonic() - started:.1f} s, Dagster UI at {address}")
            _tell(console, story(running_lab, Path(folder), Auditor(Settings.from_environ(os.environ))))
            console.print(Rule(f"told in {time.monotonic() - started:.0f} s, from the first line above; what was installed before it is not counted"))
            if keep:
                _keep(console, running_lab, address)


def _use_home(home: Path) -> None:
    """Point every command of the story at an installation of its own; this process does nothing else afterwards."""
    home.mkdir(mode=0o700)
    os.environ[HOME_VARIABLE] = str(home)
    os.environ.pop(DATABASE_VARIABLE, None)


def _tell(console: Console, chapters: tuple[Chapter, ...]) -> None:
    for chapter in chapters:
        console.print()
        console.print(Rule(f"[bold]{escape(chapter.title)}", align="left"))
        for step in chapter.steps:
            _take(console, step)


def _take(console: Console, step: Step) -> None:
    from stella_pipelines.cli.app import run  # the root imports this file to register the command

    if step.says:
        console.print(f"[dim]{escape(step.says)}[/]")
    if step.act is not None:
        step.act()
        return
    words = step.words() if callable(step.words) else step.words
    console.print(f"[bold cyan]$ stella {escape(' '.join(words))}[/]")
    code = run(list(words), Session(output=Output(console=console)))
    if code is not step.expect:
        raise DemoStoryBroken(
            f"`stella {' '.join(words)}` ended with {code.name} ({int(code)}); the story expects {step.expect.name} ({int(step.expect)}).",
            next_step="Run `make demo KEEP=1`, look at the failed run in the Dagster UI, and report what you see.",
            unchanged="The lab and everything in it is being removed.",
        )
    if code is not Exit.DONE:
        console.print(f"[dim](exit code {int(code)}, as it should be)[/]")


def commands_to_look(home: str, prefix: Path) -> tuple[str, ...]:
    """What another terminal needs before `stella` works there: the environment that the program is installed in, if it is one, and the home."""
    activate = prefix / "bin" / "activate"
    entered = (f". {activate}",) if activate.exists() else ()
    return (*entered, f"export {HOME_VARIABLE}={home}", "stella status")


def _keep(console: Console, lab: Lab, address: str) -> None:
    console.print(f"Kept: the Dagster UI at [bold]{address}[/], the lab at {escape(lab.describe())}.")
    console.print(f"Use it from another terminal of the same account{' (root)' if os.geteuid() == 0 else ''}:")
    for line in commands_to_look(os.environ[HOME_VARIABLE], Path(sys.prefix)):
        console.print(f"  [bold]{escape(line)}[/]")
    console.print("Ctrl-C here removes everything.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print("Removing the lab.")
