"""`stella release …`: create from digests or tags, show, list, push, and give security reports. Its life is in `release_lifecycle.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from stella_pipelines.cli.files import why_unreadable
from stella_pipelines.cli.output import Output, styled, when
from stella_pipelines.cli.pages import LIMIT_DEFAULT, LimitOption, say_older
from stella_pipelines.cli.session import ActorOption, JsonOption, session_of
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.limits import REPORT_BYTES_MAX
from stella_pipelines.core.references import ImageReference
from stella_pipelines.integrations.registries.port import RegistryPort
from stella_pipelines.releases.model import ReleaseRecord, ReleaseSource

app = typer.Typer(help="Releases: immutable bundles of image digests.", no_args_is_help=True)
ReleaseArgument = Annotated[str, typer.Argument(metavar="RELEASE", help="name-version, or the release's sha256:… digest.")]


class ImageArgumentInvalid(StellaError):
    """An image argument is not `component=reference`."""

    code = "VAL_IMAGE_ARGUMENT"


class ComponentTwice(StellaError):
    """One component was given two images, and only one of them could run."""

    code = "VAL_IMAGE_TWICE"


class ReportUnreadable(StellaError):
    """A report file cannot be read."""

    code = "VAL_REPORT_UNREADABLE"


class ReleaseIsDraft(StellaError):
    """The command needs a release with an identity, and this one is still a draft."""

    code = "REL_DRAFT"


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The release's name, such as shop.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Its version, such as 1.4.0.")],
    images: Annotated[
        list[str], typer.Argument(metavar="COMPONENT=IMAGE…", help="An image for each component: web=registry.example/shop/web:1.4.0 or …@sha256:…")
    ],
    draft: Annotated[bool, typer.Option("--draft", help="Leave it a draft; `release finalize` makes it immutable.")] = False,
    repository: Annotated[str | None, typer.Option(metavar="URL", help="The source repository.")] = None,
    commit: Annotated[str | None, typer.Option(metavar="COMMIT", help="The commit it was built from.")] = None,
    author: Annotated[str | None, typer.Option(metavar="NAME", help="The commit's author, for separation of duties.")] = None,
    build: Annotated[str | None, typer.Option(metavar="TEXT", help="The build's id or address.")] = None,
    as_json: JsonOption = False,
    actor: ActorOption = None,
) -> None:
    """Create a release. A tag is resolved here, once, and never read again."""
    del as_json, actor
    session = session_of(context)
    references = _images(images)
    source = ReleaseSource(repository=repository, commit=commit, author=author, build=build)
    with session.control_plane(create=True) as plane, session.output.working(f"resolving {len(references)} image(s)") as tell:

        def registry(host: str) -> RegistryPort:
            tell(f"resolving {len(references)} image(s), asking {host}")
            return plane.registry(host)

        estate, revision = plane.environments.current()
        record = plane.releases.create(
            session.actor(),
            name=name,
            version=version,
            images=references,
            registries=registry,
            source=source,
            finalize=not draft,
            declared=[component.name for component in estate.components] if revision else None,
        )
    show_release(session.output, record)


@app.command()
def show(context: typer.Context, release: ReleaseArgument, as_json: JsonOption = False) -> None:
    """Show a release: its identity, and every component's index and platform digests."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane:
        record = plane.releases.find(release)
    show_release(session.output, record)


