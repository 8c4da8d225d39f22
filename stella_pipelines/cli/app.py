"""The root of the command line: global options, the list of commands, and the one place where errors become exit codes."""

from __future__ import annotations

import functools
import os
import sys
from typing import Annotated, Any, Final

import typer
import typer.main

from stella_pipelines.cli import (
    attachments,
    audit,
    audit_log,
    bundles,
    demo,
    deployments,
    estate,
    evidence,
    exports,
    imports,
    keys,
    logs,
    overrides,
    promotion_list,
    promotions,
    release_lifecycle,
    releases,
    retention,
    status,
    targets,
    up,
    witnessing,
)
from stella_pipelines.cli.exits import MEANINGS, Exit
from stella_pipelines.cli.flags import without_flag_types
from stella_pipelines.cli.session import ActorOption, JsonOption, Session, session_of
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.requests import new_request, request
from stella_pipelines.core.version import VERSION

# Paragraphs, since the parser joins single lines.
_EPILOG = "\n\n".join(["[bold]Exit codes[/]", *(f"{int(code):>2}  {meaning}" for code, meaning in MEANINGS.items())])

INTERRUPTED_STATUS: Final = 130
"""What the parser makes of Ctrl-C in a command."""

app = typer.Typer(name="stella", no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False, add_completion=False)
release_lifecycle.register(releases.app)
attachments.register(releases.app)
app.add_typer(releases.app, name="release")
app.add_typer(promotion_list.app, name="promotion")
app.add_typer(overrides.app, name="override")
app.add_typer(evidence.app, name="evidence")
audit_log.register(audit.app)
bundles.register(evidence.app)
exports.register(evidence.app)
imports.register(evidence.app)
retention.register(evidence.app)
witnessing.register(audit.app)
app.add_typer(audit.app, name="audit")
app.add_typer(keys.app, name="key")
estate.register(app)
promotions.register(app)
deployments.register(app)
status.register(app)
logs.register(app)
targets.register(app)
up.register(app)
demo.register(app)


def _say_version(context: typer.Context, asked: bool) -> None:
    if asked:
        session_of(context).output.say(f"stella {VERSION}")
        raise typer.Exit


@app.callback(epilog=_EPILOG)
def root(
    as_json: JsonOption = False,
    actor: ActorOption = None,
    show_version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Print the version and exit.")] = False,
) -> None:
    """Promote immutable releases of containers from dev to prod, through gates and people, with sealed evidence of every decision.

    A first walk:  [bold]stella demo[/]   shows it all on a lab of its own.
    Your estate:   [bold]stella apply -f estate.yaml[/] → [bold]stella up[/] → [bold]stella release create[/] → [bold]stella promote[/] → [bold]stella status[/]

    State lives in $STELLA_HOME (default ./.stella) and in $STELLA_DATABASE_URL (default: SQLite in the home).
    """
    del as_json, actor, show_version  # their callbacks have done what they say


@functools.cache
def _commands() -> Any:
    """The tree of commands, made once: the demo runs many of them in one process."""
    return without_flag_types(typer.main.get_command(app))


def run(arguments: list[str], session: Session | None = None) -> Exit:
    """Run one command line and return its exit code. The demo runs the same commands through this door as a person does."""
    session = session or Session()
    try:
        with request(new_request()):
            code = _commands()(arguments, obj=session, standalone_mode=False, prog_name="stella")
    except StellaError as error:
        return session.output.error(error)
    except typer.Exit as done:
        return Exit(done.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return _say_interrupted(session)
    except Exception as error:
        if _show_usage_error(error):
            return Exit.USAGE
        raise
    if code == INTERRUPTED_STATUS:
        return _say_interrupted(session)
    return Exit(code) if isinstance(code, int) else Exit.DONE


def _say_interrupted(session: Session) -> Exit:
    session.output.errors.print("Interrupted. What was started goes on; [bold]stella status[/] shows it.")
    return Exit.REFUSED


def _show_usage_error(error: Exception) -> bool:
    """Print a command-line mistake the way the parser words it. The parser's errors share these two members and no public base class."""
    show, exit_code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if show is None or exit_code != Exit.USAGE:
        return False
    show()
    return True


def main() -> None:
    """The console script."""
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has read enough, as `head` does. What is still buffered goes nowhere, so that Python's own flush at exit does not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.DONE
    sys.exit(code)
