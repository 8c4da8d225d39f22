"""What an export of each question holds, and that it is evidence itself."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.exports import selecting
from stella_pipelines.evidence.exports.draft import open_draft
from stella_pipelines.evidence.exports.errors import DraftUnusable, ExportUnwritable, QuestionInvalid
from stella_pipelines.evidence.exports.question import Question
from stella_pipelines.evidence.exports.verifying import ExportReport, verify_export
from stella_pipelines.evidence.log import heads
from stella_pipelines.evidence.log.note_keys import sign_as_witness
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.store.database import Store
from tests.support.evidence import RELEASE, p256_key, signing_key
from tests.support.exports import REPORT, ExportingInstallation, members_of, moment
from tests.support.logs import ALICE


@pytest.fixture
def installation(store: Store) -> ExportingInstallation:
    return ExportingInstallation(store)


def spans(report: ExportReport) -> dict[str, tuple[int | None, int | None, str]]:
    return {span.stream: (span.first, span.last, span.end) for span in report.streams}


def test_an_environment_in_a_span_has_its_neighbours(installation: ExportingInstallation, tmp_path: Path) -> None:
    for _ in range(10):
        installation.decide("prod")
        installation.decide("dev", days=0)
    question = Question(environment="prod", since=moment(3), until=moment(7))
    report = installation.export(tmp_path / "a.zip", question).report
    assert spans(report) == {"environment/prod": (2, 7, "followed"), "summaries/prod": (None, None, "newest")}
    assert report.counts.packets == 6  # days 3, 4, 5 and 6, and one on either side
    assert report.counts.audit == 4
    assert verify_export(tmp_path / "a.zip", installation.trust) == report


def test_a_span_without_packets_shows_that_there_are_none(installation: ExportingInstallation, tmp_path: Path) -> None:
    installation.decide("prod", 3)
    installation.decide("prod", 2, days=100)
    between = installation.export(tmp_path / "a.zip", Question(environment="prod", since=moment(10), until=moment(20))).report
    assert spans(between)["environment/prod"] == (3, 4, "followed")
    before = installation.export(tmp_path / "b.zip", Question(environment="prod", until=moment(0))).report
    assert spans(before)["environment/prod"] == (1, 1, "followed")
    behind = installation.export(tmp_path / "c.zip", Question(environment="prod", since=moment(900))).report
    assert spans(behind)["environment/prod"] == (5, 5, "newest")
    never = installation.export(tmp_path / "d.zip", Question(environment="nowhere")).report
    assert spans(never)["environment/nowhere"] == (None, None, "newest")
    assert never.counts.tail == never.log.size


def test_everything_is_everything(installation: ExportingInstallation, tmp_path: Path) -> None:
    installation.decide("prod", 3)
    installation.decide("dev", 2)
    report = installation.export(tmp_path / "a.zip").report
    assert report.counts.packets + report.counts.audit == report.log.size
    assert spans(report)["audit"] == (1, report.counts.audit, "newest")
    part = installation.export(tmp_path / "b.zip", Question(since=moment(2), until=moment(5))).report
    assert spans(part)["environment/prod"] == (1, 3, "newest")
    assert spans(part)["environment/dev"] == (1, 2, "followed")


def test_a_digest_is_followed_to_its_releases(installation: ExportingInstallation, tmp_path: Path) -> None:
    installation.decide("prod", 2)
    other = {"release": {"digest": Digest.of(b"another"), "label": "other-1.0.0"}, "decision": None}
    installation.decide("releases", 1, kind="release", stream="releases", says=other)
    by_release = installation.export(tmp_path / "a.zip", Question(subject=RELEASE.digest, release="shop-1.0.0")).report
    assert by_release.counts.packets == 3
    by_report = installation.export(tmp_path / "b.zip", Question(subject=Digest.of(REPORT))).report
    assert by_report.counts.packets == 3  # they rest on it; it is of no release
    assert json.loads(members_of(tmp_path / "b.zip")["manifest.json"])["about"] == [Digest.of(REPORT)]
    unknown = installation.export(tmp_path / "c.zip", Question(subject=Digest.of(b"nobody knows"))).report
    assert unknown.counts.packets == 0


def test_artifacts_tables_and_pages_come_along(installation: ExportingInstallation, tmp_path: Path) -> None:
    installation.decide("prod", 3)
    installation.export(tmp_path / "a.zip", Question(environment="prod"), artifacts=True, tables=True)
    members = members_of(tmp_path / "a.zip")
    assert members[f"blobs/sha256-{Digest.of(REPORT).hex}"] == REPORT
    rows = list(csv.DictReader(io.StringIO(members["tables/decisions/000001.csv"].decode())))
    assert [(row["environment"], row["outcome"], row["sequence"]) for row in rows] == [("prod", "allow", str(number)) for number in (1, 2, 3)]
    assert members["tables/decisions/000001.parquet"].startswith(b"PAR1")
    assert members["index.html"].count(b'<td><span class="good">allow</span></td>') == 3


def test_the_export_is_evidence_itself(installation: ExportingInstallation, tmp_path: Path) -> None:
    installation.decide("prod", 2)
    done = installation.export(tmp_path / "a.zip", Question(environment="prod"), reason="third quarter")
    with installation.store.reading() as tx:
        packet = installation.evidence.get(tx, done.packet_id)
        (entry,) = audit.list_entries(tx, action="evidence.export")
    statement = verify_packet(packet.envelope, [installation.key.public_pem]).statement
    assert statement.subject[0].digest == done.report.digest == entry.after
    told = statement.predicate
    assert told["export"]["question"]["environment"] == "prod"
    assert (told["export"]["packets"], told["export"]["audit_entries"]) == (done.report.counts.packets, done.report.counts.audit)
    assert told["export"]["log"] == done.report.log.document()
    assert (told["reason"], told["exported_by"]) == ("third quarter", ALICE.document())
    assert (entry.actor, entry.environment, entry.reason) == (ALICE, "prod", "third quarter")
    assert {one["name"]: one["digest"] for one in told["inputs"]} == {
        "index": done.report.digest,
        "checkpoint": Digest.of(members_of(tmp_path / "a.zip")["checkpoint"]),
    }


def test_an_ecdsa_key_vouches_too(store: Store, tmp_path: Path) -> None:
    installation = ExportingInstallation(store, key=p256_key())
    installation.decide("prod", 3)
    report = installation.export(tmp_path / "a.zip", Question(environment="prod")).report
    assert report.signed_by == p256_key().key_id
    assert verify_export(tmp_path / "a.zip", installation.trust) == report


def test_a_witness_s_line_comes_along(installation: ExportingInstallation, tmp_path: Path) -> None:
    installation.decide("prod", 3)
    head = installation.take_in()
    line = sign_as_witness("witness.example", signing_key(5), head.note.decode().rpartition("\n\n")[0] + "\n", 1_800_000_000).line()
    with installation.store.writing() as tx:
        heads.add_cosignature(tx, head.size, "witness.example", line, moment(9))
    report = installation.export(tmp_path / "a.zip", Question(environment="prod")).report
    assert report.witnesses == 1
    assert line.encode() in members_of(tmp_path / "a.zip")["checkpoint"]


def test_two_cannot_write_one_file(installation: ExportingInstallation, tmp_path: Path) -> None:
    installation.decide("prod")
    beginning = installation.exports._beginning(Question(), False, ())
    with open_draft(tmp_path / "a.zip", beginning), pytest.raises(DraftUnusable):
        installation.export(tmp_path / "a.zip")


def test_a_folder_that_is_not_there(installation: ExportingInstallation, tmp_path: Path) -> None:
    installation.decide("prod")
    with pytest.raises(ExportUnwritable):
        installation.export(tmp_path / "nowhere" / "a.zip")


def test_a_long_tail_is_stated_and_not_proven(installation: ExportingInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installation.decide("prod", 2)
    installation.decide("dev", 10)
    monkeypatch.setattr(selecting, "TAIL_MAX", 5)
    report = installation.export(tmp_path / "a.zip", Question(environment="prod")).report
    assert spans(report)["environment/prod"] == (1, 2, "stated")
    assert report.counts.tail == 0


def test_chunks_are_cut_by_count_and_by_size(installation: ExportingInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stella_pipelines.evidence.exports.pouring.ENTRIES_MAX", 4)
    monkeypatch.setattr("stella_pipelines.evidence.exports.pouring.BYTES_AIM", 2_500)
    installation.decide("prod", 9)
    report = installation.export(tmp_path / "a.zip", Question(environment="prod")).report
    assert report.counts.packets == 9
    chunks = [content for name, content in members_of(tmp_path / "a.zip").items() if name.startswith("packets/") and name.endswith("jsonl")]
    assert len(chunks) > 3
    assert all(len(chunk) <= 2_500 or chunk.count(b"\n") == 1 for chunk in chunks)
    assert b"pages/000002.html" in members_of(tmp_path / "a.zip")["index.html"]


def test_a_packet_that_vanished_is_not_passed_over(installation: ExportingInstallation, tmp_path: Path) -> None:
    (gone, *_) = installation.decide("prod", 3)
    with installation.store.writing() as tx:
        dialect = tx.connection.dialect.name
        tx.connection.execute(sa.text("SET session_replication_role = replica" if dialect == "postgresql" else "DROP TRIGGER evidence_packets_no_delete"))
        tx.connection.execute(sa.text("DELETE FROM evidence_subjects") if dialect == "postgresql" else sa.text("PRAGMA defer_foreign_keys = ON"))
        if dialect == "sqlite":
            tx.connection.execute(sa.text("DROP TRIGGER evidence_subjects_no_delete"))
            tx.connection.execute(sa.text("DELETE FROM evidence_subjects"))
        tx.connection.execute(sa.text("DELETE FROM evidence_packets WHERE id = :id"), {"id": gone})
    with pytest.raises(Exception, match="not stored any more") as refused:
        installation.export(tmp_path / "a.zip")
    assert refused.value.code == "EVID_STORED_DAMAGED"  # type: ignore[attr-defined]  # a StellaError


@pytest.mark.parametrize(
    "asked",
    [
        {"environment": "prod", "subject": RELEASE.digest},
        {"release": "shop-1.0.0"},
        {"since": moment(2), "until": moment(2)},
    ],
)
def test_a_question_that_does_not_fit_together(asked: dict[str, Any]) -> None:
    with pytest.raises(QuestionInvalid):
        Question(**asked)
