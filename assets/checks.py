"""The asset check of every environment: what runs is what was released. An operator runs it from the catalogue; a deployment's run reports it
too, and so does the `observations` sensor whenever the result has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import dagster as dg
from dagster._core.storage.asset_check_execution_record import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES

from assets.differences import says
from assets.events import full_digests, table
from assets.keys import environment_key
from resources.control_plane import ControlPlaneResource
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.clock import format_instant
from stella_pipelines.deployments.model import EnvironmentObservation, TargetObservation
from stella_pipelines.deployments.observing import Wanted, expected_now

CHECK_NAME: Final = "what_runs_is_what_was_released"
DESCRIPTION: Final = "Asks every target what it runs, by digest, and compares it with what was deployed there last. Changes nothing."


def environment_check(environment: str) -> dg.AssetChecksDefinition:
    """The check of one environment."""

    @dg.asset_check(asset=environment_key(environment), name=CHECK_NAME, description=DESCRIPTION)
    def check(control_plane: ControlPlaneResource) -> dg.AssetCheckResult:
        plane = control_plane.plane
        found = check_evaluation(plane, asyncio.run(plane.deployments.observe(environment)))
        return dg.AssetCheckResult(passed=found.passed, description=found.description, metadata=found.metadata)

    return check


def check_evaluation(plane: ControlPlane, observation: EnvironmentObservation) -> dg.AssetCheckEvaluation:
    """What the check says about a look at an environment."""
    return dg.AssetCheckEvaluation(
        asset_key=environment_key(observation.environment),
        check_name=CHECK_NAME,
        passed=observation.as_released,
        description=says(observation, _wanted(plane, observation)),
        metadata=_metadata(observation),
    )


def report_if_changed(plane: ControlPlane, instance: dg.DagsterInstance, observation: EnvironmentObservation) -> bool:
    """Report the check's result when the newest reported one is another, whoever reported it; whether it was reported.

    A look a minute must not become an event a minute: Dagster keeps every event for ever.
    """
    now = check_evaluation(plane, observation)
    newest = _newest_evaluation(instance, now.asset_check_key)
    if newest is not None and (newest.passed, newest.description) == (now.passed, now.description):
        return False
    instance.report_runless_asset_event(now)
    return True


def _newest_evaluation(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> dg.AssetCheckEvaluation | None:
    """The newest result; a run that was only planned, and perhaps never began, has none."""
    ended = COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=1, status=ended)
    return records[0].evaluation if records else None


def _wanted(plane: ControlPlane, observation: EnvironmentObservation) -> Wanted:
    """What the look was compared with; nothing when a deployment has ended since, for then it was compared with something older."""
    with plane.store.reading() as tx:
        expected = expected_now(tx, observation.environment)
    return expected.targets if expected.deployment_id == observation.deployment_id else {}


def target_rows(targets: Sequence[TargetObservation]) -> list[dict[str, object]]:
    """One row per target and component, as the targets showed them."""
    rows: list[dict[str, object]] = []
    for target in targets:
        if target.observation is None:
            rows.append(_row(target, "–", None, f"no answer: {target.failure.what if target.failure else 'unknown'}"))
            continue
        running = [found for found in target.observation.components if found.running]
        rows += [_row(target, found.component, found.platform_digest, found.health.value) for found in running] or [_row(target, "–", None, "nothing runs")]
    return rows


def _row(target: TargetObservation, component: str, digest: str | None, health: str) -> dict[str, object]:
    return {"target": target.target, "component": component, "runs": digest, "health": health, "as released": "yes" if target.as_released else "NO"}


def _metadata(observation: EnvironmentObservation) -> dict[str, dg.MetadataValue]:
    rows = target_rows(observation.targets)
    return {
        "targets": dg.MetadataValue.md(table(rows)),
        "digests": full_digests(rows),
        "observed at": dg.MetadataValue.text(format_instant(observation.observed_at)),
        "release digest": dg.MetadataValue.text(observation.release_digest or "none"),
        "deployment": dg.MetadataValue.text(observation.deployment_id or "none"),
    }
