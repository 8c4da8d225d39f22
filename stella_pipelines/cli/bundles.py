"""`stella evidence bundle`: a packet with all that cosign needs to check it, in one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape

from stella_pipelines.cli.evidence_files import write_evidence_file
from stella_pipelines.cli.session import JsonOption, session_of
from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence.bundle import TRUSTED_ROOT, write_bundle
from stella_pipelines.evidence.statement import Subject
from stella_pipelines.evidence.stored import read_verified
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Transaction

BUNDLE: Final = "packet.sigstore.json"
KEY: Final = "evidence.pub"
ROOT: Final = "trusted_root.json"
SUBJECT: Final = "subject.json"
COSIGN: Final = f"cosign verify-blob-attestation --key {KEY} --bundle {BUNDLE} --new-bundle-format --trusted-root {ROOT} --insecure-ignore-tlog {SUBJECT}"


class FolderUnusable(StellaError):
    """The folder that was named for a bundle cannot be made or written."""

    code = "EVID_FOLDER_UNUSABLE"


def register(app: typer.Typer) -> None:
    """Add the command to `stella evidence`."""
    app.command("bundle")(bundle)


def bundle(
    context: typer.Context,
    packet: Annotated[str, typer.Argument(metavar="PACKET", help="The packet's id (evd_…).")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to put the files; it is made if needed.")],
    as_json: JsonOption = False,
) -> None:
    """Write a packet as a Sigstore bundle, with the public key and what the packet is about, for cosign and other tools."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane, plane.store.reading() as transaction:
        sealed, verified = read_verified(plane.evidence, transaction, packet)
        public_pem = plane.evidence.keys(transaction).keys[verified.key_id].pem
        subject = _kept_subject(transaction, verified.statement.subject)
    files = {BUNDLE: write_bundle(sealed.envelope, verified.key_id), KEY: public_pem, ROOT: TRUSTED_ROOT}
    if subject is not None:
        files[SUBJECT] = subject[1]
    _make(folder)
    for name, content in files.items():
        write_evidence_file(folder / name, content)
    command = None if subject is None else COSIGN
    session.output.document({"folder": str(folder), "files": sorted(files), "subject": None if subject is None else subject[0].name, "command": command})
    session.output.say(f"Written to {escape(str(folder))}: {', '.join(sorted(files))}")
    if subject is None:
        session.output.say("  What the packet is about is not kept here: give cosign the file whose digest is the subject's.")
        return
    session.output.say(f"  {SUBJECT} is {escape(subject[0].name)}. Verify in that folder, without any network:")
    session.output.say(f"  {COSIGN}")


def _kept_subject(tx: Transaction, subjects: tuple[Subject, ...]) -> tuple[Subject, bytes] | None:
    """The first thing that the packet is about whose bytes are kept here: mostly the release's manifest."""
    for subject in subjects:
        if blobs.exists(tx, subject.digest):
            return subject, blobs.get(tx, subject.digest)
    return None


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderUnusable(f"{folder} cannot be made: {error.strerror or error}.", next_step="Name a folder in a place that you can write.") from error
