"""Reports to Dagster what no run reports: finalized releases, and packets that were sealed elsewhere. Each once, whoever was interrupted before.

Only one sensor calls each of these functions, and Dagster runs one tick of a sensor at a time: asking first is enough.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import dagster as dg

from assets.events import Metadata, environment_event, ledger_rows, packet_event, release_events
from assets.keys import DATA_VERSION_TAG, RELEASES, check_partition_key, evidence_key
from assets.lineage import of_environment, of_packet
from assets.log_place import log_place
from assets.verdicts import verdict_in
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.limits import CLOCK_BACK_MAX_S
from stella_pipelines.core.values import Value
from stella_pipelines.deployments.errors import DeploymentMissing
from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState
from stella_pipelines.evidence.listing import newest_sequences
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.evidence.statement import Statement
from stella_pipelines.evidence.streams import environment_stream
from stella_pipelines.releases.errors import ReleaseMissing
from stella_pipelines.releases.model import ReleaseRecord

SETTLED_AFTER: Final = timedelta(seconds=20)
"""A packet younger than this is left to the run that sealed it."""
Reported = dict[dg.AssetKey, set[str]]
"""By asset the partitions that have an event, as far as they were asked for in one pass."""
Prove = Callable[[ReleaseRecord], Metadata]
"""What the event of a release says of its packet."""
PACKETS_MAX: Final = 50
"""Packets of one environment that one tick looks at; the next tick goes on behind them."""


def publish_releases(instance: dg.DagsterInstance, records: Sequence[ReleaseRecord], prove: Prove | None = None) -> dict[str, int]:
    """Publish some releases in this order; by label the number of events written. Dagster is asked once for each asset, and not for each release."""
    reported: Reported = {}
    return {record.label: publish_release(instance, record, reported, prove) for record in records}


def publish_release(instance: dg.DagsterInstance, record: ReleaseRecord, reported: Reported | None = None, prove: Prove | None = None) -> int:
    """Add the release's partition, and report what is not reported yet; the number of events written."""
    known = {} if reported is None else reported
    missing = {event.asset_key for event in release_events(record) if event.partition not in _reported(instance, event.asset_key, known)}
    if not missing:
        return 0
    add_partition(instance, record.partition_key)
    proof = prove(record) if prove else None
    for event in (event for event in release_events(record, proof) if event.asset_key in missing):
        instance.report_runless_asset_event(event)
    return len(missing)


def add_partition(instance: dg.DagsterInstance, partition_key: str) -> None:
    """Make sure that the release's partition exists; adding it again changes nothing."""
    assert RELEASES.name is not None, "a named definition"
    instance.add_dynamic_partitions(RELEASES.name, [check_partition_key(partition_key)])


class Published(Value):
    """What a tick has shown: by environment the sequence up to which its packets were looked at, and what stands in the way of others."""

    shown: dict[str, int]
    problems: tuple[str, ...] = ()


def publish_packets(plane: ControlPlane, instance: dg.DagsterInstance, read: Callable[[SealedPacket], Statement], shown: Mapping[str, int]) -> Published:
    """Report the packets that no run has reported. `shown` has the sequence up to which each environment was looked at.

    A packet that cannot be trusted is not shown, and nothing of its environment behind it; the other environments go on. Only environments
    with packets that were not looked at are asked for them.
    """
    estate, _ = plane.environments.current()
    with plane.store.reading() as tx:
        newest = newest_sequences(tx)
    seen = dict(shown)
    problems: list[str] = []
    for environment in estate.environments:
        if newest.get(environment_stream(environment.name), 0) <= seen.get(environment.name, 0):
            continue
        try:
            for sequence in _publish_environment(plane, instance, read, environment.name, seen.get(environment.name, 0)):
                seen[environment.name] = sequence
        except StellaError as error:
            problems.append(f"packet {seen.get(environment.name, 0) + 1} of {environment.name} is not shown: {error}")
    return Published(shown=seen, problems=tuple(problems))


def _publish_environment(
    plane: ControlPlane, instance: dg.DagsterInstance, read: Callable[[SealedPacket], Statement], environment: str, sequence: int
) -> Iterator[int]:
    """Report an environment's next packets; gives each one's sequence when it is through."""
    for packet in _settled_since(plane, environment, sequence):
        # A packet's digest is the data version of exactly one event. One whose run is old enough to be deleted is history, and not news.
        if not is_history(packet.sealed_at, plane.clock.now(), plane.settings.run_retention_days) and not instance.get_event_tags_for_asset(
            evidence_key(environment), {DATA_VERSION_TAG: packet.digest}
        ):
            _publish_packet(plane, instance, environment, packet, read(packet))
        yield packet.sequence


def is_history(sealed_at: datetime, now: datetime, retention_days: int) -> bool:
    """Whether a packet is so old that Dagster's events of its time are deleted (`jobs/retention.py`): whoever lost the cursor must not bring them back."""
    return retention_days > 0 and now - sealed_at > timedelta(days=retention_days)


def is_settled(sealed_at: datetime, now: datetime) -> bool:
    """Whether the run that sealed a packet has had its time to report it. A time far in the future comes from a clock that was ahead. Pure."""
    return not now - SETTLED_AFTER < sealed_at <= now + timedelta(seconds=CLOCK_BACK_MAX_S)


def _settled_since(plane: ControlPlane, environment: str, sequence: int) -> list[SealedPacket]:
    """The next packets, up to the first young one: what is passed over once is never looked at again."""
    with plane.store.reading() as tx:
        packets = plane.evidence.after(tx, environment_stream(environment), sequence, PACKETS_MAX)
    now = plane.clock.now()
    return list(itertools.takewhile(lambda packet: is_settled(packet.sealed_at, now), packets))


def _publish_packet(plane: ControlPlane, instance: dg.DagsterInstance, environment: str, packet: SealedPacket, statement: Statement) -> None:
    record = _release_of(plane, statement)
    if record is None:
        return
    deployment = _deployment_of(plane, packet, statement)
    with plane.store.reading() as tx:
        upstream = of_environment(plane, tx, environment, record)
        under = of_packet(plane, tx, environment, record, deployment.id if deployment else None)
        place = log_place(tx, packet.id)
    add_partition(instance, record.partition_key)
    if deployment is not None and deployment.state is DeploymentState.SUCCEEDED:
        rows = ledger_rows(plane.deployments.ledger(deployment.id))
        instance.report_runless_asset_event(environment_event(environment, record, packet, rows, upstream))
    # Last, because it is what marks the packet as reported.
    instance.report_runless_asset_event(packet_event(environment, packet, record.partition_key, under, place=place, verdict=verdict_in(statement)))


def _deployment_of(plane: ControlPlane, packet: SealedPacket, statement: Statement) -> DeploymentRecord | None:
    """The deployment whose end the packet tells, however many came after it; None for a decision."""
    told = statement.predicate.get("deployment")
    if packet.kind == "decision" or not isinstance(told, dict):
        return None
    try:
        found = plane.deployments.get(str(told.get("id")))
    except DeploymentMissing:
        return None
    return found if found.packet_id == packet.id else None


def _release_of(plane: ControlPlane, statement: Statement) -> ReleaseRecord | None:
    """The release that a packet is about: the first of its subjects that is one."""
    for subject in statement.subject:
        try:
            return plane.releases.by_digest(subject.digest)
        except ReleaseMissing:
            continue
    return None


def _reported(instance: dg.DagsterInstance, key: dg.AssetKey, known: Reported) -> set[str]:
    """The partitions of an asset that have an event, read once per pass."""
    if key not in known:
        known[key] = set(instance.get_materialized_partitions(key))
    return known[key]
