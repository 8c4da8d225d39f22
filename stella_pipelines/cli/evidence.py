"""`stella evidence …`: verify a packet with nothing but a public key, and show, list, export and replay what is sealed here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final, get_args

import typer
from rich.markup import escape

from stella_pipelines.cli.exits import Exit
from stella_pipelines.cli.files import why_unreadable
from stella_pipelines.cli.names import require_environment
from stella_pipelines.cli.output import styled, when
from stella_pipelines.cli.packets import in_words, outcome_of
from stella_pipelines.cli.pages import LIMIT_DEFAULT, LimitOption, say_older
from stella_pipelines.cli.session import JsonOption, session_of
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.limits import PACKET_BYTES_MAX
from stella_pipelines.environments.problems import suggestion
from stella_pipelines.evidence.listing import page
from stella_pipelines.evidence.statement import Kind
from stella_pipelines.evidence.stored import read_verified
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.promotions.replay import replay as replay_packet
from stella_pipelines.store import blobs

app = typer.Typer(help="Evidence: sealed packets of every decision, deployment and rollback.", no_args_is_help=True)
KINDS: Final = get_args(Kind)
PacketArgument = Annotated[str, typer.Argument(metavar="PACKET", help="The packet's id (evd_…).")]


class PacketFileUnwritable(StellaError):
    """A packet cannot be written to the file that was named."""

    code = "EVID_FILE_UNWRITABLE"


class EvidenceKindUnknown(StellaError):
    """There is no such kind of evidence."""

    code = "VAL_EVIDENCE_KIND"


class PacketFileUnreadable(StellaError):
    """A packet or key file cannot be read."""

    code = "EVID_FILE_UNREADABLE"


@app.command()
def verify(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The packet, as `evidence show --raw` wrote it.")],
    key: Annotated[list[Path], typer.Option("--key", metavar="PUB", help="A public key that may have signed it; repeat for a key history.")],
    as_json: JsonOption = False,
) -> None:
    """Verify a packet. Needs the file and the key: no database, no network, no installation."""
    del as_json
    output = session_of(context).output
    verified = verify_packet(_read(file), [_read(path) for path in key])
    words = in_words(verified)
    output.document(
        {"verified": True, **words.document(), "packet": verified.packet_digest, "key_id": verified.key_id, "statement": verified.statement.document()}
    )
    output.say(f"[green]verified[/]  {verified.packet_digest}")
    output.say(f"  {words.kind}: {styled(words.outcome or 'no outcome is named')}, no. {words.sequence} of {escape(words.environment)}")
    output.say(f"  release {escape(words.release or 'not named')}, by {escape(', '.join(words.actors) or 'nobody who is named')}")
    output.say(f"  sealed {when(words.sealed_at)} by key {verified.key_id}")
    output.say(f"  says {escape(verified.statement.predicate_type)} of")
    for subject in verified.statement.subject:
        output.say(f"    {escape(subject.name)}  {subject.digest}")


@app.command()
def show(
    context: typer.Context,
    packet: PacketArgument,
    raw: Annotated[Path | None, typer.Option("--raw", metavar="FILE", help="Write the packet itself here, for somebody else to verify.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a packet says, or write it to a file."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane:
        with plane.store.reading() as transaction:
            sealed, verified = read_verified(plane.evidence, transaction, packet)
        public_key_path = plane.settings.public_key_path
    if raw is not None:
        _write(raw, sealed.envelope)
    session.output.document({"id": sealed.id, "digest": sealed.digest, "statement": verified.statement.document()})
    if raw is not None:
        session.output.say(f"Written to {escape(str(raw))}. Verify: stella evidence verify {escape(str(raw))} --key {escape(str(public_key_path))}")
        return
    session.output.say(f"[bold]{sealed.id}[/]  {sealed.kind} no. {sealed.sequence} of {escape(sealed.environment)}, sealed {when(sealed.sealed_at)}")
    session.output.say(f"  {sealed.digest}  key {sealed.key_id}")
    session.output.say(escape(json.dumps(verified.statement.document()["predicate"], indent=2, ensure_ascii=False)))


@app.command("list")
def list_packets(
    context: typer.Context,
    environment: Annotated[str | None, typer.Option("--environment", "-e", metavar="ENVIRONMENT", help="Only packets about this environment.")] = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="Only packets of this kind: decision, deployment or rollback.")] = None,
    limit: LimitOption = LIMIT_DEFAULT,
    before: Annotated[str | None, typer.Option(metavar="PACKET", help="Only packets older than this one (evd_…).")] = None,
    as_json: JsonOption = False,
) -> None:
    """List sealed packets, newest first."""
    del as_json
    session = session_of(context)
    if kind is not None and kind not in KINDS:
        raise EvidenceKindUnknown(f"{kind[:80]!r} is no kind of evidence.{suggestion(kind, KINDS)}", next_step="Give one of these, or leave --kind out.")
    with session.control_plane() as plane, plane.store.reading() as transaction:
        packets, older = page(transaction, environment=environment, kind=kind, limit=limit, before=before)
        if environment is not None and before is None and not packets:
            require_environment(plane, environment)  # one that left the estate keeps its evidence, and is found above
    listed = [(packet, outcome_of(packet)) for packet in packets]
    session.output.document([{**p.model_dump(mode="json", exclude={"envelope", "key_id"}), "outcome": outcome} for p, outcome in listed])
    rows = [(p.id, p.kind, styled(outcome), escape(p.environment), str(p.sequence), p.digest.short, when(p.sealed_at)) for p, outcome in listed]
    columns = ("PACKET", "KIND", "OUTCOME", "ENVIRONMENT", "NO.", "DIGEST", "SEALED")
    session.output.table("", columns, rows, ids=("PACKET", "ENVIRONMENT", "DIGEST"))
    say_older(session.output, older, packets[-1].id if packets else "")


@app.command()
def replay(context: typer.Context, packet: PacketArgument, as_json: JsonOption = False) -> None:
    """Verify a stored decision, judge its inputs again, and compare the two records byte by byte."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane, plane.store.reading() as transaction:
        sealed, _ = read_verified(plane.evidence, transaction, packet)
        report = replay_packet(sealed, lambda digest: blobs.get(transaction, digest))
    session.output.document(report.document())
    if report.byte_equal:
        session.output.say(f"[green]byte-equal[/]  the stored inputs give the recorded decision again: {report.recorded_digest}")
        return
    session.output.say(f"[red]different[/]  recorded {report.recorded_digest}, replayed {report.replayed_digest}")
    for difference in report.differences:
        session.output.say(f"  {escape(difference)}")
    raise typer.Exit(Exit.FAILED)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise PacketFileUnwritable(f"{path} cannot be written: {error.strerror or error}.", next_step="Name a file in a folder that you can write.") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(PACKET_BYTES_MAX + 1)
    except OSError as error:
        raise PacketFileUnreadable(
            f"{path} cannot be read: {why_unreadable(error)}.", next_step="Give the packet's file and --key with the public key's file."
        ) from error
