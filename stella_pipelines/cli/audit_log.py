"""`stella audit verify|checkpoint|checkpoints|compare|prove`: the log of everything that was sealed and noted, for whoever wants proof."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from stella_pipelines.cli.evidence_files import read_evidence_file, write_evidence_file
from stella_pipelines.cli.exits import Exit
from stella_pipelines.cli.output import Output, when
from stella_pipelines.cli.pages import LimitOption
from stella_pipelines.cli.session import JsonOption, session_of
from stella_pipelines.cli.verifying_keys import own_ring
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.evidence.keys.book import history_of
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.evidence.log import heads
from stella_pipelines.evidence.log.checkpoints import VerifiedCheckpoint, add_cosignatures, require_continues
from stella_pipelines.evidence.log.genuine import require_signed, verified_checkpoint
from stella_pipelines.evidence.log.heads import StoredCheckpoint
from stella_pipelines.evidence.log.notes import NOTE_BYTES_MAX
from stella_pipelines.evidence.log.proving import entry_with_id, stored_tree
from stella_pipelines.evidence.log.tlog_proof import LogProof, write_proof
from stella_pipelines.evidence.log.verifying import Head, LogReport, verify_log
from stella_pipelines.evidence.retention.proving import ProvenPurges
from stella_pipelines.store.database import Transaction

KeptKeyOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--key", metavar="PUB", help="A public key of this installation that you kept: only it and the keys that it vouches for count. May be repeated."
    ),
]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it to this file instead of the screen.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `stella audit`."""
    for command in (verify, checkpoint, checkpoints, compare, prove):
        app.command()(command)


