"""What a deployment or rollback puts into the catalogue: what the targets proved, the packet, and the check that compares the two."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import dagster as dg

from assets.checks import check_evaluation, target_rows
from assets.events import environment_event, packet_event
from assets.lineage import of_environment, of_packet
from assets.log_place import log_place
from assets.publishing import add_partition
from resources.signer import SignerResource
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState, EnvironmentObservation

Event = dg.AssetMaterialization | dg.AssetCheckEvaluation


def deployment_events(plane: ControlPlane, instance: dg.DagsterInstance, signer: SignerResource, record: DeploymentRecord) -> Iterator[Event]:
    """The events of a deployment that has ended. A packet is only shown after its signature was checked."""
    add_partition(instance, plane.releases.by_digest(record.release_digest).partition_key)
    observation = asyncio.run(plane.deployments.observe(record.environment))
    if record.packet_id is not None:
        yield from _sealed_events(plane, signer, record, record.packet_id, observation)
    yield check_evaluation(plane, observation)


def _sealed_events(
    plane: ControlPlane, signer: SignerResource, record: DeploymentRecord, packet_id: str, observation: EnvironmentObservation
) -> Iterator[Event]:
    release = plane.releases.by_digest(record.release_digest)
    plane.log.take_in()  # the packet's place stands in the event, which is never written anew
    with plane.store.reading() as tx:
        packet = plane.evidence.get(tx, packet_id)
        upstream = of_environment(plane, tx, record.environment, release)
        under, place = of_packet(plane, tx, record.environment, release, record.id), log_place(tx, packet_id)
    signer.verified(packet)
    if record.state is DeploymentState.SUCCEEDED:
        yield environment_event(record.environment, release, packet, target_rows(observation.targets), upstream)
    yield packet_event(record.environment, packet, release.partition_key, under, place=place, verdict=record.state.value)
