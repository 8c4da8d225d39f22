"""The `approvals` sensor: promotions that wait. An approval starts the next evaluation at once; this one watches the clock."""

from __future__ import annotations

import dagster as dg

from resources.control_plane import ControlPlaneResource
from sensors.reconciling import INTERVAL_S, submit, summary
from stella_pipelines.jobs.recovery import reevaluate_due


@dg.sensor(
    name="approvals",
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks the gates again when an approval came or the time to wait is over, and expires promotions that waited too long.",
)
def approvals_sensor(context: dg.SensorEvaluationContext, control_plane: ControlPlaneResource) -> dg.SkipReason:
    plane = control_plane.plane
    plane.promotions.expire_due()
    recovered = reevaluate_due(plane)
    return summary(submit(context, plane), recovered)