def verify(
    context: typer.Context,
    since: Annotated[
        Path | None, typer.Option("--from", metavar="CHECKPOINT", help="Begin at this checkpoint, a file that you kept; without it at the log's beginning.")
    ] = None,
    until: Annotated[Path | None, typer.Option("--to", metavar="CHECKPOINT", help="End at this checkpoint, a file; without it at the newest.")] = None,
    key: KeptKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that nothing is missing, reordered or altered between two checkpoints, by reading the whole log once."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane, plane.log.reading() as (transaction, newest):
        origin, ring = _log_and_keys(plane, transaction, key)
        now = _head(verified_checkpoint(newest.note, origin, ring))
        end = now if until is None else _head(verified_checkpoint(read_evidence_file(until, NOTE_BYTES_MAX), origin, ring))
        begin = None if since is None else _head(verified_checkpoint(read_evidence_file(since, NOTE_BYTES_MAX), origin, ring))
        with session.output.counting("reading the log", end.size - (begin.size if begin else 0)) as progress:
            report = verify_log(transaction, ring, end, begin, newest=now, purges=ProvenPurges(ring), progress=progress)
    session.output.document(report.document())
    _tell(session.output, report, trusted=bool(key))
    if report.problem_count:
        raise typer.Exit(Exit.FAILED)


def checkpoint(
    context: typer.Context,
    output: OutputOption = None,
    size: Annotated[int | None, typer.Option(metavar="ENTRIES", help="The checkpoint of this size instead of the newest.")] = None,
    witnessed: Annotated[bool, typer.Option("--witnessed", help="The newest one that a witness cosigned.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the log's newest checkpoint. Keep it where nobody of this installation can change it: it detects a history that is written anew."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane, plane.log.reading() as (transaction, newest):
        found = heads.of_size(transaction, heads.newest_witnessed(transaction) if witnessed else newest.size if size is None else size)
        require_signed(transaction, found, plane.evidence.keys(transaction))
        note = with_cosignatures(transaction, found)
    session.output.document({"size": found.size, "root": found.root.hex(), "at": found.at, "note": note.decode()})
    if output is not None:
        write_evidence_file(output, note)
        session.output.say(f"Written to {escape(str(output))}: the log with {found.size} entries. Later: stella audit verify --from {escape(str(output))}")
        return
    session.output.say(escape(note.decode().rstrip("\n")))


def checkpoints(
    context: typer.Context,
    limit: LimitOption = 20,
    before: Annotated[int | None, typer.Option(metavar="ENTRIES", help="Only checkpoints of fewer entries.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the log's checkpoints, newest first."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane, plane.log.reading() as (transaction, _):
        found = heads.page(transaction, limit=limit, below=before)
    session.output.document([{"size": one.size, "root": one.root.hex(), "at": one.at} for one in found])
    session.output.table("", ("ENTRIES", "ROOT", "WHEN"), [(str(one.size), one.root.hex(), when(one.at)) for one in found], ids=("ROOT",))


def compare(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="An older checkpoint, a file that you kept.")],
    key: KeptKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that the log of today begins with the log of an older checkpoint. `verify` reads all of it; this reads a few hashes."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane, plane.log.reading() as (transaction, newest):
        origin, ring = _log_and_keys(plane, transaction, key)
        old, new = (verified_checkpoint(note, origin, ring).checkpoint for note in (read_evidence_file(file, NOTE_BYTES_MAX), newest.note))
        sizes = old.size, new.size
        proof = stored_tree(transaction).consistency_proof(*sizes) if 0 < sizes[0] < sizes[1] else []
        require_continues(old, new, proof)
    session.output.document({"consistent": True, "old_size": sizes[0], "new_size": sizes[1], "proof": [one.hex() for one in proof]})
    session.output.say(f"[green]consistent[/]  the log's {sizes[1]} entries begin with the {sizes[0]} of that checkpoint, unchanged")


def prove(
    context: typer.Context,
    entry: Annotated[str, typer.Argument(metavar="ENTRY", help="The id of a packet (evd_…) or of an audit entry (aud_…).")],
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the proof that a packet or an audit entry stands in the log (c2sp.org/tlog-proof), for `stella evidence verify --proof`."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane, plane.log.reading() as (transaction, newest):
        require_signed(transaction, newest, plane.evidence.keys(transaction))
        found = entry_with_id(transaction, entry)
        hashes = tuple(stored_tree(transaction).inclusion_proof(found.index, newest.size))
        proof = write_proof(LogProof(found.leaf_data(), found.index, hashes, with_cosignatures(transaction, newest)))
    session.output.document({**found.document(), "index": found.index, "size": newest.size, "proof": proof.decode()})
    if output is not None:
        write_evidence_file(output, proof)
        session.output.say(f"Written to {escape(str(output))}: {found.id} is entry {found.index} of {newest.size}")
        return
    session.output.say(escape(proof.decode().rstrip("\n")))


def with_cosignatures(transaction: Transaction, found: StoredCheckpoint) -> bytes:
    """A checkpoint's note with what witnesses said of it."""
    lines = heads.cosignatures(transaction, found.size)
    return add_cosignatures(found.note, "".join(lines)) if lines else found.note


def _log_and_keys(plane: ControlPlane, transaction: Transaction, keys: Sequence[Path] | None) -> tuple[str, KeyRing]:
    """The log's name, and the keys by which its checkpoints and packets are judged."""
    origin = heads.known_origin(transaction)
    assert origin is not None, "there is a checkpoint"
    return origin, own_ring(keys, history_of(transaction), plane.evidence.keys(transaction))


def _head(verified: VerifiedCheckpoint) -> Head:
    return Head(size=verified.checkpoint.size, root=verified.checkpoint.root)


def _tell(output: Output, report: LogReport, *, trusted: bool) -> None:
    if report.problem_count == 0:
        covered = f"{report.packets} packets and {report.audit_entries} audit entries"
        output.say(f"[green]complete[/]  {covered}, entries {report.first} to {report.size}: nothing is missing, reordered or altered")
    else:
        output.say(f"[red]{report.problem_count} problems[/] in entries {report.first} to {report.size}:")
        for problem in report.problems:
            output.say(f"  {escape(problem)}")
    if report.purged:
        output.say(f"  {report.purged} packets were purged; their leaves are proven, their contents are gone")
    for stream, number in report.streams.items():
        output.say(f"  {escape(stream)}: up to no. {number}")
    output.say(f"  root {report.root}")
    if not trusted:
        output.say("  judged by the keys that this installation says are its own; give --key to go by a public key that you kept")
