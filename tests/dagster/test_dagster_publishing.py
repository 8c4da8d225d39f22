"""Packets that no run has shown: every one of them appears once, however many there are and however often a tick is repeated."""

from __future__ import annotations

from datetime import datetime, timedelta

import dagster as dg
import pytest
import sqlalchemy as sa

from assets.events import ROWS_SHOWN_MAX, packet_event, table
from assets.keys import DATA_VERSION_TAG, evidence_key
from assets.publishing import PACKETS_MAX, SETTLED_AFTER, Published, add_partition, is_settled, publish_packets
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.limits import CLOCK_BACK_MAX_S
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.evidence.statement import Statement, Subject
from stella_pipelines.evidence.streams import environment_stream
from stella_pipelines.evidence.tables import evidence_packets
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.releases.model import ReleaseRecord
from tests.support.evidence import NOW
from tests.support.installation import NESTED_RESOURCES, SmallInstallation, add_release
from tests.support.intrusion import without_guards

pytestmark = pytest.mark.filterwarnings(NESTED_RESOURCES)


@pytest.fixture
def release(stella: SmallInstallation) -> ReleaseRecord:
    return add_release(stella.plane)


def seal(stella: SmallInstallation, release: ReleaseRecord, times: list[datetime], environment: str = "dev") -> list[SealedPacket]:
    """Rollbacks that somebody commanded outside of Dagster, one at each of these times."""
    assert release.digest is not None
    subject = Subject(name=f"release/{release.label}", digest=release.digest)
    with stella.plane.store.writing() as tx:
        return [
            stella.plane.evidence.seal(
                tx,
                packet_id=stella.plane.identifiers.new("evd", at),
                kind="rollback",
                stream=environment_stream(environment),
                subjects=[subject],
                predicate={"inputs": []},
                at=at,
            )
            for at in times
        ]


def tick(stella: SmallInstallation, shown: dict[str, int]) -> dict[str, int]:
    """The sequences that were shown, when nothing is wrong."""
    said = published(stella, shown)
    assert said.problems == ()
    return said.shown


def published(stella: SmallInstallation, shown: dict[str, int]) -> Published:
    def read(packet: SealedPacket) -> Statement:
        return verify_packet(packet.envelope, [stella.plane.evidence.public_pem]).statement

    return publish_packets(stella.plane, stella.instance, read, shown)


def shown_digests(stella: SmallInstallation, environment: str = "dev") -> list[str]:
    """The packets that the catalogue shows, oldest first."""
    records = stella.instance.fetch_materializations(evidence_key(environment), limit=1000, ascending=True).records
    return [(found.asset_materialization.tags or {})[DATA_VERSION_TAG] for found in records if found.asset_materialization is not None]


def long_ago(stella: SmallInstallation, count: int) -> list[datetime]:
    begin = stella.plane.clock.now() - timedelta(hours=1)
    return [begin + timedelta(milliseconds=number) for number in range(count)]


def test_a_hundred_and_twenty_packets_are_shown_over_several_ticks_each_once(stella: SmallInstallation, release: ReleaseRecord) -> None:
    packets = seal(stella, release, long_ago(stella, 120))
    seal(stella, release, long_ago(stella, 2), "prod")
    cursors, shown = [], dict[str, int]()
    for _ in range(5):
        shown = tick(stella, shown)
        cursors.append(shown["dev"])
    assert cursors == [PACKETS_MAX, 2 * PACKETS_MAX, 120, 120, 120]
    assert shown_digests(stella) == [packet.digest for packet in packets]
    assert len(shown_digests(stella, "prod")) == 2


def test_packets_that_come_between_two_ticks_are_shown_too(stella: SmallInstallation, release: ReleaseRecord) -> None:
    packets = seal(stella, release, long_ago(stella, 60))
    shown = tick(stella, {})
    packets += seal(stella, release, [packets[-1].sealed_at] * 60)
    for _ in range(2):
        shown = tick(stella, shown)
    assert shown == {"dev": 120}
    assert shown_digests(stella) == [packet.digest for packet in packets]


def test_a_lost_cursor_shows_nothing_again(stella: SmallInstallation, release: ReleaseRecord) -> None:
    packets = seal(stella, release, long_ago(stella, 60))
    for shown in ({}, {"dev": 50}, {}, {"dev": 50}):
        tick(stella, dict(shown))
    assert shown_digests(stella) == [packet.digest for packet in packets]


