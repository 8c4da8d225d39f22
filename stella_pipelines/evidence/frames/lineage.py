"""`lineage`: the story of a digest, from the source that it was built from to where it was deployed, one row for everything that happened.

Packets tell the commit, who asked, what was decided and what was deployed. What they refer to (what the gates gathered) tells what the scans
found, and each approval with its time and plan; without `read_blob` those rows know less.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import pandas as pd

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.frames.columns import Cell, Column, Table
from stella_pipelines.evidence.frames.meaning import Meaning, Meanings
from stella_pipelines.evidence.frames.reading import Document, ReadBlob, blob, digest, documents, inside, packets_of, text, texts, time
from stella_pipelines.evidence.frames.releases import ReleaseFacts
from stella_pipelines.evidence.frames.told import Told, told_by
from stella_pipelines.evidence.verify import VerifiedPacket

LINEAGE: Final = (
    Column("release", "text", "The release that the row belongs to"),
    Column("what", "category", "`source`, `image`, `release`, `scan`, `approval`, `override`, `decision`, `deployment`, `rollback` or `drift`"),
    Column("at", "time", "When: a release's creation, a scan, a click, a decision, the end of a deployment"),
    Column("environment", "category", "Where, for what is about one environment"),
    Column("name", "text", "A repository with its commit, a repository of images, a release, a report, a promotion, a gate, a deployment"),
    Column("verdict", "category", "`allow` or `deny` of a decision, `approve` or `reject` of a person, what an override overruled, how a deployment ended"),
    Column("by", "text", "The commit's author, the scanner, the person, who requested, who started"),
    Column("detail", "text", "More, in words"),
    Column("digest", "text", "Of the image, the report, the plan that was approved, or the packet"),
    Column("packet_id", "text", "The packet that says so"),
    Column("release_digest", "text", "The release's identity"),
)
_RANK: Final = {"source": 0, "image": 1, "release": 2}
"""What comes first in a release's story; everything else follows by its time."""
STATEMENTS_SHOWN_MAX: Final = 5
"""Of a VEX document in a row; the report has all of them."""
Row = dict[str, Cell]


def lineage(source: Iterable[VerifiedPacket], digest: str, read_blob: ReadBlob | None = None) -> pd.DataFrame:
    """Everything about the releases that contain a digest: an image's, an index's, a config's (with `read_blob`), a release's, or a packet's.

    The columns are those of `LINEAGE`. `DigestUnknown` when nothing names the digest.
    """
    meanings, stories = Meanings(), dict[Digest, list[Told]]()
    for packet in packets_of(source):
        meanings.take(packet)
        told = told_by(packet)
        if told is not None:
            stories.setdefault(told.release_digest, []).append(told)
    meaning = meanings.of(Digest(digest), read_blob)
    table = Table(LINEAGE)
    told_of = {release: sorted(stories.get(release, ()), key=_place) for release in meaning.releases}
    for release in sorted(meaning.releases, key=lambda one: (*(_place(told) for told in told_of[one][:1]), one)):
        for row in _story(release, told_of[release], meanings, meaning, read_blob):
            table.add(row)
    return table.frame()


def _place(told: Told) -> tuple[object, ...]:
    return (told.at, told.environment or "", told.sequence, told.packet_digest)


def _story(release: Digest, told: list[Told], meanings: Meanings, meaning: Meaning, read_blob: ReadBlob | None) -> Iterator[Row]:
    facts = meanings.facts(release, read_blob)
    label = facts.label if facts else meanings.releases[release]
    rows = [*_made(facts, meaning), *_scans(told, facts, read_blob)]
    if all(one.kind != "release" for one in told):
        rows.append({"what": "release", "at": facts.created_at if facts else None, "name": label, "digest": release})
    for one in told:
        rows += [*_approvals(one, read_blob), _event(one)]
    same = {"release": label, "release_digest": release}
    # Stable: an approval stands before the decision of the same moment.
    yield from ({**_EMPTY, **row, **same} for row in sorted(rows, key=lambda row: (_RANK.get(str(row["what"]), 3), _moment(row))))


_EMPTY: Final[Row] = {column.name: None for column in LINEAGE}


def _moment(row: Row) -> tuple[bool, object]:
    at = row.get("at")
    return at is not None, at if at is not None else 0


