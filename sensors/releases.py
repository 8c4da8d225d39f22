"""The `releases` sensor: finalized releases appear in the catalogue, each once, however they were created."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import dagster as dg

from assets.publishing import publish_releases
from assets.release_proofs import release_proofs
from resources.control_plane import ControlPlaneResource
from resources.signer import SignerResource
from stella_pipelines.core.canonical import canonical_digest
from stella_pipelines.core.digest import Digest

INTERVAL_S: Final = 15
"""Somebody who has made a release wants to see it."""
RELEASES_MAX: Final = 1_000
"""How far back a tick looks. Older releases were published long ago; a store that is new to this Dagster shows its newest ones."""


@dg.sensor(
    name="releases",
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports finalized releases and their images, and adds the release's partition. Exactly once per release.",
)
def releases_sensor(context: dg.SensorEvaluationContext, control_plane: ControlPlaneResource, signer: SignerResource) -> dg.SkipReason:
    plane = control_plane.plane
    releases = plane.releases
    cursor = fingerprint(releases.newest_identities(RELEASES_MAX))
    if cursor == context.cursor:
        return dg.SkipReason("No new release.")
    finalized = [record for record in releases.list(limit=RELEASES_MAX) if record.digest is not None]
    # Oldest first, so that the catalogue's history has the order in which things happened.
    plane.log.take_in()  # their packets' places stand in their events, which are never written anew
    reported = publish_releases(context.instance, finalized[::-1], release_proofs(plane, signer.verified))
    context.update_cursor(cursor)
    new = [label for label, events in reported.items() if events]
    return dg.SkipReason(f"Reported {', '.join(new)}." if new else "Every release was reported before.")


def fingerprint(identities: Sequence[Digest]) -> str:
    """Which releases a tick saw. Only a shortcut: without it, a tick asks Dagster what is missing."""
    return canonical_digest(sorted(identities))
