"""The asset check of every environment: what runs is what was released. An operator runs it from the catalogue; a deployment reports it too."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import dagster as dg

from assets.events import table
from assets.keys import environment_key
from resources.control_plane import ControlPlaneResource
from stella_pipelines.core.clock import format_instant
from stella_pipelines.deployments.model import EnvironmentObservation, TargetObservation

CHECK_NAME: Final = "what_runs_is_what_was_released"
DESCRIPTION: Final = "Asks every target what it runs, by digest, and compares it with what was deployed there last. Changes nothing."


def environment_check(environment: str) -> dg.AssetChecksDefinition:
    """The check of one environment."""

    @dg.asset_check(asset=environment_key(environment), name=CHECK_NAME, description=DESCRIPTION)
    def check(control_plane: ControlPlaneResource) -> dg.AssetCheckResult:
        observation = asyncio.run(control_plane.plane.deployments.observe(environment))
        return dg.AssetCheckResult(passed=observation.as_released, description=says(observation), metadata=_metadata(observation))

    return check


def check_evaluation(observation: EnvironmentObservation) -> dg.AssetCheckEvaluation:
    """The same check's result, as a deployment's run reports it."""
    return dg.AssetCheckEvaluation(
        asset_key=environment_key(observation.environment),
        check_name=CHECK_NAME,
        passed=observation.as_released,
        description=says(observation),
        metadata=_metadata(observation),
    )


def says(observation: EnvironmentObservation) -> str:
    """One sentence. Unknown is not as released."""
    if not observation.targets:
        return f"{observation.environment} has no targets, so nothing can be proven."
    if observation.deployment_id is None:
        return f"Nothing was deployed into {observation.environment} yet."
    differing = [target.target for target in observation.targets if not target.as_released]
    return f"Different from what was released, or not answering: {', '.join(differing)}." if differing else "Every target runs what was released."


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
    return {
        "targets": dg.MetadataValue.md(table(target_rows(observation.targets))),
        "observed at": dg.MetadataValue.text(format_instant(observation.observed_at)),
        "release digest": dg.MetadataValue.text(observation.release_digest or "none"),
        "deployment": dg.MetadataValue.text(observation.deployment_id or "none"),
    }
