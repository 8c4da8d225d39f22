"""`stella key …`: the keys that seal evidence, their history, and putting another one in force."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from stella_pipelines.cli.evidence_files import write_evidence_file
from stella_pipelines.cli.output import when
from stella_pipelines.cli.session import ActorOption, JsonOption, session_of
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence.errors import KeyChangeRefused
from stella_pipelines.evidence.keys.events import Introduced
from stella_pipelines.evidence.keys.files import FileKey, forget_waiting, new_key_beside, take_place
from stella_pipelines.evidence.keys.history import KeyRecord
from stella_pipelines.evidence.keys.signatures import Algorithm
from stella_pipelines.evidence.keys.signing import SigningKey
from stella_pipelines.integrations.signing.references import FileReference, parse_reference
from stella_pipelines.integrations.signing.selection import open_key

app = typer.Typer(help="The keys that seal evidence: their history, rotation and revocation.", no_args_is_help=True)
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="The key's id, or its beginning.")]
AlgorithmOption = Annotated[Algorithm, typer.Option("--algorithm", help="Which kind of key to make: ed25519, or ecdsa-p256.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the key history and in the audit trail.")]
SHORT_ID_CHARS = 16


class KeyFileExists(StellaError):
    """A new key would take the place of a file that is there."""

    code = "VAL_KEY_FILE_EXISTS"


@app.command("list")
def list_keys(context: typer.Context, as_json: JsonOption = False) -> None:
    """List every key that ever sealed here, oldest first."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane:
        records = plane.keys.history().records
    session.output.document([record.document() for record in records])
    rows = [(one.key_id[:SHORT_ID_CHARS], one.algorithm, when(one.since), when(one.retired_at), _state(one)) for one in records]
    session.output.table("", ("KEY", "KIND", "SINCE", "UNTIL", "STATE"), rows, ids=("KEY", "SINCE", "UNTIL"))


@app.command()
def show(context: typer.Context, key: KeyArgument, as_json: JsonOption = False) -> None:
    """Show one key with its public half."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane:
        record = plane.keys.find(key)
    session.output.document(record.document())
    session.output.say(f"[bold]{record.key_id}[/]  {record.algorithm}, {_state(record)}")
    session.output.say(f"  since {when(record.since)}, until {when(record.retired_at)}")
    session.output.say(f"  {escape(_vouched(record))}")
    if record.revoked is not None:
        trusted = record.revoked.trusted_size
        session.output.say(f"  revoked {when(record.revoked.at)}: {escape(record.revoked.reason)}; trusted in the log below {trusted}")
    session.output.say(escape(record.public_pem.rstrip("\n")))


@app.command()
def create(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to put the private key; the public one goes beside it as .pub.")],
    algorithm: AlgorithmOption = "ed25519",
    as_json: JsonOption = False,
) -> None:
    """Make a key file. Nothing uses it until STELLA_SIGNING_KEY or `stella key rotate --to` names it."""
    del as_json
    output = session_of(context).output
    there = next((one for one in (file, file.with_suffix(".pub")) if os.path.lexists(one)), None)
    if there is not None:
        raise KeyFileExists(f"{there} is there already.", next_step="Name a new file; keys are not written over.")
    key = FileKey.load_or_create(file.absolute(), algorithm)
    output.document({"key_id": key.key_id, "algorithm": key.algorithm, "reference": f"file:{file.absolute()}", "public": str(file.with_suffix(".pub"))})
    output.say(f"[bold]{key.key_id}[/]  {key.algorithm}")
    output.say(f"  private: {escape(str(file))} (keep it secret), public: {escape(str(file.with_suffix('.pub')))}")
    output.say(f"  Put it in force: stella key rotate --to file:{escape(str(file.absolute()))} --reason …")


@app.command()
def rotate(
    context: typer.Context,
    reason: ReasonOption,
    to: Annotated[str | None, typer.Option("--to", metavar="REFERENCE", help="Where the new key is; without it a new file takes the old one's place.")] = None,
    algorithm: AlgorithmOption = "ed25519",
    lost: Annotated[bool, typer.Option("--lost", help="The key before is lost: nothing vouches for the new one, and verifiers must be given it anew.")] = False,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put another key in force. What the old one sealed stays verifiable."""
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane:
        if to is None:
            event = _rotate_file(plane, lambda new: plane.keys.rotate(session.actor(), new, reason, lost=lost), algorithm)
        else:
            event = plane.keys.rotate(session.actor(), open_key(parse_reference(to), os.environ), reason, lost=lost)
    session.output.document(event.document())
    session.output.say(f"[green]in force[/]  {event.key_id}, {event.algorithm}")
    if to is not None:
        session.output.say(f"  Set STELLA_SIGNING_KEY={escape(to)} for every process of this installation, and start them again: until then they seal nothing.")
    session.output.say("  Give auditors the new history: stella key export keys.json")


@app.command()
def revoke(context: typer.Context, key: KeyArgument, reason: ReasonOption, actor: ActorOption = None, as_json: JsonOption = False) -> None:
    """Take the trust from an old key, but for what stands in the log already."""
    del as_json, actor
    session = session_of(context)
    with session.control_plane() as plane:
        event = plane.keys.revoke(session.actor(), plane.keys.find(key).key_id, reason)
    session.output.document(event.document())
    session.output.say(f"[red]revoked[/]  {event.key_id}: trusted only in the log below {event.trusted_size}")
    session.output.say("  Give auditors the new history: stella key export keys.json")


@app.command()
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the key history, such as keys.json.")],
    as_json: JsonOption = False,
) -> None:
    """Write the key history: a public file with which anybody verifies what was ever sealed here."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane:
        history = plane.keys.history()
    write_evidence_file(file, history.canonical())
    session.output.document({"file": str(file), "keys": [record.key_id for record in history.records]})
    session.output.say(f"Written to {escape(str(file))}: {len(history.records)} keys. Verify: stella evidence verify PACKET --keys {escape(str(file))}")


def _rotate_file(plane: ControlPlane, put_in_force: Callable[[SigningKey], Introduced], algorithm: Algorithm) -> Introduced:
    """A crash leaves either the old key in force and a key that nobody needs, or the new one, which the next who seals takes from where it waits."""
    path = _key_file(plane)
    new = new_key_beside(path, algorithm)
    try:
        event = put_in_force(new)
    except StellaError as error:
        if not error.retryable:  # or the connection broke in the commit: the key that waits may be the one in force
            forget_waiting(path, new.key_id)
        raise
    take_place(path, new.key_id)
    FileKey.load(path)
    return event


def _key_file(plane: ControlPlane) -> Path:
    if plane.settings.signing_key is None:
        return plane.settings.signing_key_path
    reference = parse_reference(plane.settings.signing_key)
    if isinstance(reference, FileReference):
        return reference.path
    raise KeyChangeRefused(
        f"The key is kept as {reference.scheme}, where this command makes none.",
        next_step="Make a new key or a new version there, then name it: 'stella key rotate --to REFERENCE'.",
    )


def _state(record: KeyRecord) -> str:
    if record.revoked is not None:
        return "[red]revoked[/]"
    return "[green]in force[/]" if record.retired_at is None else "retired"


def _vouched(record: KeyRecord) -> str:
    if record.vouched_by is None:
        return "no key vouches for it: the one before was lost"
    return "the first key" if record.vouched_by == record.key_id else f"vouched for by {record.vouched_by}"
