"""Importing: verified first, stored whole or not at all, once, apart from the own evidence, and never against what came before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.exports import errors
from stella_pipelines.evidence.exports.opening import opened
from stella_pipelines.evidence.exports.question import Question
from stella_pipelines.evidence.exports.trust import Trust
from stella_pipelines.evidence.imports import reading
from stella_pipelines.evidence.imports.errors import ImportConflicts, ImportedDamaged, ImportMissing, ImportOfOwn
from stella_pipelines.evidence.imports.service import Imported, Imports
from stella_pipelines.evidence.imports.tables import imported_blobs, imported_contents, imported_entries, imported_exports
from stella_pipelines.evidence.tables import evidence_packets
from stella_pipelines.store.database import Store
from tests.support.exports import REPORT, ExportingInstallation, members_of, moment, repacked, unseen, with_origin
from tests.support.logs import ALICE, SmallLog
from tests.support.promotions import CountedIdentifiers, SetClock

TABLES = (imported_exports, imported_entries, imported_contents, imported_blobs)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[ExportingInstallation]:
    """The installation on the other side."""
    store = Store.open(f"sqlite:///{tmp_path / 'there.db'}")
    yield ExportingInstallation(store)
    store.close()


class Here:
    """The installation that imports."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.own = SmallLog(store, seed=9)
        self.imports = Imports(store, SetClock(moment(100)), CountedIdentifiers())

    def take(self, path: Path, trust: Trust) -> Imported:
        return self.imports.take(ALICE, path, trust, unseen, reason="audit")

    def counts(self) -> list[int]:
        with self.store.reading() as tx:
            return [int(tx.connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()) for table in (*TABLES, evidence_packets)]


@pytest.fixture
def here(store: Store) -> Here:
    return Here(store)


def test_what_is_imported_is_kept_apart_and_shown_with_its_origin(here: Here, there: ExportingInstallation, tmp_path: Path) -> None:
    ids = there.decide("prod", 3)
    report = there.export(tmp_path / "a.zip", Question(environment="prod"), artifacts=True).report
    done = here.take(tmp_path / "a.zip", there.trust)
    assert (done.is_new, done.report) == (True, report)
    assert here.counts() == [1, 6, 6, 1, 0]
    with here.store.reading() as tx:
        (listed,) = reading.list_imports(tx, 10)
        found = reading.find_import(tx, report.digest.short)
        packets = reading.packets_of(tx, found, limit=2)
        rest = reading.packets_of(tx, found, limit=2, after=packets[-1].log_index)
        assert reading.artifact(tx, Digest.of(REPORT)) == REPORT
        (entry,) = audit.list_entries(tx, action="evidence.import")
    assert listed == found
    assert (found.origin, found.signed_by, found.trusted) == (report.log.origin, there.key.key_id, (there.key.key_id,))
    assert [one.packet.seal.packet_id for one in (*packets, *rest)] == ids
    assert (entry.subject, entry.reason, entry.actor) == (f"import/{report.digest}", "audit", ALICE)


def test_importing_twice_changes_nothing(here: Here, there: ExportingInstallation, tmp_path: Path) -> None:
    there.decide("prod", 3)
    there.export(tmp_path / "a.zip")
    assert here.take(tmp_path / "a.zip", there.trust).is_new
    before = here.counts()
    assert not here.take(tmp_path / "a.zip", there.trust).is_new
    assert here.counts() == before
    there.decide("prod", 2)
    there.export(tmp_path / "b.zip")  # with all of the first, and more
    assert here.take(tmp_path / "b.zip", there.trust).is_new
    assert here.counts()[0] == 2


def test_nothing_of_a_bad_export_is_stored(here: Here, there: ExportingInstallation, tmp_path: Path) -> None:
    there.decide("prod", 3)
    there.export(tmp_path / "a.zip")
    members = members_of(tmp_path / "a.zip")
    bad = repacked(tmp_path / "bad.zip", {**members, "packets/000001.jsonl": members["packets/000001.jsonl"].replace(b"e", b"f", 1)})
    with pytest.raises(errors.PacketInExportRefused):
        here.take(bad, there.trust)
    with pytest.raises(errors.ExportKeyUnknown):
        here.take(tmp_path / "a.zip", Trust.of([here.own.key.public_pem]))
    assert here.counts() == [0, 0, 0, 0, 0]


