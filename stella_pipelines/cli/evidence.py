"""`stella evidence …`: verify a packet with nothing but a public key, and show, list, export and replay what is sealed here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final, get_args

import typer
from rich.markup import escape

from stella_pipelines.cli.evidence_files import read_evidence_file, write_evidence_file
from stella_pipelines.cli.names import require_environment
from stella_pipelines.cli.output import styled, when
from stella_pipelines.cli.packets import in_words, outcome_of
from stella_pipelines.cli.pages import LIMIT_DEFAULT, LimitOption, say_older
from stella_pipelines.cli.replay import replay
from stella_pipelines.cli.session import JsonOption, session_of
from stella_pipelines.cli.verifying_keys import HistoryOption, KeyOption, ring_of, trust_in
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.limits import PACKET_BYTES_MAX
from stella_pipelines.environments.problems import suggestion
from stella_pipelines.evidence.listing import page
from stella_pipelines.evidence.log.tlog_proof import PROOF_BYTES_MAX, check_proof, read_proof, require_entry_of
from stella_pipelines.evidence.statement import Kind
from stella_pipelines.evidence.stored import read_verified
from stella_pipelines.evidence.verify import verify_packet

app = typer.Typer(help="Evidence: sealed packets of every release, decision, deployment and rollback, and of what was done past them.", no_args_is_help=True)
KINDS: Final = get_args(Kind)
PacketArgument = Annotated[str, typer.Argument(metavar="PACKET", help="The packet's id (evd_…).")]


class EvidenceKindUnknown(StellaError):
    """There is no such kind of evidence."""

    code = "VAL_EVIDENCE_KIND"


@app.command()
def verify(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The packet, as `evidence show --raw` wrote it.")],
    key: KeyOption = None,
    keys: HistoryOption = None,
    proof: Annotated[
        Path | None, typer.Option("--proof", metavar="PROOF", help="The packet's proof, as `audit prove` wrote it: it must stand in the log.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a packet. Needs the file and a key, or a key history: no database, no network, no installation."""
    del as_json
    output = session_of(context).output
    content, ring = read_evidence_file(file, PACKET_BYTES_MAX), ring_of(key, keys)
    entry = None if proof is None else check_proof(read_proof(read_evidence_file(proof, PROOF_BYTES_MAX)), None, ring.unrevoked)
    verified = verify_packet(content, ring, log_index=None if entry is None else entry.index)
    if entry is not None:
        require_entry_of(entry, verified)
    words = in_words(verified)
    output.document(
        {"verified": True, **words.document(), "packet": verified.packet_digest, "key_id": verified.key_id, "statement": verified.statement.document()}
    )
    output.say(f"[green]verified[/]  {verified.packet_digest}")
    output.say(f"  {words.kind}: {styled(words.outcome or 'no outcome is named')}, no. {words.sequence} of {escape(words.environment or words.stream)}")
    output.say(f"  release {escape(words.release or 'not named')}, by {escape(', '.join(words.actors) or 'nobody who is named')}")
    output.say(f"  sealed {when(words.sealed_at)} by key {verified.key_id}")
    if entry is not None:
        head = entry.checkpoint.checkpoint
        output.say(f"  stands in the log {escape(head.origin)} as entry {entry.index} of {head.size}, root {head.root.hex()}")
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
        write_evidence_file(raw, sealed.envelope)
    session.output.document({"id": sealed.id, "digest": sealed.digest, "statement": verified.statement.document()})
    if raw is not None:
        trust = trust_in(public_key_path, verified.key_id)
        session.output.say(f"Written to {escape(str(raw))}. Verify: stella evidence verify {escape(str(raw))} {escape(trust)}")
        session.output.say(f"  With cosign: stella evidence bundle {sealed.id} FOLDER")
        return
    session.output.say(
        f"[bold]{sealed.id}[/]  {sealed.kind} no. {sealed.sequence} of {escape(sealed.environment or sealed.stream)}, sealed {when(sealed.sealed_at)}"
    )
    session.output.say(f"  {sealed.digest}  key {sealed.key_id}")
    session.output.say(escape(json.dumps(verified.statement.document()["predicate"], indent=2, ensure_ascii=False)))


@app.command("list")
def list_packets(
    context: typer.Context,
    environment: Annotated[str | None, typer.Option("--environment", "-e", metavar="ENVIRONMENT", help="Only packets about this environment.")] = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help=f"Only packets of this kind: {', '.join(KINDS[:-1])} or {KINDS[-1]}.")] = None,
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
    session.output.document(
        [{**p.model_dump(mode="json", exclude={"envelope", "key_id"}), "environment": p.environment, "outcome": outcome} for p, outcome in listed]
    )
    rows = [(p.id, p.kind, styled(outcome), escape(p.environment or p.stream), str(p.sequence), p.digest.short, when(p.sealed_at)) for p, outcome in listed]
    columns = ("PACKET", "KIND", "OUTCOME", "ENVIRONMENT", "NO.", "DIGEST", "SEALED")
    session.output.table("", columns, rows, ids=("PACKET", "ENVIRONMENT", "DIGEST"))
    say_older(session.output, older, packets[-1].id if packets else "")


app.command("replay")(replay)