def test_what_a_run_has_shown_is_passed_over(stella: SmallInstallation, release: ReleaseRecord) -> None:
    packets = seal(stella, release, long_ago(stella, 3))
    add_partition(stella.instance, release.partition_key)
    by_run: dg.AssetMaterialization = packet_event("dev", packets[1], release.partition_key, ())
    stella.instance.report_runless_asset_event(by_run)
    assert tick(stella, {}) == {"dev": 3}
    assert sorted(shown_digests(stella)) == sorted(packet.digest for packet in packets)


def test_a_young_packet_is_left_to_its_run_and_not_passed_over(stella: SmallInstallation, release: ReleaseRecord) -> None:
    """An older number can have a younger time, when the clock went back in between."""
    now = stella.plane.clock.now()
    packets = seal(stella, release, [now - timedelta(minutes=2), now, now - timedelta(minutes=1)])
    assert tick(stella, {}) == {"dev": 1}
    assert shown_digests(stella) == [packets[0].digest]


def test_a_packet_of_a_clock_that_was_ahead_does_not_stop_the_walk(stella: SmallInstallation, release: ReleaseRecord) -> None:
    now = stella.plane.clock.now()
    packets = seal(stella, release, [now + timedelta(days=1), now - timedelta(minutes=1)])
    assert tick(stella, {}) == {"dev": 2}
    assert shown_digests(stella) == [packet.digest for packet in packets]


def test_when_a_packet_is_settled() -> None:
    a_moment = timedelta(microseconds=1)
    tolerated = timedelta(seconds=CLOCK_BACK_MAX_S)
    assert is_settled(NOW - SETTLED_AFTER, NOW)
    assert not is_settled(NOW - SETTLED_AFTER + a_moment, NOW)
    assert not is_settled(NOW + tolerated, NOW)
    assert is_settled(NOW + tolerated + a_moment, NOW)


# ---------------------------------------------------------------- packets that somebody has changed


def tamper(stella: SmallInstallation, packet: SealedPacket, **columns: object) -> None:
    with stella.plane.store.writing() as tx, without_guards(tx):
        tx.connection.execute(sa.update(evidence_packets).where(evidence_packets.c.id == packet.id).values(**columns))


def test_a_damaged_packet_stops_its_own_environment_and_no_other_one(stella: SmallInstallation, release: ReleaseRecord) -> None:
    in_dev, in_prod = seal(stella, release, long_ago(stella, 3)), seal(stella, release, long_ago(stella, 2), "prod")
    tamper(stella, in_dev[1], envelope=in_dev[1].envelope[:-1])
    said = published(stella, {})
    assert said.shown == {"dev": 1, "prod": 2}
    assert shown_digests(stella) == [in_dev[0].digest]
    assert shown_digests(stella, "prod") == [packet.digest for packet in in_prod]
    (problem,) = published(stella, said.shown).problems
    assert "dev" in problem
    assert "EVID_STORED_DAMAGED" in problem
    assert in_dev[1].id in problem


def test_a_forged_packet_is_not_shown_and_named_by_the_tick(stella: SmallInstallation, release: ReleaseRecord) -> None:
    in_dev, in_prod = seal(stella, release, long_ago(stella, 3)), seal(stella, release, long_ago(stella, 1), "prod")
    forged = in_dev[1].envelope.replace(b'"sig":"', b'"sig":"AAAA')[: len(in_dev[1].envelope)]
    tamper(stella, in_dev[1], envelope=forged, digest=Digest.of(forged))
    message = stella.tick("deployments").skip_message or ""
    assert "EVID_" in message
    assert shown_digests(stella) == [in_dev[0].digest]
    assert shown_digests(stella, "prod") == [packet.digest for packet in in_prod]
    assert stella.tick("deployments").skip_message == message


def test_a_table_of_very_many_targets_is_cut_and_says_so() -> None:
    rows: list[dict[str, object]] = [{"target": f"host-{number}"} for number in range(ROWS_SHOWN_MAX + 1)]
    assert table(rows[1:]).count("host-") == ROWS_SHOWN_MAX
    assert "more" not in table(rows[1:])
    assert table(rows).count("host-") == ROWS_SHOWN_MAX
    assert table(rows).endswith("\n\n… and 1 more rows.")
