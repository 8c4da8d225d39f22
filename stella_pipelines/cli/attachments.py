"""`stella release attach` and `attached`: packets beside the release that they are about, in the registry, for whoever only has the registry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from stella_pipelines.cli.evidence_files import EvidenceFileUnwritable, write_evidence_file
from stella_pipelines.cli.exits import Exit
from stella_pipelines.cli.output import Output, when
from stella_pipelines.cli.releases import ReleaseArgument, identity_of
from stella_pipelines.cli.session import ActorOption, JsonOption, session_of
from stella_pipelines.cli.verifying_keys import HistoryOption, KeyOption, ring_of
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.clock import format_instant, parse_instant
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.identifiers import check_identifier
from stella_pipelines.core.references import ImageReference
from stella_pipelines.core.words import as_words
from stella_pipelines.evidence.keys.ring import KeyRing
from stella_pipelines.integrations.registries.port import Referrer
from stella_pipelines.integrations.registries.referring import referrers_of
from stella_pipelines.releases.attached import PulledPacket, is_packet, pull_or_refusal
from stella_pipelines.releases.attaching import Attaching, Attachment, Place, packets_about
from stella_pipelines.releases.errors import AttachRefused
from stella_pipelines.releases.model import ReleaseRecord
from stella_pipelines.releases.packet_forms import BUNDLE_TYPE

WHERE = "Where the release was pushed to (default: the only place that is known)."
ImagesOption = Annotated[bool, typer.Option("--images", help="Also at the release's images that are in the same registry.")]


def register(app: typer.Typer) -> None:
    """Add these commands to `stella release`."""
    for command in (attach, attached):
        app.command()(command)


def attach(
    context: typer.Context,
    release: ReleaseArgument,
    packets: Annotated[list[str] | None, typer.Argument(metavar="PACKET", help="Ids of packets (evd_…) that are about the release.")] = None,
    all_packets: Annotated[bool, typer.Option("--all-packets", help="Every packet that is about the release.")] = False,
    to: Annotated[str | None, typer.Option("--to", metavar="HOST/PATH", help=WHERE)] = None,
    images: ImagesOption = False,
    envelopes: Annotated[bool, typer.Option("--envelopes", help="As bare DSSE envelopes, instead of Sigstore bundles, which cosign reads.")] = False,
    as_json: JsonOption = False,
    actor: ActorOption = None,
) -> None:
    """Attach sealed packets to a release in the registry. What is attached already is left as it is."""
    del as_json, actor
    session = session_of(context)
    if bool(packets) == all_packets:
        raise AttachRefused("It was not said which packets.", next_step="Give packet ids, or --all-packets, and not both.")
    with session.control_plane() as plane:
        record = plane.releases.find(release)
        places = places_of(record, to, images=images)
        attaching = Attaching(plane.store, plane.evidence, plane.clock, plane.identifiers, as_bundles=not envelopes)
        wanted = packets or _about(plane, places[0])
        with session.output.working(f"attaching {len(wanted)} packet(s) to {record.label}"):
            done = attaching.attach(session.actor(), plane.registry(places[0].host), places[0], wanted)
            for place in places[1:]:
                chosen = [packet for packet in _about(plane, place) if packet in set(wanted)]
                done += attaching.attach(session.actor(), plane.registry(place.host), place, chosen)
    _show_attachments(session.output, done)


def attached(
    context: typer.Context,
    release: ReleaseArgument,
    origin: Annotated[str | None, typer.Option("--from", metavar="HOST/PATH", help=WHERE)] = None,
    images: ImagesOption = False,
    artifact_type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only artifacts of this media type.")] = None,
    key: KeyOption = None,
    history: HistoryOption = None,
    save: Annotated[Path | None, typer.Option("--save", metavar="FOLDER", help="Write what was attached here, once it is verified.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List what is attached to a release in the registry, and verify every packet, without keys by this installation's own.

    Exit code 5: a packet is not what it must be.
    """
    del as_json
    session = session_of(context)
    with session.control_plane() as plane:
        keys = ring_of(key, history) if key or history else _own_keys(plane)
        found = []
        for place in places_of(plane.releases.find(release), origin, images=images):
            with session.output.working(f"reading what is attached to {place.location}"):
                for referrer, pulled in _read(plane, place, artifact_type, keys):
                    if save is not None and isinstance(pulled, PulledPacket):
                        _save(save, pulled)
                    found.append(_line(place, referrer, pulled))
    session.output.document(found)
    rows = [(escape(line["packet"] or "–"), escape(as_words(line["kind"] or line["artifact_type"] or "–")), line["artifact"], _verdict(line)) for line in found]
    session.output.table("", ("PACKET", "KIND", "ARTIFACT", "VERDICT"), rows, ids=("PACKET", "ARTIFACT"))
    if any(line["refused"] for line in found):
        raise typer.Exit(Exit.FAILED)


