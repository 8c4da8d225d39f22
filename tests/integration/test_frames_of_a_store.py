"""Frames of a real history in a real store: they say what runs, where a digest came from, and where a vulnerability is and was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence.errors import StoredPacketDamaged, StoredPacketDiffers
from stella_pipelines.evidence.frames.decisions import decisions, gates
from stella_pipelines.evidence.frames.deployments import deployments
from stella_pipelines.evidence.frames.errors import DigestUnknown
from stella_pipelines.evidence.frames.lineage import lineage
from stella_pipelines.evidence.frames.reading import ReadBlob
from stella_pipelines.evidence.frames.runs import runs, where
from stella_pipelines.evidence.frames.source import StoredPackets, stored, stored_blobs
from stella_pipelines.evidence.keys import changes as key_changes
from stella_pipelines.evidence.log.service import Log
from stella_pipelines.evidence.tables import evidence_packets
from stella_pipelines.evidence.verify import VerifiedPacket
from stella_pipelines.promotions.affected import affected
from stella_pipelines.promotions.known_reports import given_in
from stella_pipelines.store.database import Store
from tests.simulation.installation import image
from tests.support.analysed_shop import ALICE, CVE, AnalysedShop, analysed_shop, index_of
from tests.support.evidence import signing_key
from tests.support.intrusion import without_guards

WEB, WORKER = "web", "worker"


@pytest.fixture
def shop(store: Store) -> AnalysedShop:
    return analysed_shop(store)


@pytest.fixture
def source(shop: AnalysedShop) -> StoredPackets:
    return stored(shop.store, shop.installation.evidence)


@pytest.fixture
def read_blob(shop: AnalysedShop) -> ReadBlob:
    return stored_blobs(shop.store)


def rows(frame: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(None if pd.isna(cell) else cell for cell in row) for row in frame[list(columns)].itertuples(index=False, name=None)]


def test_what_runs_is_what_the_machines_run(shop: AnalysedShop, source: StoredPackets) -> None:
    found = runs(source)
    now = found[found["until"].isna()]
    truth = [(target, component, digest) for target, components in shop.installation.world.runs().items() for component, (digest, _) in components.items()]
    assert sorted(rows(now, "target", "component", "digest")) == sorted(truth)
    assert set(now["release"]) == {"shop-1.2.0", "shop-1.4.0"}
    assert set(found["proof"]) == {"shown", "possible"}
    assert set(found[found["proof"] == "possible"]["release"]) == {"shop-1.3.0"}


def test_decisions_and_deployments_of_the_history(source: StoredPackets) -> None:
    decided, deployed = decisions(source), deployments(source)
    assert rows(decided[decided["environment"] == "prod"], "sequence", "outcome", "release", "approvers", "denied_by") == [
        (1, "allow", "shop-1.0.0", "ann", ""),
        (3, "allow", "shop-1.1.0", "bob", ""),
        (5, "deny", "shop-1.2.0", "", "scan"),
        (6, "allow", "shop-1.3.0", "ann", ""),
        (8, "allow", "shop-1.4.0", "ann", ""),
    ]
    assert rows(deployed[deployed["environment"] == "prod"], "sequence", "packet_kind", "state", "targets_rolled_back") == [
        (2, "deployment", "succeeded", 0),
        (4, "deployment", "succeeded", 0),
        (7, "rollback", "rolled_back", 2),
        (9, "deployment", "succeeded", 0),
    ]
    allowed = dict(rows(decided, "packet_id", "outcome"))
    assert {allowed[packet] for packet in deployed["decision_packet_id"]} == {"allow"}
    assert len(gates(source)) == 10


def test_where_a_digest_of_any_kind_is(shop: AnalysedShop, source: StoredPackets) -> None:
    platform = image(WEB, "1.2.0")
    expected = [("dev", "dev-1", "shop-1.2.0"), ("prod", "host-1", "shop-1.4.0"), ("prod", "host-2", "shop-1.4.0")]
    for digest in (platform.digest, platform.config_digest, index_of(WEB, "1.2.0")):
        assert rows(where(source, digest), "environment", "target", "release") == expected
    assert set(where(source, shop.releases["1.1.0"])["component"]) == {WEB, WORKER}
    assert len(where(source, image(WORKER, "1.0.0").digest)) == 9  # three releases in dev, three on each of two machines
    assert len(where(source, shop.releases["1.3.0"])) == 2  # it went back, and may have run for a moment
    with pytest.raises(DigestUnknown):
        where(source, Digest.of(b"nothing"))


def test_back_from_a_digest_to_commit_scan_and_approvers(source: StoredPackets, read_blob: ReadBlob) -> None:
    found = lineage(source, image(WEB, "1.2.0").digest, read_blob)
    last = found[found["release"] == "shop-1.4.0"]
    assert list(last["what"]) == ["source", "image", "release", "scan", "scan", "scan", "approval", "decision", "deployment"]
    story = {row["what"]: row for row in last.to_dict("records")}
    assert story["source"]["name"] == "https://git.example.com/shop@f2a6b19"
    assert story["source"]["by"] == "Cyn <cyn@example.com>"
    assert (story["approval"]["by"], story["approval"]["detail"], story["decision"]["verdict"]) == ("ann", "looked at the plan", "allow")
    assert {"web: 1 critical", "worker: nothing found", f"{CVE} not_affected"} == set(last[last["what"] == "scan"]["detail"])
    assert story["deployment"]["digest"] == deployments(source).set_index("packet_id")["packet_digest"][story["deployment"]["packet_id"]]
    assert list(found[found["release"] == "shop-1.2.0"]["verdict"].dropna()) == ["allow", "succeeded", "deny"]


def test_without_blobs_a_lineage_knows_the_people_and_not_the_scans(source: StoredPackets) -> None:
    found = lineage(source, image(WEB, "1.0.0").digest)
    assert list(found[found["what"] == "approval"]["by"]) == ["ann"]
    assert set(found[found["what"] == "scan"]["at"].isna()) == {True}
    assert list(found[found["what"] == "source"]["name"]) == ["https://git.example.com/shop@5e1f0c3"]


def test_a_release_without_its_own_packet_is_read_from_its_manifest(source: StoredPackets, read_blob: ReadBlob) -> None:
    """As in an export of one environment."""
    of_prod = [packet for packet in source if packet.kind != "release"]
    platform = image(WEB, "1.2.0")
    assert len(where(of_prod, index_of(WEB, "1.2.0"))) == 3
    with pytest.raises(DigestUnknown, match="read_blob"):
        where(of_prod, platform.config_digest)
    assert len(where(of_prod, platform.config_digest, read_blob)) == 3
    assert set(lineage(of_prod, platform.digest, read_blob)["what"]) == set(lineage(source, platform.digest, read_blob)["what"])
    pd.testing.assert_frame_equal(affected(of_prod, CVE, read_blob), affected(source, CVE, read_blob))


def test_forward_from_a_vulnerability_to_everywhere_it_is_and_was(source: StoredPackets, read_blob: ReadBlob) -> None:
    found = affected(source, CVE.lower(), read_blob)
    assert rows(found, "status", "environment", "target", "release", "severity", "vex") == [
        ("affected", "dev", "dev-1", "shop-1.1.0", "medium", None),
        ("affected", "dev", "dev-1", "shop-1.2.0", "critical", None),
        ("affected", "prod", "host-1", "shop-1.1.0", "medium", None),
        ("affected", "prod", "host-2", "shop-1.1.0", "medium", None),
        ("not_affected", "prod", "host-1", "shop-1.4.0", "critical", "not_affected"),
        ("not_affected", "prod", "host-2", "shop-1.4.0", "critical", "not_affected"),
    ]
    assert len(affected(source, "CVE-2000-1", read_blob)) == 0


def test_a_scan_that_no_decision_has_judged_yet(shop: AnalysedShop, source: StoredPackets, read_blob: ReadBlob) -> None:
    """`worker` was clean in every release, until the scan of this morning, which was given to one of them."""
    shop.hours(1)
    shop.scan("1.0.0", WORKER, "1.0.0", "HIGH")
    assert WORKER not in set(affected(source, CVE, read_blob)["component"])
    found = affected(source, CVE, read_blob, given_in(shop.store, shop.installation.releases))
    of_worker = found[found["component"] == WORKER]
    assert len(of_worker) == 9
    counted = {(release, status) for release, status in rows(of_worker, "release", "status")}
    assert counted == {("shop-1.0.0", "affected"), ("shop-1.1.0", "affected"), ("shop-1.2.0", "affected"), ("shop-1.4.0", "not_affected")}


def test_what_nobody_has_looked_at_is_not_taken_for_clean(shop: AnalysedShop, source: StoredPackets, read_blob: ReadBlob) -> None:
    shop.release("2.0.0", "77aa001")
    shop.deploy("2.0.0", "dev")
    found = affected(source, CVE, read_blob)
    assert rows(found[found["status"] == "unassessed"], "environment", "component", "release") == [
        ("dev", WEB, "shop-2.0.0"),
        ("dev", WORKER, "shop-2.0.0"),
    ]


def test_an_affected_image_that_ran_nowhere_is_told_too(shop: AnalysedShop, source: StoredPackets, read_blob: ReadBlob) -> None:
    shop.release("3.0.0", "0d0d0d0")
    shop.scan("3.0.0", WEB, "3.0.0", "LOW")
    found = affected(source, CVE, read_blob, given_in(shop.store, shop.installation.releases))
    assert rows(found[found["environment"].isna()], "status", "severity", "digest") == [("affected", "low", image(WEB, "3.0.0").digest)]


# ---------------------------------------------------------------- the store as a source


def test_pages_of_any_size_are_the_same_packets(shop: AnalysedShop, source: StoredPackets) -> None:
    everything = [packet.packet_digest for packet in source]
    for page in (1, 3, 10_000):
        assert [packet.packet_digest for packet in stored(shop.store, shop.installation.evidence, page=page)] == everything
    in_prod = [packet.seal.environment for packet in stored(shop.store, shop.installation.evidence, environments=["prod"])]
    assert set(in_prod) == {"prod"}
    assert len(everything) > len(in_prod) > 0


def test_only_a_page_is_in_memory_and_what_comes_meanwhile_is_left_for_the_next_reading(shop: AnalysedShop) -> None:
    reading: Iterator[VerifiedPacket] = iter(stored(shop.store, shop.installation.evidence, page=2))
    first = next(reading)
    shop.deploy("1.0.0", "dev")
    rest = list(reading)
    again = list(stored(shop.store, shop.installation.evidence))
    assert len(again) > len([first, *rest])
    assert [packet.packet_digest for packet in (first, *rest)] == [found.packet_digest for found in again if found in (first, *rest)]


@pytest.mark.parametrize(
    ("column", "value", "refusal"),
    [("kind", "override", StoredPacketDiffers), ("envelope", b"{}", StoredPacketDamaged), ("sealed_at", "2026-01-31T00:00:00.000000Z", StoredPacketDiffers)],
)
def test_a_row_that_was_changed_makes_no_frame(shop: AnalysedShop, source: StoredPackets, column: str, value: object, refusal: type[StellaError]) -> None:
    changed = deployments(source)["packet_id"][3]
    with shop.store.writing() as tx, without_guards(tx):
        tx.connection.execute(sa.update(evidence_packets).where(evidence_packets.c.id == changed).values({column: value}))
    with pytest.raises(refusal):
        decisions(source)


def test_only_the_keys_that_are_given_count(shop: AnalysedShop) -> None:
    evidence = shop.installation.evidence
    assert len(decisions(stored(shop.store, evidence, [evidence.public_pem]))) == 8
    with pytest.raises(StellaError, match="EVID_KEY_UNKNOWN"):
        decisions(stored(shop.store, evidence, [signing_key(2).public_pem]))


def test_a_revoked_key_counts_for_what_the_log_had_before(shop: AnalysedShop, source: StoredPackets) -> None:
    old, new, clock = signing_key(), signing_key(2), shop.installation.clock
    now, before = clock.now(), len(decisions(source))
    head = Log(shop.store, old, clock).take_in()
    assert head is not None
    with shop.store.writing() as tx:
        key_changes.rotate(tx, old=old, new=new, at=now, actor=ALICE, reason="yearly")
        key_changes.revoke(tx, key_id=old.key_id, signer=new, trusted_size=head.size, at=now, actor=ALICE, reason="laptop stolen")
    with pytest.raises(StellaError, match="EVID_KEY_REVOKED"):
        decisions(source)  # no checkpoint by a key that counts proves the old packets yet
    Log(shop.store, new, clock).take_in()
    assert len(decisions(source)) == before
