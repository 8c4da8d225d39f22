"""A purge on both databases: what goes, what stays, what is told of it, and that everything can still be proven."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.errors import EvidenceMissing
from stella_pipelines.evidence.frames.source import stored
from stella_pipelines.evidence.listing import page
from stella_pipelines.evidence.log.proving import entry_with_id, stored_tree
from stella_pipelines.evidence.merkle import verify_inclusion
from stella_pipelines.evidence.retention.errors import PacketPurged, PlanChanged, ReasonMissing, RetentionForEver, RetentionNotOver
from stella_pipelines.evidence.retention.lists import read_list
from stella_pipelines.evidence.retention.scopes import OfDigest, OfEnvironment, OfEverything, OfSpan
from stella_pipelines.evidence.retention.selecting import PAGE
from stella_pipelines.evidence.retention.service import Retention
from stella_pipelines.evidence.retention.tables import blobs_leaving, evidence_purged
from stella_pipelines.evidence.stored import read_verified
from stella_pipelines.evidence.tables import evidence_subjects
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store
from tests.support import purging_process
from tests.support.retention import ALICE, BOB, DAYS, Aging
from tests.support.watched_store import watching


@pytest.fixture
def aging(store: Store) -> Aging:
    """Four releases arrived one after the other, seven years and a month ago."""
    aging = Aging(store)
    aging.deploy("1", "2", "3", "4")
    aging.pass_days(DAYS + 30)
    return aging


def test_a_young_installation_has_nothing_to_purge(store: Store) -> None:
    aging = Aging(store)
    aging.deploy("1")
    aging.pass_days(DAYS - 2)
    plan = aging.retention.plan()
    assert (plan.packets, plan.going, plan.kept) == (0, (), ())
    report = aging.retention.purge(ALICE, "yearly")
    assert (report.packets, report.blobs, report.purge_packets) == (0, 0, ())
    assert aging.verify().problems == ()


def test_the_dry_run_says_what_goes_and_what_is_needed_and_changes_nothing(aging: Aging) -> None:
    before = aging.ids(), aging.blobs(), aging.verify().size
    plan = aging.retention.plan()
    assert plan == aging.retention.plan(), "the same plan each time"
    assert (aging.ids(), aging.blobs(), aging.verify().size) == before
    # v1 and v2 go: release, decision, summary and deployment of each. v4 runs, and v3 is the way back. Summaries are needed by nobody.
    assert {group.detail: group.packets for group in plan.going} == {
        "environment/prod: decision": 2,
        "environment/prod: deployment": 2,
        "releases: release": 2,
        "summaries/prod: summary": 4,
    }
    assert {(group.reason, group.detail): group.packets for group in plan.kept} == {
        ("needed", "ran before in prod"): 3,
        ("needed", "was deployed last in prod"): 3,
    }
    assert plan.packets == 10
    assert plan.bytes == sum(group.bytes for group in plan.going) > 0


def test_a_purge_takes_what_the_plan_says_and_the_log_proves_the_rest(aging: Aging) -> None:
    plan = aging.retention.plan()
    before, size_before = aging.ids(), aging.verify().size
    report = aging.retention.purge(ALICE, "yearly", agreed=plan.digest)
    assert (report.plan, report.packets) == (plan.digest, 10)
    left = aging.ids()
    gone = [one for one in before if one not in left]
    assert len(gone) == 10
    assert aging.ids("purge") == sorted(report.purge_packets, key=left.index)
    found = aging.verify()
    assert (found.problems, found.purged) == ((), 10)
    assert found.size > size_before, "the purge itself stands in the log"
    assert aging.read(sa.select(evidence_subjects.c.packet_id).where(evidence_subjects.c.packet_id.in_(gone))) == []
    assert aging.retention.plan().packets == 0
    with aging.log.reading() as (tx, head):
        tree = stored_tree(tx)
        for packet_id in gone:
            entry = entry_with_id(tx, packet_id)
            verify_inclusion(entry.leaf_hash(), entry.index, head.size, tree.inclusion_proof(entry.index, head.size), head.root)


def test_what_goes_is_told_in_a_sealed_packet_and_entered(aging: Aging) -> None:
    report = aging.retention.purge(ALICE, "the contract ended")
    with aging.store.reading() as tx:
        first = read_verified(aging.evidence, tx, report.purge_packets[0])[1]
        predicate = first.statement.predicate
        (listed,) = [one.digest for one in first.statement.inputs if one.name == "purged"]
        told = read_list(blobs.get(tx, listed))
        assert told is not None
        entries = [entry_with_id(tx, one.id) for one in told.packets]
        assert [(one.index, one.content, one.stream, one.sequence) for one in told.packets] == [
            (entry.index, entry.content, entry.stream, entry.sequence) for entry in entries
        ]
        trail = audit.list_entries(tx, action="evidence.purge", limit=10)
    assert (predicate["purge"]["packets"], predicate["purge"]["plan"], predicate["reason"]) == (10, report.plan, "the contract ended")
    assert predicate["purged_by"]["name"] == "alice"
    assert len(told.packets) == 10
    assert {entry.subject for entry in trail} == {f"purge/{packet_id}" for packet_id in report.purge_packets}
    assert {entry.reason for entry in trail} == {"the contract ended"}


def test_whoever_asks_for_a_purged_packet_is_told_when_and_by_whom(aging: Aging) -> None:
    gone = aging.ids("decision")[0]
    report = aging.retention.purge(BOB, "yearly")
    with aging.store.reading() as tx:
        with pytest.raises(PacketPurged, match=rf"no\. 1 of environment/prod.*by bob under {report.purge_packets[0]}"):
            aging.evidence.get(tx, gone)
        with pytest.raises(PacketPurged):
            page(tx, before=gone)
        with pytest.raises(EvidenceMissing):
            aging.evidence.get(tx, "evd_unknown")
        assert gone not in [packet.id for packet in page(tx, limit=100)[0]]
    assert [packet.seal.packet_id for packet in stored(aging.store, aging.evidence) if packet.kind == "decision"] == aging.ids("decision")


def test_blobs_that_only_purged_packets_named_go_and_all_others_stay(aging: Aging) -> None:
    before = aging.blobs()
    kept_packets = {packet_id: _inputs(aging, packet_id) for packet_id in aging.ids("decision", "deployment")}
    report = aging.retention.purge(ALICE, "yearly")
    left = aging.blobs()
    assert 0 < report.blobs == len(before - left)
    for packet_id in aging.ids("decision", "deployment"):
        assert kept_packets[packet_id] & before <= left, "a kept packet lost an input"
    assert aging.read(sa.select(blobs_leaving.c.digest)) == []
    # Life goes on: v3 is still the way back, and its artifacts are there.
    record = aging.installation.rollback()
    assert record.state.value == "succeeded"
    assert aging.verify().problems == ()


def _inputs(aging: Aging, packet_id: str) -> set[str]:
    with aging.store.reading() as tx:
        return {str(one.digest) for one in read_verified(aging.evidence, tx, packet_id)[1].statement.inputs}


@pytest.mark.parametrize("scope", [OfEverything(), OfEnvironment(environment="prod")])
def test_a_hold_on_everything_or_on_the_environment_keeps_everything(aging: Aging, scope: OfEverything | OfEnvironment) -> None:
    hold = aging.retention.place(ALICE, scope, "a court asked")
    plan = aging.retention.plan()
    assert (plan.packets, plan.held, plan.holds) == (0, 16, (hold,))
    before = aging.blobs()
    assert aging.retention.purge(ALICE, "yearly").packets == 0
    assert aging.blobs() == before
    aging.retention.lift(BOB, hold.id, "the court is satisfied")
    assert aging.retention.plan().packets == 10


def test_a_hold_on_a_digest_keeps_whatever_packet_names_it_and_the_blob(aging: Aging) -> None:
    decision = aging.ids("decision")[0]
    with aging.store.reading() as tx:
        context = next(one.digest for one in read_verified(aging.evidence, tx, decision)[1].statement.inputs if one.name == "context")
    aging.retention.place(ALICE, OfDigest(digest=context), "a question")
    aging.retention.purge(ALICE, "yearly")
    assert decision in aging.ids()
    assert context in aging.blobs()
    assert aging.verify().problems == ()


def test_a_hold_on_a_span_keeps_what_was_sealed_in_it(aging: Aging) -> None:
    with aging.store.reading() as tx:
        second = aging.evidence.get(tx, aging.ids("deployment")[1]).sealed_at
    aging.retention.place(ALICE, OfSpan(since=second - timedelta(hours=12), until=second + timedelta(hours=12)), "what happened that day")
    held = set(aging.ids("release", "decision", "summary", "deployment")[4:8])
    plan = aging.retention.plan()
    assert (plan.packets, plan.held) == (6, 4)
    aging.retention.purge(ALICE, "yearly")
    assert held < set(aging.ids())
    assert len(aging.ids("release", "decision", "summary", "deployment")) == 10


def test_a_plan_that_changed_is_refused_and_nothing_goes(aging: Aging) -> None:
    plan = aging.retention.plan()
    aging.retention.place(ALICE, OfDigest(digest=Digest.of(b"1")), "names nothing")
    assert aging.retention.plan().digest == plan.digest, "a hold that covers nothing of it changes no plan"
    aging.retention.place(ALICE, OfEverything(), "names everything")
    before = aging.ids()
    with pytest.raises(PlanChanged):
        aging.retention.purge(ALICE, "yearly", agreed=plan.digest)
    assert aging.ids() == before


def test_less_may_be_asked_for_and_never_more(aging: Aging) -> None:
    plan = aging.retention.plan()
    first = min(group.first for group in plan.going)
    assert aging.retention.plan(before=first).packets == 0
    with pytest.raises(RetentionNotOver):
        aging.retention.plan(before=aging.clock.now())
    with pytest.raises(ReasonMissing):
        aging.retention.purge(ALICE, "  ")


def test_for_ever_is_for_ever(store: Store) -> None:
    aging = Aging(store, days=0)
    with pytest.raises(RetentionForEver):
        aging.retention.plan()
    with pytest.raises(RetentionForEver):
        aging.retention.purge(ALICE, "yearly")


def test_purges_are_never_purged(aging: Aging) -> None:
    told = aging.retention.purge(ALICE, "yearly").purge_packets
    aging.pass_days(DAYS + 30)
    aging.retention.purge(ALICE, "seven years later")
    assert set(told) <= set(aging.ids("purge"))
    assert aging.verify().problems == ()
    assert len(aging.read(sa.select(evidence_purged.c.packet_id))) == 10


def test_a_purge_removes_from_three_tables_and_writes_what_it_did(aging: Aging) -> None:
    with watching() as watch:
        hold = aging.retention.place(ALICE, OfEverything(), "a court asked")
        aging.retention.lift(BOB, hold.id, "the court is satisfied")
        assert watch.problems == []
        aging.retention.purge(ALICE, "yearly")
    removed = {problem.split(" ")[0] for problem in watch.problems if problem.endswith("was changed although nobody may: DELETE")}
    assert removed == {"evidence_packets", "evidence_subjects", "blobs"}, "what only a purge may do, as the owner of the tables"
    assert len([problem for problem in watch.problems if not problem.endswith("DELETE")]) == 0
    assert watch.actions == {"hold.place", "hold.lift", "evidence.purge"}


def test_a_hold_that_is_placed_meanwhile_stops_a_purge_after_whole_batches(store: Store) -> None:
    purging_process.fill(store, 2 * PAGE + 10)
    retention = purging_process.retention(store)
    with pytest.raises(PlanChanged) as stopped:
        retention.purge(ALICE, "yearly", progress=lambda _: _placed_once(retention))
    assert f"{PAGE} packets and 0 blobs were purged before" in stopped.value.unchanged
    with store.reading() as tx:
        assert tx.connection.execute(sa.select(sa.func.count()).select_from(evidence_purged)).scalar() == PAGE
    assert retention.plan().packets == 0, "the hold keeps the rest"


def _placed_once(retention: Retention) -> None:
    if not retention.holds():
        retention.place(BOB, OfEverything(), "wait")
