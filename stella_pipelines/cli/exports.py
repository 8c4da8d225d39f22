"""`stella evidence export` and `verify-export`: one file that answers an audit question, and its verification with nothing but a public key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from stella_pipelines.cli.evidence_files import read_evidence_file
from stella_pipelines.cli.moments import SinceOption, UntilOption, moment_of
from stella_pipelines.cli.names import require_environment
from stella_pipelines.cli.output import Output
from stella_pipelines.cli.session import ActorOption, JsonOption, session_of
from stella_pipelines.cli.verifying_keys import HistoryOption, KeyOption, NoKeyGiven
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence.exports.completeness import ends_in_words
from stella_pipelines.evidence.exports.opening import opened
from stella_pipelines.evidence.exports.question import Question
from stella_pipelines.evidence.exports.reading import read_export
from stella_pipelines.evidence.exports.trust import Trust
from stella_pipelines.evidence.exports.verifying import ExportReport, verify_read
from stella_pipelines.evidence.keys.history import HISTORY_BYTES_MAX
from stella_pipelines.evidence.keys.public import PUBLIC_PEM_BYTES_MAX
from stella_pipelines.evidence.listing import page
from stella_pipelines.evidence.log.notes import NOTE_BYTES_MAX

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The export, as `evidence export` wrote it.")]
OlderOption = Annotated[
    Path | None, typer.Option("--checkpoint", metavar="OLD", help="A checkpoint that was kept before: the export's log must have grown from it.")
]


class QuestionUnclear(StellaError):
    """An export was asked for without saying of what, or of several things at once."""

    code = "VAL_EXPORT_QUESTION"


def register(app: typer.Typer) -> None:
    """Add the commands to `stella evidence`."""
    app.command("export")(export)
    app.command("verify-export")(verify_export)


def export(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write; by custom it ends with .zip.")],
    environment: Annotated[str | None, typer.Option("--environment", "-e", metavar="ENVIRONMENT", help="Everything about this environment.")] = None,
    digest: Annotated[str | None, typer.Option(metavar="DIGEST", help="Everything that this digest touched: an image, a policy, a report (sha256:…).")] = None,
    release: Annotated[str | None, typer.Option(metavar="NAME@VERSION", help="Everything about this release.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that is sealed here.")] = False,
    since: SinceOption = None,
    until: UntilOption = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; it is sealed with the export.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", metavar="OLD", help="The auditor's own checkpoint: the export will prove that the log has grown from it.")
    ] = None,
    without_artifacts: Annotated[bool, typer.Option("--without-artifacts", help="Leave out what the packets refer to.")] = False,
    without_tables: Annotated[bool, typer.Option("--without-tables", help="Leave out CSV and Parquet.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew, and do not go on with what an interrupted export left.")] = False,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write one file that answers an audit question, and that proves itself. An interrupted export goes on with the same command."""
    del actor, as_json
    session = session_of(context)
    who = session.actor()
    if sum(map(bool, (environment, digest, release, everything))) != 1:
        raise QuestionUnclear("An export is of one thing.", next_step="Give one of --environment, --digest, --release and --all; --since and --until limit it.")
    with session.control_plane() as plane:
        question = _question(plane, environment, digest, release, since, until)
        older = None if checkpoint is None else read_evidence_file(checkpoint, NOTE_BYTES_MAX)
        done = plane.exports.export(
            who,
            question,
            output,
            session.output.counting,
            reason=reason,
            artifacts=not without_artifacts,
            tables=not without_tables,
            older=older,
            restart=restart,
        )
        key = plane.settings.public_key_path
    session.output.document({"file": str(output), **done.document()})
    session.output.say(f"[green]written[/]  {escape(str(output))}, {done.bytes} bytes, sha256:{done.sha256}")
    say_report(session.output, done.report)
    session.output.say(f"  sealed as {done.packet_id}")
    session.output.say(f"  Verify: stella evidence verify-export {escape(str(output))} --key {escape(str(key))}")


def verify_export(
    context: typer.Context,
    file: FileArgument,
    key: KeyOption = None,
    keys: HistoryOption = None,
    checkpoint: OlderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify an export. Needs the file and a public key: no database, no network, no installation."""
    del as_json
    output = session_of(context).output
    trust = trust_of(key, keys)
    older = None if checkpoint is None else read_evidence_file(checkpoint, NOTE_BYTES_MAX)
    with opened(file) as opened_file:
        read = read_export(opened_file, trust)
        with output.counting("verifying", read.manifest.summary.counts.total) as progress:
            report = verify_read(read, older=older, progress=progress)
    output.document({"verified": True, **report.document()})
    output.say(f"[green]verified[/]  {report.digest}")
    say_report(output, report)


def trust_of(keys: list[Path] | None, history: Path | None) -> Trust:
    """The keys that a person gave."""
    if not keys and history is None:
        raise NoKeyGiven("No key was given to verify with.", next_step="Give --key with a public key, or --keys with a key history, that you trust.")
    pems = [read_evidence_file(path, PUBLIC_PEM_BYTES_MAX) for path in keys or ()]
    return Trust.of(pems, None if history is None else read_evidence_file(history, HISTORY_BYTES_MAX))


def say_report(output: Output, report: ExportReport) -> None:
    """What was verified, for people."""
    counts = report.counts
    output.say(f"  {escape(report.question.in_words())}")
    output.say(f"  {counts.packets} packets, {counts.audit} audit entries, {counts.blobs} artifacts" + (f", {counts.purged} purged" if counts.purged else ""))
    ends = ends_in_words(report.streams)
    for span in report.streams:
        numbers = "nothing" if span.first is None else f"nos. {span.first} to {span.last}, none missing"
        output.say(f"  {escape(span.stream)}: {numbers}; {ends[span.stream]}")
    if not report.streams:
        output.say("  Picked out of all packets; that there are no others, the installation says.")
    output.say(f"  log {escape(report.log.origin)}, {report.log.size} entries, root {report.log.root}")
    output.say(f"  signed by {report.signed_by}" + ("; grown from the given checkpoint" if report.compared else ""))


def _question(plane: ControlPlane, environment: str | None, digest: str | None, release: str | None, since: str | None, until: str | None) -> Question:
    moments = {"since": moment_of(since), "until": moment_of(until)}
    if environment is not None:
        with plane.store.reading() as tx:
            has_evidence = page(tx, environment=environment, limit=1)[0]
        if not has_evidence:  # one that left the estate keeps its evidence
            require_environment(plane, environment)
        return Question(environment=environment, **moments)
    if release is not None:
        record = plane.releases.find(release.replace("@", ":", 1) if "@sha256" not in release else release)
        if record.digest is None:
            raise QuestionUnclear(f"{record.label} is not finalized, and has no evidence.", next_step="Finalize it, or ask about another one.")
        return Question(subject=record.digest, release=record.label, **moments)
    return Question(subject=None if digest is None else Digest(digest), **moments)