def test_a_crash_while_storing_leaves_nothing(here: Here, there: ExportingInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there.decide("prod", 3)
    there.export(tmp_path / "a.zip", artifacts=True)

    def dies(*_: object, **about: object) -> None:
        raise RuntimeError("the process is gone")

    with monkeypatch.context() as patched:
        patched.setattr("stella_pipelines.evidence.audit.record", dies)
        with pytest.raises(RuntimeError):
            here.take(tmp_path / "a.zip", there.trust)
    assert here.counts() == [0, 0, 0, 0, 0]
    assert here.take(tmp_path / "a.zip", there.trust).is_new


def test_a_file_that_changes_after_it_was_verified_is_not_stored(
    here: Here, there: ExportingInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.decide("prod", 3)
    there.export(tmp_path / "a.zip")
    path, store_it = tmp_path / "a.zip", here.imports._store_it

    def changed_before(*about: object) -> bool:
        content = bytearray(path.read_bytes())
        with opened(path) as file:
            content[file.members["packets/000001.jsonl"].content_offset + 50] ^= 1
        path.write_bytes(content)
        return store_it(*about)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(here.imports, "_store_it", changed_before)
    with pytest.raises(errors.ExportRefused):
        here.take(path, there.trust)
    assert here.counts() == [0, 0, 0, 0, 0]


def test_an_export_of_its_own_is_not_imported(there: ExportingInstallation, tmp_path: Path) -> None:
    there.decide("prod")
    there.export(tmp_path / "a.zip")
    with pytest.raises(ImportOfOwn):
        Imports(there.store, there.clock, there.identifiers).take(ALICE, tmp_path / "a.zip", there.trust, unseen)


@pytest.mark.parametrize("same_size", [True, False], ids=["of the same size", "that is longer"])
def test_another_history_of_the_same_installation_is_refused(here: Here, tmp_path: Path, same_size: bool) -> None:
    for number in (1, 2):
        store = Store.open(f"sqlite:///{tmp_path / f'{number}.db'}")
        installation = with_origin(store, "stella-pipelines.dev/log/one")
        installation.decide("prod", 3, says={"rewritten": number == 2})
        installation.decide("dev", 0 if same_size or number == 1 else 3)
        installation.export(tmp_path / f"{number}.zip")
        store.close()
    assert here.take(tmp_path / "1.zip", installation.trust).is_new
    before = here.counts()
    with pytest.raises(ImportConflicts):
        here.take(tmp_path / "2.zip", installation.trust)
    assert here.counts() == before


def test_rows_that_were_edited_are_not_shown(here: Here, there: ExportingInstallation, tmp_path: Path) -> None:
    there.decide("prod", 2)
    report = there.export(tmp_path / "a.zip", artifacts=True).report
    here.take(tmp_path / "a.zip", there.trust)
    with here.store.writing() as tx:
        if tx.connection.dialect.name == "sqlite":
            for table in ("imported_entries", "imported_blobs"):
                tx.connection.exec_driver_sql(f"DROP TRIGGER {table}_no_update")
        else:
            tx.connection.exec_driver_sql("SET session_replication_role = replica")
        tx.connection.execute(sa.update(imported_entries).where(imported_entries.c.kind == "packet", imported_entries.c.sequence == 2).values(entry_id="evd_x"))
        tx.connection.execute(sa.update(imported_blobs).values(content=b"other"))
    with here.store.reading() as tx:
        found = reading.find_import(tx, report.digest)
        with pytest.raises(ImportedDamaged):
            reading.packets_of(tx, found, limit=10)
        with pytest.raises(ImportedDamaged):
            reading.artifact(tx, Digest.of(REPORT))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_what_was_imported_stays(here: Here, there: ExportingInstallation, tmp_path: Path, table: sa.Table) -> None:
    there.decide("prod", 2)
    there.export(tmp_path / "a.zip", artifacts=True)
    here.take(tmp_path / "a.zip", there.trust)
    for statement in (sa.delete(table), sa.update(table).values({table.primary_key.columns[0].name: "x"})):
        with pytest.raises(Exception, match="append-only"), here.store.writing() as tx:
            tx.connection.execute(statement)


@pytest.mark.parametrize("text", ["", "0" * 12, "sha256:", "%"])
def test_an_import_that_is_not_there(here: Here, text: str) -> None:
    with here.store.reading() as tx:
        with pytest.raises(ImportMissing):
            reading.find_import(tx, text)
        with pytest.raises(ImportMissing):
            reading.artifact(tx, Digest.of(b"nothing"))
