"""What the newest look at an environment showed, target by target: what runs, why that is not healthy, and the way out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rich.markup import escape

from stella_pipelines.cli.many_targets import parted, say_rest
from stella_pipelines.cli.observed import ReleaseOf, runs_on
from stella_pipelines.cli.output import Output, ago, styled
from stella_pipelines.connectors.port import Health
from stella_pipelines.deployments.model import EnvironmentObservation, TargetObservation
from stella_pipelines.environments.model import Environment


def look_document(seen: EnvironmentObservation) -> dict[str, Any]:
    """The look for `--json`, with its verdicts."""
    document = seen.document()
    document["targets"] = [{**one, "why": why_not(target)} for one, target in zip(document["targets"], seen.targets, strict=True)]
    return {**document, "healthy": seen.healthy, "as_released": seen.as_released}


def say_look(output: Output, environment: Environment, seen: EnvironmentObservation, release_of: ReleaseOf, now: datetime, *, everything: bool = False) -> None:
    """A line for each target, up to a limit without `everything`. A look has an age: it is what was so then."""
    if not seen.targets:
        return
    verdict = styled("healthy" if seen.healthy else "unhealthy")
    output.say(f"[bold]{escape(environment.name)}[/] is {verdict}, as seen {ago(seen.observed_at, now)}:")
    chosen, rest = parted(seen.targets, lambda target: why_not(target) is None, everything=everything)
    rows = [(f"  [bold]{escape(t.target)}[/]", escape(runs_on(t, environment.components, release_of)), _told(t)) for t in chosen]
    output.table("", ("  TARGET", "RUNS", "HEALTH"), rows, ids=("  TARGET", "RUNS"))
    say_rest(output, ["healthy" if why_not(target) is None else "unhealthy" for target in rest], f"stella status {escape(environment.name)} --all")
    if not seen.healthy:
        _say_way_out(output, environment.name, seen, release_of)


def why_not(target: TargetObservation) -> str | None:
    """Why a target is not healthy as it was released; None when it is. Pure."""
    if target.failure is not None:
        return f"{target.failure.code}: {target.failure.what}"
    if target.observation is None:
        return "It did not answer."
    if target.healthy and target.as_released:
        return None
    found = target.observation.components
    running = {component.component for component in found if component.running}
    stopped = dict.fromkeys(component.component for component in found if component.component not in running)
    ill = [f"{component.component} is {component.health.value}" for component in found if component.running and component.health is not Health.HEALTHY]
    reasons = [f"{name} does not run" for name in stopped] + ill
    if not target.as_released:
        reasons.append("not everything runs that was proven" if found else "nothing runs here")
    return f"{'; '.join(reasons) or 'its health check does not pass'}."


def _told(target: TargetObservation) -> str:
    why = why_not(target)
    return styled("healthy") if why is None else f"[red]{escape(why)}[/]"


def _say_way_out(output: Output, name: str, seen: EnvironmentObservation, release_of: ReleaseOf) -> None:
    """A target that does not answer is repaired first: nothing can be deployed to it."""
    steps = dict.fromkeys(target.failure.next_step for target in seen.targets if target.failure is not None)
    for step in steps:
        output.say(f"  → {escape(step)}")
    proven = release_of(seen.release_digest) if seen.release_digest else None
    again = f"[bold]stella promote {escape(proven.label)} --to {escape(name)}[/] brings the same release again; " if proven else ""
    output.say(f"  → {again}[bold]stella rollback {escape(name)}[/] goes back to the release before.")
