"""The `releases` sensor: finalized releases appear in the catalogue, each once, however they were created."""

from __future__ import annotations

from typing import Final

import dagster as dg

from assets.publishing import publish_release
from resources.control_plane import ControlPlaneResource
from sensors.reconciling import INTERVAL_S
from stella_pipelines.core.canonical import canonical_digest
from stella_pipelines.releases.model import ReleaseRecord

RELEASES_MAX: Final = 1_000
"""How far back a tick looks. Older releases were published long ago; a store that is new to this Dagster shows its newest ones."""


@dg.sensor(
    name="releases",
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports finalized releases and their images, and adds the release's partition. Exactly once per release.",
)
def releases_sensor(context: dg.SensorEvaluationContext, control_plane: ControlPlaneResource) -> dg.SkipReason:
    finalized = [record for record in control_plane.plane.releases.list(limit=RELEASES_MAX) if record.digest is not None]
    cursor = fingerprint(finalized)
    if cursor == context.cursor:
        return dg.SkipReason("No new release.")
    # Oldest first, so that the catalogue's history has the order in which things happened.
    reported = {record.label: publish_release(context.instance, record) for record in reversed(finalized)}
    context.update_cursor(cursor)
    new = [label for label, events in reported.items() if events]
    return dg.SkipReason(f"Reported {', '.join(new)}." if new else "Every release was reported before.")


def fingerprint(finalized: list[ReleaseRecord]) -> str:
    """Which releases a tick saw. Only a shortcut: without it, a tick asks Dagster what is missing."""
    return canonical_digest(sorted(record.partition_key for record in finalized))
