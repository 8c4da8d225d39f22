"""The `retention` job: what Dagster keeps of old runs and old releases ends here. Dagster itself keeps events for ever.

Deletes runs that ended, with their events and compute logs (`old_runs.py`), and the partitions of releases that nobody uses (`old_partitions.py`).
Evidence, audit trail, promotions and journals are in the store, which this job does not write to. Started once a day by the schedule of the
same name, or by an operator, who can look first (`dry_run`). A pass is bounded; one that was interrupted is gone on with by the next.
"""

import dagster as dg
from pydantic import Field

from assets.present import partitions_in_use, runs_that_show_the_present
from resources.control_plane import ControlPlaneResource
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.jobs.failures import failures_explained
from stella_pipelines.jobs.old_partitions import PARTITIONS_MAX, delete_partitions, published, superfluous
from stella_pipelines.jobs.old_runs import RUNS_PER_PASS_MAX, delete_old_runs


class RetentionRun(dg.Config):
    """What a pass does. The schedule leaves everything as it is here."""

    dry_run: bool = Field(default=False, description="Only say what would be deleted.")


@dg.op(out=dg.Out(int), description="Delete old runs and unused partitions; evidence is not Dagster's, and stays.")
def delete_old(context: dg.OpExecutionContext, config: RetentionRun, control_plane: ControlPlaneResource) -> dg.Output[int]:
    plane, instance = control_plane.plane, context.instance
    with failures_explained():
        runs = _delete_runs(context, config, plane)
        partitions = superfluous(published(instance), partitions_in_use(plane))
        if not config.dry_run:
            delete_partitions(instance, partitions)
    done = "would be deleted" if config.dry_run else "deleted"
    context.log.info(f"{len(partitions):,} partitions of releases {done}; at most {PARTITIONS_MAX:,} are kept, and every one that is in use.")
    return dg.Output(runs, metadata={"runs": runs, "partitions": len(partitions), "dry run": config.dry_run})


def _delete_runs(context: dg.OpExecutionContext, config: RetentionRun, plane: ControlPlane) -> int:
    days = plane.settings.run_retention_days
    if days == 0:
        context.log.info("Runs are kept for ever: STELLA_RUN_RETENTION_DAYS is 0.")
        return 0
    kept = runs_that_show_the_present(plane, context.instance) | {context.run_id}
    found = delete_old_runs(context.instance, plane.clock.now(), days, kept, dry_run=config.dry_run)
    done = "would be deleted" if config.dry_run else "deleted"
    more = f" A pass deletes at most {RUNS_PER_PASS_MAX:,}; the next one goes on." if found == RUNS_PER_PASS_MAX else ""
    context.log.info(f"{found:,} runs that ended more than {days} days ago {done}; {len(kept):,} runs that show the present stay, however old.{more}")
    return found


@dg.job(executor_def=dg.in_process_executor, description="Delete runs that ended long ago and partitions that nobody uses. Never touches evidence.")
def retention() -> None:
    delete_old()
