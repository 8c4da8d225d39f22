"""The `retention` schedule: once a day, at a time when people sleep."""

from __future__ import annotations

import dagster as dg

from stella_pipelines.jobs.retention import retention

retention_schedule = dg.ScheduleDefinition(
    name="retention",
    job=retention,
    cron_schedule="41 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Deletes old runs and unused partitions once a day. How old: STELLA_RUN_RETENTION_DAYS. Never touches evidence.",
)
