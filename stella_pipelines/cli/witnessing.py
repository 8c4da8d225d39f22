"""`stella audit log-key|witness-request|cosign|cosigned`: somebody else vouches that the log only grows. By files: no connection is opened here.

The log writes a request, the witness answers with a line, and the log keeps it. The request is the body that a witness service takes by HTTP
(c2sp.org/tlog-witness), so that `curl --data-binary @request.txt https://witness.example/add-checkpoint` is another way.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from stella_pipelines.cli.audit_log import OutputOption
from stella_pipelines.cli.evidence_files import read_evidence_file, write_evidence_file
from stella_pipelines.cli.session import JsonOption, session_of
from stella_pipelines.core.clock import SystemClock
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.errors import CheckpointUnwitnessed, KeyInvalid
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.evidence.log import heads
from stella_pipelines.evidence.log.checkpoints import add_cosignatures, read_checkpoint
from stella_pipelines.evidence.log.genuine import log_keys, require_signed
from stella_pipelines.evidence.log.note_keys import NoteKey, log_key, read_vkey, witness_key
from stella_pipelines.evidence.log.notes import NOTE_BYTES_MAX, NoteSignature, read_note, read_signature_lines
from stella_pipelines.evidence.log.proving import stored_tree
from stella_pipelines.evidence.log.witness import cosign as cosign_checkpoint
from stella_pipelines.evidence.log.witness_request import REQUEST_BYTES_MAX, WitnessRequest, read_request, write_request
from stella_pipelines.evidence.log.witness_state import remembering
from stella_pipelines.store.database import Transaction

KeyFileOption = Annotated[Path, typer.Option("--key", metavar="PEM", help="The witness's private key (Ed25519); it is made if there is none.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `stella audit`."""
    app.command("log-key")(log_key_lines)
    app.command("witness-request")(witness_request)
    app.command("cosign")(cosign)
    app.command("cosigned")(cosigned)


def log_key_lines(context: typer.Context, as_json: JsonOption = False) -> None:
    """Print the log's name and keys, a line each, for witnesses and other verifiers (C2SP's verifier keys). Revoked keys are left out."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane, plane.log.reading() as (transaction, _):
        ring = plane.evidence.keys(transaction)
        lines = [log_key(_origin(transaction), pem).vkey() for pem in ring.unrevoked]
    session.output.document(lines)
    for line in lines:
        session.output.say(escape(line))


def witness_request(
    context: typer.Context,
    old: Annotated[int, typer.Option("--old", min=0, metavar="ENTRIES", help="The size that the witness saw last; 0 if it does not know this log.")],
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write what a witness needs to cosign the newest checkpoint."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane, plane.log.reading() as (transaction, newest):
        require_signed(transaction, newest, plane.evidence.keys(transaction))
        hashes = stored_tree(transaction).consistency_proof(old, newest.size) if old not in (0, newest.size) else []
        request = write_request(WitnessRequest(old, tuple(hashes), newest.note))
    session.output.document({"old_size": old, "size": newest.size, "request": request.decode()})
    if output is not None:
        write_evidence_file(output, request)
        session.output.say(f"Written to {escape(str(output))}: the log from {old} to {newest.size} entries")
        return
    session.output.say(escape(request.decode().rstrip("\n")))


def cosign(
    context: typer.Context,
    request: Annotated[Path, typer.Argument(metavar="REQUEST", help="The file that `witness-request` wrote.")],
    log_vkey: Annotated[list[str], typer.Option("--log-key", metavar="VKEY", help="The log's keys, as `log-key` prints them; may be repeated.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The witness's name, such as witness.example.com.")],
    key: KeyFileOption,
    state: Annotated[Path, typer.Option("--state", metavar="FOLDER", help="Where the witness remembers what it saw. Needs no installation.")],
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Be a witness: cosign a checkpoint if the log has only grown since the last one that was seen. Run this on another machine than the log's."""
    del as_json
    session = session_of(context)
    asked, keys = read_request(read_evidence_file(request, REQUEST_BYTES_MAX)), [read_vkey(line) for given in log_vkey for line in given.splitlines()]
    origin = _one_log(keys)
    verified = read_checkpoint(asked.checkpoint, origin=origin, log_keys=keys)
    with remembering(state, origin) as memory:
        line = cosign_checkpoint(memory.last(), verified, asked.hashes, name=name, key=FileKey.load_or_create(key), now=SystemClock().now())
        memory.keep(verified.checkpoint)
    session.output.document({"origin": origin, "size": verified.checkpoint.size, "line": line})
    if output is not None:
        write_evidence_file(output, line.encode())
        session.output.say(f"Written to {escape(str(output))}: {escape(origin)} with {verified.checkpoint.size} entries")
        return
    session.output.say(escape(line.rstrip("\n")))


def cosigned(
    context: typer.Context,
    lines: Annotated[Path, typer.Argument(metavar="LINES", help="What the witness answered.")],
    witness_pem: Annotated[Path, typer.Option("--witness-key", metavar="PUB", help="The witness's public key (PEM): a line that it did not sign is refused.")],
    size: Annotated[int, typer.Option("--size", metavar="ENTRIES", help="The size of the checkpoint that was cosigned.")],
    as_json: JsonOption = False,
) -> None:
    """Keep a witness's line with the checkpoint: it is printed, exported and proven with it from now on."""
    del as_json
    session = session_of(context)
    content, pem = read_evidence_file(lines, NOTE_BYTES_MAX), read_evidence_file(witness_pem, NOTE_BYTES_MAX)
    line = _only_line(content)
    with session.control_plane() as plane, plane.store.writing() as transaction:
        checkpoint, origin, now = heads.of_size(transaction, size), _origin(transaction), plane.clock.now()
        own = log_keys(origin, plane.evidence.keys(transaction))
        witnesses = [witness_key(line.name, pem)]
        note = add_cosignatures(checkpoint.note, line.line())
        verified = read_checkpoint(note, origin=origin, log_keys=own, witness_keys=witnesses, witnesses_min=1)
        if line.line() not in heads.cosignatures(transaction, size):
            heads.add_cosignature(transaction, size, line.name, line.line(), now)
            audit.record(
                transaction,
                entry_id=plane.identifiers.new("aud", now),
                at=now,
                actor=session.actor(),
                action="log.cosigned",
                subject=f"log/{size}",
                after=Digest.of(line.line().encode()),
            )
    session.output.document({"size": size, "witness": line.name, "key_id": verified.cosignatures[0].key_id})
    session.output.say(f"[green]kept[/]  {escape(line.name)} vouches for the log with {size} entries")


def _origin(transaction: Transaction) -> str:
    origin = heads.known_origin(transaction)
    assert origin is not None, "there is a checkpoint"
    return origin


def _one_log(keys: Sequence[NoteKey]) -> str:
    """The log's name. Keys of two logs would let the one sign for the other."""
    if len({key.name for key in keys}) != 1:
        raise KeyInvalid(
            "The keys that were given as the log's are of several logs, or of none.", next_step="Give the lines of one log, as 'log-key' prints them."
        )
    return keys[0].name


def _only_line(content: bytes) -> NoteSignature:
    try:
        found = read_signature_lines(content.decode())
    except UnicodeDecodeError:
        found = read_note(content).signatures  # refuses it with its own words
    if len(found) != 1:
        raise CheckpointUnwitnessed(f"The file has {len(found)} lines of witnesses.", next_step="Give the one line that the witness answered.")
    return found[0]
