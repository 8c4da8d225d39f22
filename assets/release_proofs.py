"""The packets of releases, for the events of releases. A packet is only shown after its signature was checked."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg

from assets.events import Metadata, release_proof
from assets.log_place import log_place
from assets.publishing import Prove
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.releases.model import ReleaseRecord


def release_proofs(plane: ControlPlane, check: Callable[[SealedPacket], object]) -> Prove:
    """What proves a release, read when it is shown. A packet that cannot be trusted hides no release: what is wrong with it stands there instead."""

    def prove(record: ReleaseRecord) -> Metadata:
        with plane.store.reading() as tx:
            packets = plane.evidence.list(tx, kind="release", subject=record.digest, limit=1)
            place = log_place(tx, packets[0].id) if packets else None
        if not packets:
            return {}
        try:
            check(packets[0])
        except StellaError as error:
            return {"packet": dg.MetadataValue.text(f"{packets[0].id} cannot be trusted: {error}")}
        return release_proof(record, packets[0], place)

    return prove
