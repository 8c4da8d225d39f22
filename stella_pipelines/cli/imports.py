"""`stella evidence import` and `imported …`: exports of other installations, verified before anything of them is stored or shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from stella_pipelines.cli.evidence_files import read_evidence_file, write_evidence_file
from stella_pipelines.cli.exports import FileArgument, OlderOption, say_report, trust_of
from stella_pipelines.cli.output import styled, when
from stella_pipelines.cli.packets import in_words
from stella_pipelines.cli.pages import LIMIT_DEFAULT, LimitOption
from stella_pipelines.cli.session import ActorOption, JsonOption, session_of
from stella_pipelines.cli.verifying_keys import HistoryOption, KeyOption
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.imports import reading
from stella_pipelines.evidence.log.notes import NOTE_BYTES_MAX

app = typer.Typer(help="What was imported from other installations.", no_args_is_help=True)


def register(evidence: typer.Typer) -> None:
    """Add the commands to `stella evidence`."""
    evidence.command("import")(import_export)
    evidence.add_typer(app, name="imported")


def import_export(
    context: typer.Context,
    file: FileArgument,
    key: KeyOption = None,
    keys: HistoryOption = None,
    checkpoint: OlderOption = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; it stands in the audit trail.")] = None,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify an export of another installation, then keep it here, apart from this installation's own evidence."""
    del actor, as_json
    session = session_of(context)
    who, trust = session.actor(), trust_of(key, keys)
    older = None if checkpoint is None else read_evidence_file(checkpoint, NOTE_BYTES_MAX)
    with session.control_plane() as plane:
        done = plane.imports.take(who, file, trust, session.output.counting, older=older, reason=reason)
    session.output.document({"imported": done.is_new, **done.report.document()})
    session.output.say(f"[green]{'imported' if done.is_new else 'imported before'}[/]  {done.report.digest}")
    say_report(session.output, done.report)
    session.output.say(f"  Look at it: stella evidence imported show {done.report.digest.short}")


@app.command("list")
def list_imports(context: typer.Context, limit: LimitOption = LIMIT_DEFAULT, as_json: JsonOption = False) -> None:
    """List what was imported, newest first."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane, plane.store.reading() as tx:
        found = reading.list_imports(tx, limit)
    session.output.document([one.document() for one in found])
    rows = [
        (
            one.digest.short,
            escape(one.origin),
            escape(one.summary.question.in_words()),
            str(one.summary.counts.packets),
            escape(one.imported_by),
            when(one.imported_at),
        )
        for one in found
    ]
    session.output.table("", ("EXPORT", "FROM", "ABOUT", "PACKETS", "BY", "IMPORTED"), rows, ids=("EXPORT",))


@app.command()
def show(
    context: typer.Context,
    export: Annotated[str, typer.Argument(metavar="EXPORT", help="The digest of its manifest, or the beginning of it.")],
    limit: LimitOption = LIMIT_DEFAULT,
    after: Annotated[int, typer.Option(metavar="INDEX", help="Only packets behind this place in the other installation's log.")] = -1,
    artifact: Annotated[str | None, typer.Option(metavar="DIGEST", help="Write this artifact, which came with it, to the file of --raw.")] = None,
    raw: Annotated[Path | None, typer.Option("--raw", metavar="FILE", help="Where to write the artifact.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show where an import is from, which key vouches for it, and its packets. Each is verified again."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane, plane.store.reading() as tx:
        found = reading.find_import(tx, export)
        packets = reading.packets_of(tx, found, limit=limit, after=after)
        content = None if artifact is None else reading.artifact(tx, Digest(artifact))
    if content is not None and raw is not None:
        write_evidence_file(raw, content)
    words = [(one.log_index, one.packet.seal.packet_id, in_words(one.packet)) for one in packets]
    session.output.document({**found.document(), "packets": [{"log_index": index, "id": packet_id, **said.document()} for index, packet_id, said in words]})
    session.output.say(f"[bold]{found.digest}[/]  {escape(found.summary.question.in_words())}")
    session.output.say(f"  from {escape(found.origin)}, {found.log_size} entries; imported {when(found.imported_at)} by {escape(found.imported_by)}")
    session.output.say(f"  signed by {found.signed_by}, trusted through {', '.join(found.trusted)}")
    rows = [
        (str(index), packet_id, said.kind, styled(said.outcome or "–"), escape(said.environment or said.stream), str(said.sequence), when(said.sealed_at))
        for index, packet_id, said in words
    ]
    session.output.table("", ("LOG", "PACKET", "KIND", "OUTCOME", "ENVIRONMENT", "NO.", "SEALED"), rows, ids=("PACKET",))