@app.command("list")
def list_releases(
    context: typer.Context,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Only releases with this name.")] = None,
    limit: LimitOption = LIMIT_DEFAULT,
    before: Annotated[str | None, typer.Option(metavar="RELEASE", help="Only releases older than this one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List releases, newest first."""
    del as_json
    session = session_of(context)
    with session.control_plane() as plane:
        records, older = plane.releases.page(name=name, limit=limit, before=before)
    session.output.document([record.document() for record in records])
    rows = [(escape(record.label), styled(record.state.value), record.digest or "–", when(record.release.created_at)) for record in records]
    session.output.table("", ("RELEASE", "STATE", "IDENTITY", "CREATED"), rows, ids=("RELEASE", "IDENTITY"))
    say_older(session.output, older, records[-1].label if records else "")


@app.command()
def push(
    context: typer.Context,
    release: ReleaseArgument,
    repository: Annotated[str, typer.Argument(metavar="HOST/PATH", help="Where to, such as registry.example/releases/shop.")],
    as_json: JsonOption = False,
    actor: ActorOption = None,
) -> None:
    """Push the release's manifest into a registry, where any OCI tool can read it."""
    del as_json, actor
    session = session_of(context)
    target = ImageReference.parse(repository)
    with session.control_plane() as plane:
        record = plane.releases.find(release)
        with session.output.working(f"pushing {record.label} to {target.host}"):
            pushed = plane.releases.push(session.actor(), identity_of(record), plane.registry(target.host), target.path, target.host)
    session.output.document({"pushed": pushed})
    session.output.say(f"Pushed [bold]{escape(pushed)}[/]")


@app.command()
def report(
    context: typer.Context,
    release: ReleaseArgument,
    file: Annotated[Path, typer.Argument(metavar="REPORT.JSON", help="A Trivy or Grype JSON report, or a CycloneDX VEX document.")],
    as_json: JsonOption = False,
    actor: ActorOption = None,
) -> None:
    """Give a security report or a VEX statement to a release; the security gate reads it at the next evaluation."""
    del as_json, actor
    session = session_of(context)
    content = _read_report(file)
    with session.control_plane() as plane:
        record = plane.releases.find(release)
        given = plane.releases.attach_report(session.actor(), identity_of(record), content)
    session.output.document(given.document())
    session.output.say(f"Gave {escape(given.kind)} report [bold]{given.blob.short}[/] to {escape(record.label)}.")


def identity_of(record: ReleaseRecord) -> Digest:
    """The release's identity; a draft has none and is refused."""
    if record.digest is None:
        raise ReleaseIsDraft(
            f"{record.label} is a draft and has no identity yet.",
            next_step=f"Finalize it: stella release finalize {record.release.name} {record.release.version}",
        )
    return record.digest


def _read_report(file: Path) -> bytes:
    try:
        if file.stat().st_size > REPORT_BYTES_MAX:
            raise ReportUnreadable(f"{file} is larger than {REPORT_BYTES_MAX} bytes.", next_step="Give one report per release.")
        return file.read_bytes()
    except OSError as error:
        raise ReportUnreadable(f"{file} cannot be read: {why_unreadable(error)}.", next_step="Give the path of a JSON report.") from error


def _images(arguments: Sequence[str]) -> dict[str, ImageReference]:
    found: dict[str, ImageReference] = {}
    for component, reference in map(_image, arguments):
        if component in found:
            raise ComponentTwice(f"Component {component} was given {found[component]} and {reference}.", next_step="Give each component one image.")
        found[component] = reference
    return found


def _image(argument: str) -> tuple[str, ImageReference]:
    component, separator, reference = argument.partition("=")
    if not separator or not component:
        raise ImageArgumentInvalid(f"{argument[:100]!r} is not COMPONENT=IMAGE.", next_step="Write web=registry.example/shop/web:1.4.0.")
    return component, ImageReference.parse(reference)


def show_release(output: Output, record: ReleaseRecord) -> None:
    """A release with all its digests."""
    output.document(record.document())
    output.say(f"[bold]{escape(record.label)}[/]  {styled(record.state.value)}  {record.digest or 'a draft has no identity yet'}")
    source = record.release.source
    if source.commit or source.repository:
        output.say(f"built from {escape(source.repository or 'unknown')} at {escape(source.commit or 'unknown')} by {escape(source.author or 'unknown')}")
    rows = []
    for component in record.release.components:
        note = f"tag {escape(component.tag)} at {when(component.resolved_at)}" if component.tag else "given by digest"
        rows.append((f"[bold]{escape(component.name)}[/]", escape(component.repository), component.digest, note))
        rows.extend(("", f"  {image.platform}", image.digest, "") for image in component.platforms)
    output.table("", ("COMPONENT", "REPOSITORY / PLATFORM", "DIGEST", "NOTE"), rows, ids=("REPOSITORY / PLATFORM", "DIGEST"))