def places_of(record: ReleaseRecord, repository: str | None, *, images: bool) -> list[Place]:
    """Where the release is, and (with `images`) where those of its images are that live in the same registry. Pure."""
    digest = identity_of(record)
    target = ImageReference.parse(_repository(record) if repository is None else repository)
    places = [Place(label=f"release/{record.label}", host=target.host, path=target.path, digest=digest)]
    for component in record.release.components if images else ():
        image = ImageReference.parse(component.repository)
        if image.host == target.host:
            places.append(Place(label=f"image/{component.repository}", host=image.host, path=image.path, digest=component.digest))
    return list(dict.fromkeys(places))


def _repository(record: ReleaseRecord) -> str:
    if len(record.pushed_to) != 1:
        known = f"{len(record.pushed_to)} places are known" if record.pushed_to else "it was pushed nowhere from here"
        raise AttachRefused(
            f"It was not said where {record.label} is, and {known}.", next_step="Name the repository (HOST/PATH) to which 'stella release push' has pushed it."
        )
    return record.pushed_to[0]


def _about(plane: ControlPlane, place: Place) -> list[str]:
    with plane.store.reading() as tx:
        return packets_about(tx, place.digest)


def _own_keys(plane: ControlPlane) -> KeyRing:
    with plane.store.reading() as tx:
        return plane.evidence.keys(tx)


def _read(plane: ControlPlane, place: Place, artifact_type: str | None, keys: KeyRing) -> Iterator[tuple[Referrer, PulledPacket | StellaError | None]]:
    """One after the other, because all packets together are large. None: an artifact of another kind, which is not ours to judge."""
    registry = plane.registry(place.host)
    for referrer in referrers_of(registry, place.path, place.digest, artifact_type):
        yield referrer, pull_or_refusal(registry, place.path, place.digest, referrer, keys) if is_packet(referrer) else None


def _line(place: Place, referrer: Referrer, pulled: PulledPacket | StellaError | None) -> dict[str, Any]:
    verified = pulled.packet if isinstance(pulled, PulledPacket) else None
    return {
        "subject": place.location,
        "artifact": referrer.digest,
        "artifact_type": referrer.artifact_type,
        "packet": verified.seal.packet_id if verified else None,
        "packet_digest": verified.packet_digest if verified else None,
        "kind": verified.kind if verified else None,
        "sealed_at": format_instant(verified.seal.sealed_at) if verified else None,
        "verified": verified is not None,
        "refused": pulled.document() if isinstance(pulled, StellaError) else None,
    }


def _verdict(line: dict[str, Any]) -> str:
    if line["refused"]:
        return f"[red]{escape(line['refused']['code'])}[/]  {escape(line['refused']['what'])}"
    return f"[green]verified[/]  sealed {when(parse_instant(line['sealed_at']))}" if line["verified"] else "not a packet"


def _show_attachments(output: Output, done: Sequence[Attachment]) -> None:
    output.document([one.document() for one in done])
    rows = [(one.packet_id, "attached" if one.new else "was there already", escape(one.location)) for one in done]
    output.table("", ("PACKET", "", "ARTIFACT"), rows, ids=("PACKET", "ARTIFACT"))


def _save(folder: Path, pulled: PulledPacket) -> None:
    """The packet, and the bundle that it came in. The names are made of checked parts only: a packet's id was written by whoever sealed it."""
    name = f"{check_identifier(pulled.packet.seal.packet_id, 'evd')}-{pulled.artifact.short}"
    _make(folder)
    write_evidence_file(folder / f"{name}.dsse.json", pulled.envelope)
    if pulled.media_type == BUNDLE_TYPE:
        write_evidence_file(folder / f"{name}.sigstore.json", pulled.layer)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvidenceFileUnwritable(f"{folder} cannot be made: {error.strerror or error}.", next_step="Name a folder that you can write.") from error
