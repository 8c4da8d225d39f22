"""Applying estates on both databases: once, as a whole, with an audit entry, and never over somebody who is working there."""

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.identifiers import SystemIdentifiers
from stella_pipelines.environments.errors import EstateInUse, EstateRevisionMissing, TargetNotLeaving, TargetStillRuns
from stella_pipelines.environments.estate import parse_estate
from stella_pipelines.environments.model import Environment, Estate
from stella_pipelines.environments.problems import InvalidEstate
from stella_pipelines.environments.service import Environments
from stella_pipelines.environments.tables import estate_revisions
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.audited import row_digest
from stella_pipelines.store.database import Store, Transaction
from stella_pipelines.store.errors import Conflict, DatabaseBusy

ADA = Actor(name="ada", via="test")
SOURCE = Digest.of(b"the file")
START = datetime(2026, 1, 1, tzinfo=UTC)


class SteppingClock:
    """A second later every time it is asked."""

    def __init__(self) -> None:
        self._now = START

    def now(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now


def estate(*names: str, targets: Mapping[str, str] | None = None, root: str = "") -> Estate:
    environments = ", ".join(f"{name}: {{gates: none}}" for name in names)
    lines = ", ".join(f"{name}: {{environment: {where}, process: {{directory: {root}/{name}}}}}" for name, where in (targets or {}).items())
    return parse_estate(f"environments: {{{environments}}}\ntargets: {{{lines}}}\n", "estate.yaml")


@pytest.fixture
def environments(store: Store) -> Environments:
    return Environments(store, SteppingClock(), SystemIdentifiers())


def trail(store: Store) -> list[audit.AuditEntry]:
    with store.reading() as tx:
        return audit.list_entries(tx)


def test_at_first_there_is_the_empty_estate(environments: Environments) -> None:
    assert environments.current() == (Estate(), 0)
    assert environments.at_revision(0) == Estate()
    assert environments.revisions() == []


def test_an_applied_estate_is_current_and_says_what_changed(environments: Environments) -> None:
    wanted = estate("dev", "prod")
    revision, changes = environments.apply(ADA, wanted, source_digest=SOURCE)
    assert (revision, [change.subject for change in changes]) == (1, ["environment/dev", "environment/prod"])
    assert environments.current() == (wanted, 1)


def test_the_same_estate_again_leaves_no_trace(environments: Environments, store: Store) -> None:
    environments.apply(ADA, estate("dev"), source_digest=SOURCE)
    assert environments.apply(ADA, estate("dev"), source_digest=Digest.of(b"another comment")) == (1, ())
    assert len(trail(store)) == 1
    assert len(environments.revisions()) == 1


def test_an_empty_estate_at_first_is_no_change(environments: Environments, store: Store) -> None:
    assert environments.apply(ADA, Estate(), source_digest=SOURCE) == (0, ())
    assert trail(store) == []


def test_every_revision_is_kept(environments: Environments) -> None:
    environments.apply(ADA, estate("dev"), source_digest=SOURCE)
    environments.apply(ADA, estate("dev", "prod"), source_digest=SOURCE)
    environments.apply(ADA, estate("dev"), source_digest=SOURCE)
    assert [environments.at_revision(number) for number in (1, 2, 3)] == [estate("dev"), estate("dev", "prod"), estate("dev")]
    newest = environments.revisions()[0]
    assert (newest.revision, newest.digest, newest.source_digest, newest.applied_by) == (3, estate("dev").content_digest(), SOURCE, "ada")
    with pytest.raises(EstateRevisionMissing):
        environments.at_revision(4)


def test_the_audit_entry_names_who_and_the_row(environments: Environments, store: Store) -> None:
    environments.apply(ADA, estate("dev"), source_digest=SOURCE)
    environments.apply(ADA, estate("prod"), source_digest=SOURCE)
    second, first = trail(store)
    assert [(one.actor, one.action, one.subject, one.before) for one in (first, second)] == [
        (ADA, "estate.apply", "estate/1", None),
        (ADA, "estate.apply", "estate/2", None),
    ]
    with store.reading() as tx:
        written = tx.connection.execute(sa.select(estate_revisions).order_by(estate_revisions.c.revision)).mappings()
        assert [first.after, second.after] == [row_digest(dict(row)) for row in written]


def test_a_failure_at_the_last_step_leaves_nothing(environments: Environments, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no room for an entry")

    monkeypatch.setattr(audit, "record", refuse)
    with pytest.raises(RuntimeError, match="no room"):
        environments.apply(ADA, estate("dev"), source_digest=SOURCE)
    assert environments.current() == (Estate(), 0)
    assert environments.revisions() == []


def test_a_broken_estate_is_refused_whoever_made_it(environments: Environments) -> None:
    broken = Estate(environments=(Environment(name="prod", gates="none", promotes_from=("nowhere",)),))
    with pytest.raises(InvalidEstate, match="no environment 'nowhere'"):
        environments.apply(ADA, broken, source_digest=SOURCE)
    assert environments.current() == (Estate(), 0)


def test_the_difference_is_shown_without_applying(environments: Environments) -> None:
    environments.apply(ADA, estate("dev"), source_digest=SOURCE)
    assert [(change.kind, change.name) for change in environments.diff(estate("prod"))] == [("remove", "dev"), ("add", "prod")]
    assert environments.diff(estate("dev")) == ()
    assert environments.current()[1] == 1


def test_what_is_in_use_does_not_go_away(store: Store) -> None:
    used = {"environment/prod": "promotion prm_1 waits there", "target/p1": "deployment dep_1 runs there"}
    environments = Environments(store, SteppingClock(), SystemIdentifiers(), in_use=lambda tx: used)
    before = estate("dev", "prod", targets={"d1": "dev", "p1": "prod"})
    environments.apply(ADA, before, source_digest=SOURCE)
    with pytest.raises(EstateInUse, match="environment/prod is in use: promotion prm_1 waits there") as caught:
        environments.apply(ADA, estate("dev", targets={"d1": "dev"}), source_digest=SOURCE)
    assert caught.value.reasons == used
    with pytest.raises(EstateInUse, match="target/p1"):
        environments.apply(ADA, estate("dev", "prod", targets={"d1": "dev", "p1": "dev"}), source_digest=SOURCE)
    assert environments.current() == (before, 1)
    assert environments.apply(ADA, estate("dev", "prod", targets={"p1": "prod"}), source_digest=SOURCE)[0] == 2


def test_a_target_that_still_runs_something_leaves_only_when_it_is_forgotten(store: Store) -> None:
    runs = {"dev": {"d1": "release one"}, "prod": {"p1": "release two"}}
    environments = Environments(store, SteppingClock(), SystemIdentifiers(), still_running=lambda tx, environment: runs[environment])
    before = estate("dev", "prod", targets={"d1": "dev", "p1": "prod"})
    environments.apply(ADA, before, source_digest=SOURCE)
    for after in (estate("dev", targets={"d1": "dev"}), estate("dev", "prod", targets={"d1": "dev", "p1": "dev"})):
        with pytest.raises(TargetStillRuns, match="Target p1 still runs release two"):
            environments.apply(ADA, after, source_digest=SOURCE)
    with pytest.raises(TargetNotLeaving, match="d1"):
        environments.apply(ADA, estate("dev", targets={"d1": "dev"}), source_digest=SOURCE, forget=["p1", "d1"])
    assert environments.current() == (before, 1)
    assert environments.apply(ADA, estate("dev", targets={"d1": "dev"}), source_digest=SOURCE, forget=["p1"])[0] == 2
    assert [entry.reason for entry in trail(store)] == ["forgot the targets p1", None]


def test_a_target_whose_place_changes_leaves_its_old_place_only_when_it_is_forgotten(store: Store) -> None:
    environments = Environments(store, SteppingClock(), SystemIdentifiers(), still_running=lambda tx, environment: {"p1": "release two"})
    before, after = (estate("prod", targets={"p1": "prod"}, root=root) for root in ("/old", "/new"))
    environments.apply(ADA, before, source_digest=SOURCE)
    with pytest.raises(TargetStillRuns, match=r"another place \(process /new/p1\), while its old one \(process /old/p1\) still runs release two") as caught:
        environments.apply(ADA, after, source_digest=SOURCE)
    assert "the same host only got another address" in caught.value.next_step
    assert environments.current() == (before, 1)
    assert environments.apply(ADA, after, source_digest=SOURCE, forget=["p1"])[0] == 2
    assert [entry.reason for entry in trail(store)] == ["forgot the targets p1", None]


def test_a_target_in_use_stays_in_its_place(store: Store) -> None:
    environments = Environments(store, SteppingClock(), SystemIdentifiers(), in_use=lambda tx: {"target/p1": "deployment dep_1 has not ended"})
    before, after = estate("prod", targets={"p1": "prod"}), estate("prod", targets={"p1": "prod"}, root="/elsewhere")
    environments.apply(ADA, before, source_digest=SOURCE)
    with pytest.raises(EstateInUse, match="target/p1"):
        environments.apply(ADA, after, source_digest=SOURCE, forget=["p1"])
    assert environments.current() == (before, 1)


def test_two_applies_at_once_are_two_revisions_or_one_conflict(store: Store) -> None:
    """Whatever the interleaving: as many revisions as applies that returned, and no apply that silently lost."""
    together, returned, refused = threading.Barrier(2), [], []

    def apply(name: str) -> None:
        own = Environments(store, SteppingClock(), SystemIdentifiers())
        together.wait()
        try:
            returned.append(own.apply(ADA, estate(name), source_digest=SOURCE)[0])
        except (Conflict, DatabaseBusy) as error:
            refused.append(error)

    threads = [threading.Thread(target=apply, args=(name,)) for name in ("dev", "prod")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    environments = Environments(store, SteppingClock(), SystemIdentifiers())
    assert len(returned) + len(refused) == 2
    assert sorted(returned) == [row.revision for row in reversed(environments.revisions())] == list(range(1, len(returned) + 1))
    assert all(error.retryable for error in refused)
    assert len(trail(store)) == len(returned)


def test_a_revision_that_was_taken_meanwhile_is_a_conflict(store: Store, database_kind: str) -> None:
    """The interleaving that hurts, made certain: somebody else's revision is committed between our reading and our writing."""
    if database_kind == "sqlite":
        # SQLite lets one writer in at a time, so there is no meanwhile: the second sees the first's revision and builds on it.
        first, second = (Environments(store, SteppingClock(), SystemIdentifiers()) for _ in range(2))
        assert [first.apply(ADA, estate("dev"), source_digest=SOURCE)[0], second.apply(ADA, estate("prod"), source_digest=SOURCE)[0]] == [1, 2]
        return
    other = Environments(store, SteppingClock(), SystemIdentifiers())

    def meanwhile(tx: Transaction) -> Mapping[str, str]:
        thread = threading.Thread(target=lambda: other.apply(ADA, estate("prod"), source_digest=SOURCE))
        thread.start()
        thread.join()
        return {}

    environments = Environments(store, SteppingClock(), SystemIdentifiers(), in_use=meanwhile)
    other.apply(ADA, estate("dev"), source_digest=SOURCE)
    with pytest.raises(Conflict):
        environments.apply(ADA, estate("staging"), source_digest=SOURCE)
    assert environments.current() == (estate("prod"), 2)


def test_an_apply_against_another_revision_than_the_one_looked_at_is_a_conflict(environments: Environments) -> None:
    environments.apply(ADA, estate("dev"), source_digest=SOURCE, expected_revision=0)
    with pytest.raises(Conflict, match="revision 1 now, not 0"):
        environments.apply(ADA, estate("prod"), source_digest=SOURCE, expected_revision=0)
    assert environments.current()[1] == 1


def test_the_current_estate_is_parsed_once(environments: Environments) -> None:
    environments.apply(ADA, estate("dev"), source_digest=SOURCE)
    assert environments.current()[0] is environments.current()[0]
    environments.apply(ADA, estate("prod"), source_digest=SOURCE)
    assert environments.current()[0] == estate("prod")


def test_another_process_change_is_seen(environments: Environments, store: Store) -> None:
    environments.apply(ADA, estate("dev"), source_digest=SOURCE)
    assert environments.current()[1] == 1
    Environments(store, SteppingClock(), SystemIdentifiers()).apply(ADA, estate("prod"), source_digest=SOURCE)
    assert environments.current() == (estate("prod"), 2)


def test_it_can_be_read_inside_a_transaction_of_the_caller(environments: Environments, store: Store) -> None:
    environments.apply(ADA, estate("dev"), source_digest=SOURCE)
    with store.writing() as tx:
        assert environments.current(tx) == (estate("dev"), 1)


@pytest.mark.parametrize("statement", [sa.delete(estate_revisions), sa.update(estate_revisions).values(applied_by="eve")], ids=["delete", "update"])
def test_the_database_keeps_revisions_as_they_are(environments: Environments, store: Store, statement: sa.Delete | sa.Update) -> None:
    environments.apply(ADA, estate("dev"), source_digest=SOURCE)
    with pytest.raises(sa.exc.DBAPIError, match="an estate revision is never"), store.writing() as tx:
        tx.connection.execute(statement)
    assert environments.current()[1] == 1


def test_the_table_is_the_one_that_the_migration_makes(store: Store) -> None:
    with store.reading() as tx:
        inspector = sa.inspect(tx.connection)
        columns = {column["name"]: column["nullable"] for column in inspector.get_columns("estate_revisions")}
        keys = inspector.get_foreign_keys("estate_revisions")
    assert columns == {column.name: column.nullable for column in estate_revisions.columns}
    assert [(key["referred_table"], key["constrained_columns"]) for key in keys] == [("blobs", ["digest"])]
