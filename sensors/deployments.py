"""The `deployments` sensor: rollouts whose run died, and packets that no run has shown in the catalogue."""

from __future__ import annotations

import json

import dagster as dg

from assets.publishing import publish_packets
from resources.control_plane import ControlPlaneResource
from resources.signer import SignerResource
from sensors.reconciling import INTERVAL_S, submit, summary
from stella_pipelines.jobs.recovery import follow_dead_runs
from stella_pipelines.jobs.resumption import resume_commanded


@dg.sensor(
    name="deployments",
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Makes sure that every allowed deployment runs to its end: a new run resumes from the journal of one that died, "
    "also for a retry or a rollback that a person commanded. "
    "Shows packets that were sealed outside of Dagster, such as a rollback from the command line.",
)
def deployments_sensor(context: dg.SensorEvaluationContext, control_plane: ControlPlaneResource, signer: SignerResource) -> dg.SkipReason:
    plane = control_plane.plane
    recovered = follow_dead_runs(plane, context.instance, "deployment")
    resumed = resume_commanded(plane, context.instance)
    submitted = submit(context, plane)
    plane.log.take_in()  # the submitter does it twice a second, where there is one
    published = publish_packets(plane, context.instance, lambda packet: signer.verified(packet).statement, json.loads(context.cursor or "{}"))
    context.update_cursor(json.dumps(published.shown, sort_keys=True))
    return summary(submitted, recovered, [*resumed, *published.problems])
