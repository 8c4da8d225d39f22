"""`stella diff` and `stella apply`: the estate file against what is applied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from stella_pipelines.cli.exits import Exit
from stella_pipelines.cli.files import why_unreadable
from stella_pipelines.cli.output import Output
from stella_pipelines.cli.session import ActorOption, JsonOption, session_of
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.limits import ESTATE_BYTES_MAX
from stella_pipelines.environments.diff import Change
from stella_pipelines.environments.estate import parse_estate
from stella_pipelines.environments.model import Estate

ForgetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--forget-target",
        metavar="TARGET",
        help="Let this target leave, or change its place, although what was deployed still runs there. Nothing is stopped, and nobody looks any more. "
        "Repeatable.",
    ),
]
FileOption = Annotated[Path, typer.Option("--file", "-f", help="The estate file.", metavar="ESTATE.YAML")]
_SIGNS = {"add": "[green]+[/]", "remove": "[red]−[/]", "change": "[yellow]~[/]"}


class EstateUnreadable(StellaError):
    """The estate file cannot be read at all."""

    code = "VAL_ESTATE_UNREADABLE"


def register(app: typer.Typer) -> None:
    """Add the estate's commands to the root."""
    app.command("diff")(diff)
    app.command("apply")(apply)


def diff(context: typer.Context, file: FileOption = Path("estate.yaml"), as_json: JsonOption = False) -> None:
    """Show what [bold]apply[/] would change; exit code 0 means no difference, 3 means some."""
    del as_json
    session = session_of(context)
    estate, _ = read_estate(file)
    with session.control_plane() as plane:
        changes = plane.environments.diff(estate)
    _show(session.output, changes)
    if not changes:
        session.output.say("No difference: the file is what is applied.")
    raise typer.Exit(Exit.WAITING if changes else Exit.DONE)


def apply(
    context: typer.Context,
    file: FileOption = Path("estate.yaml"),
    forget_target: ForgetOption = None,
    as_json: JsonOption = False,
    actor: ActorOption = None,
) -> None:
    """Make the estate file the estate. Applying the same file again changes nothing.

    An environment or target that is in use, or that still runs what was deployed to it, cannot leave.
    """
    del as_json, actor
    session = session_of(context)
    estate, source_digest = read_estate(file)
    with session.control_plane(create=True) as plane:
        revision, changes = plane.environments.apply(session.actor(), estate, source_digest=source_digest, forget=forget_target or ())
    _show(session.output, changes, revision)
    session.output.say(
        f"[bold]Estate revision {revision}[/]: {len(changes)} change(s) applied." if changes else f"Estate revision {revision}: nothing to change."
    )


def read_estate(file: Path) -> tuple[Estate, Digest]:
    """The estate in a file, and the digest of the file's bytes."""
    try:
        if file.stat().st_size > ESTATE_BYTES_MAX:
            raise EstateUnreadable(f"{file} is larger than {ESTATE_BYTES_MAX} bytes.", next_step="Give an estate file.")
        content = file.read_bytes()
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EstateUnreadable(
            f"{file} cannot be read: {why_unreadable(error)}.", next_step="Give the estate file with -f; examples/estate.yaml is a start."
        ) from error
    return parse_estate(text, str(file), base=file.resolve().parent), Digest.of(content)


def _show(output: Output, changes: tuple[Change, ...], revision: int | None = None) -> None:
    output.document({"revision": revision, "changes": [change.document() for change in changes]})
    for change in changes:
        output.say(f"{_SIGNS[change.kind]} {escape(change.noun)} [bold]{escape(change.name)}[/]")
        for field in change.fields:
            output.say(f"    {escape(field.path)}: [red]{escape(_written(field.before))}[/] → [green]{escape(_written(field.after))}[/]")


def _written(value: object) -> str:
    """A value as it stands in a file, or a word for its absence."""
    return "absent" if value is None else json.dumps(value, ensure_ascii=False)
