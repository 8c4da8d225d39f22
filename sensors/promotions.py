"""The `promotions` sensor: evaluations whose run was lost or died, and whatever else stands in the outbox."""

from __future__ import annotations

import dagster as dg

from resources.control_plane import ControlPlaneResource
from sensors.reconciling import INTERVAL_S, submit, summary
from stella_pipelines.jobs.recovery import follow_dead_runs


@dg.sensor(
    name="promotions",
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Makes sure that every evaluation runs exactly once: submits what the outbox holds, and follows a dead run with a new attempt.",
)
def promotions_sensor(context: dg.SensorEvaluationContext, control_plane: ControlPlaneResource) -> dg.SkipReason:
    plane = control_plane.plane
    recovered = follow_dead_runs(plane, context.instance, "promotion")
    return summary(submit(context, plane), recovered)