def _made(facts: ReleaseFacts | None, meaning: Meaning) -> Iterator[Row]:
    """The source, and the images that the digest means: all of them when it is a release's."""
    if facts is None:
        return
    yield _source(facts)
    for component in facts.components:
        for image in component.platforms:
            if meaning.images is None or image.digest in meaning.images:
                detail = f"{component.name} for {image.platform}, of the index {component.digest.short}"
                yield {"what": "image", "name": component.repository, "digest": image.digest, "detail": detail}


def _source(facts: ReleaseFacts) -> Row:
    parts = {name: text(facts.source, name) for name in ("repository", "commit", "author", "build")}
    name = "@".join(part for part in (parts["repository"], parts["commit"]) if part)
    return {"what": "source", "name": name or None, "by": parts["author"], "detail": parts["build"]}


def _event(told: Told) -> Row:
    return {
        "what": told.kind,
        "at": told.at,
        "environment": told.environment,
        "name": told.name,
        "verdict": told.verdict,
        "by": told.by,
        "detail": told.detail,
        "digest": told.packet_digest,
        "packet_id": told.packet_id,
    }


def _approvals(told: Told, read_blob: ReadBlob | None) -> Iterator[Row]:
    """Who approved, as the decision names them; with what the gates gathered, also when, for which plan, and who rejected."""
    clicks = [] if read_blob is None else [click for gate in told.gates for click in _gathered(gate, "approvals", read_blob)]
    if not clicks:
        yield from (_approval(told, {"by": name, "verdict": "approve"}) for name in told.approvers)
        return
    seen: list[Document] = []
    for click in clicks:
        if click not in seen:  # two approval gates gather the same clicks
            seen.append(click)
            yield _approval(told, _click(told, click))


def _approval(told: Told, row: Row) -> Row:
    return {"at": told.at, **row, "what": "approval", "environment": told.environment, "name": told.name, "packet_id": told.packet_id}


def _click(told: Told, click: Document) -> Row:
    who, verdict = text(inside(click, "actor"), "name"), text(click, "verdict")
    counted = "" if verdict != "approve" or (who or "").casefold() in told.approvers else "not counted; "
    return {
        "at": time(click, "at") or told.at,
        "by": who,
        "verdict": verdict,
        "detail": counted + (text(click, "reason") or "no reason given"),
        "digest": digest(click, "plan_digest"),
    }


def _scans(told: list[Told], facts: ReleaseFacts | None, read_blob: ReadBlob | None) -> Iterator[Row]:
    """Each report that a decision read, once, with what is known of it from the newest decision that did."""
    found: dict[Digest, Row] = {}
    for one in told:
        known = {} if read_blob is None else {text(report, "id"): report for gate in one.gates for report in _gathered(gate, "reports", read_blob)}
        for name, content in one.reports:
            found[content] = _scan(name, content, known.get(name.removeprefix("report/"), {}), facts) | {"packet_id": one.packet_id}
    yield from found.values()


def _scan(name: str, content: Digest, report: Document, facts: ReleaseFacts | None) -> Row:
    scan = inside(report, "scan")
    detail = _found(scan, facts) if scan else _stated(documents(report, "statements")) or text(report, "problem")
    return {
        "what": "scan",
        "at": time(scan, "created_at") or time(report, "given_at"),
        "name": name,
        "by": text(report, "kind"),
        "detail": detail,
        "digest": content,
    }


def _found(scan: Document, facts: ReleaseFacts | None) -> str:
    """What a scan found, by severity, and in which components."""
    kinds = [text(finding, "severity") or "unknown" for finding in documents(scan, "findings")]
    findings = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds))) or "nothing found"
    subjects = texts(scan, "subjects")
    components = [one.name for one in facts.components if any(one.means(subject) for subject in subjects)] if facts else []
    return f"{', '.join(components)}: {findings}" if components else findings


def _stated(statements: Sequence[Document]) -> str:
    """What VEX says, in short."""
    said = [f"{text(one, 'vulnerability')} {text(one, 'state')}" for one in statements[:STATEMENTS_SHOWN_MAX]]
    return ", ".join([*said, *(["…"] if len(statements) > STATEMENTS_SHOWN_MAX else [])])


def _gathered(gate: Digest, what: str, read_blob: ReadBlob) -> tuple[Document, ...]:
    """A list out of what a gate gathered; empty for a gate of another kind."""
    return documents(inside(blob(read_blob, gate, "What a gate judged"), "facts"), what)
