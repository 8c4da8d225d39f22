"""Where something came from, in our own words. Dagster's pointers name the parent's newest event of any partition, so they cannot serve here."""

from __future__ import annotations

import dagster as dg

from assets.keys import environment_key, image_key, release_key
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.releases.model import ReleaseRecord
from stella_pipelines.store.database import Transaction


class Upstream(Value):
    """One thing that an event rests on."""

    asset: str
    partition: str
    digest: Digest
    packet: str | None = None
    deployment: str | None = None


def of_release(record: ReleaseRecord) -> tuple[Upstream, ...]:
    """The images of a release."""
    return tuple(Upstream(asset=_path(image_key(image.name)), partition=record.partition_key, digest=image.digest) for image in record.release.components)


def of_environment(plane: ControlPlane, tx: Transaction, environment: str, record: ReleaseRecord) -> tuple[Upstream, ...]:
    """The release, and its newest deployment packet in each environment that this one promotes from."""
    estate, _ = plane.environments.current(tx)
    declared = estate.environment(environment)
    assert record.digest is not None, "only finalized releases are promoted"
    found = [Upstream(asset=_path(release_key(record.release.name)), partition=record.partition_key, digest=record.digest)]
    for name in declared.promotes_from if declared else ():
        packets = plane.evidence.list(tx, environment=name, kind="deployment", subject=record.digest, limit=1)
        packet = packets[0].id if packets else None
        found.append(Upstream(asset=_path(environment_key(name)), partition=record.partition_key, digest=record.digest, packet=packet))
    return tuple(found)


def of_packet(plane: ControlPlane, tx: Transaction, environment: str, record: ReleaseRecord, deployment: str | None = None) -> tuple[Upstream, ...]:
    """What a packet about an environment rests on: the deployment that it tells of, the release, its images, and where the release came from."""
    assert record.digest is not None, "only finalized releases are promoted"
    told = Upstream(asset=_path(environment_key(environment)), partition=record.partition_key, digest=record.digest, deployment=deployment)
    return (*([told] if deployment else []), *of_environment(plane, tx, environment, record), *of_release(record))


def links(upstream: tuple[Upstream, ...]) -> dict[str, dg.MetadataValue]:
    """As metadata, one entry per parent that leads to its page."""
    return {f"upstream {asset}": dg.MetadataValue.asset(dg.AssetKey(asset.split("/"))) for asset in dict.fromkeys(entry.asset for entry in upstream)}


def shown(upstream: tuple[Upstream, ...]) -> dg.MetadataValue:
    """As metadata, one entry per parent."""
    return dg.MetadataValue.json([entry.document() for entry in upstream])


def _path(key: dg.AssetKey) -> str:
    return "/".join(key.path)
