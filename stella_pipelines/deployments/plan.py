"""The plan: what would change on each target, and what the way back is. Pure.

`Plan.content_digest()` is what approvals bind to: it holds the release, the estate's revision, the strategy and the rendered settings of
every component (as `spec_digest`), and no times, so the same world gives the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from stella_pipelines.connectors.port import ComponentSpec, Observation, Probe, RunningComponent
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value
from stella_pipelines.deployments.errors import PlanIncomplete
from stella_pipelines.deployments.wanted import Wanted
from stella_pipelines.environments.model import Environment, Estate, Target
from stella_pipelines.releases.model import ReleaseRecord

SpecIndex = Mapping[tuple[str, str, str], Digest]
"""(deployment id, target, component) → the digest of the settings that it was started with, as our own records say."""


class ComponentChange(Value):
    """What happens to one component on one target. The way back is the deployment whose stopped instance is kept; None means that it is removed."""

    name: str
    action: Literal["start", "replace", "none"]
    current_digest: Digest | None
    wanted_digest: Digest
    index_digest: Digest
    config_digest: Digest
    spec_digest: Digest
    way_back: str | None = None
    previous_release_digest: Digest | None = None
    risk: str = "none"


class TargetPlan(Value):
    """What happens on one target."""

    target: str
    kind: str
    platform: str
    components: tuple[ComponentChange, ...]

    @property
    def changes(self) -> tuple[ComponentChange, ...]:
        """The components that are touched."""
        return tuple(change for change in self.components if change.action != "none")


class Plan(Value):
    """What happens in an environment."""

    environment: str
    release_digest: Digest
    estate_revision: int
    strategy: dict[str, Any]
    targets: tuple[TargetPlan, ...]


def make_plan(
    record: ReleaseRecord,
    environment: Environment,
    estate: Estate,
    *,
    revision: int,
    observations: Mapping[str, Observation],
    probes: Mapping[str, Probe],
    known_specs: SpecIndex,
    wanted: Wanted,
) -> Plan:
    """The plan for an environment whose targets were all asked. Raises `PlanIncomplete` that lists every problem."""
    if record.digest is None:
        raise PlanIncomplete(f"Release {record.label} is a draft and has no identity.", next_step=f"Run 'stella release finalize {record.label}'.")
    plans: list[TargetPlan] = []
    problems: list[str] = []
    for target in estate.targets_of(environment.name):
        try:
            specs = wanted(target.name, probes[target.name].platform)
            plans.append(_target_plan(target, probes[target.name], observations[target.name], specs, known_specs))
        except StellaError as error:
            problems.append(f"{target.name}: {error.what}")
    if problems or not plans:
        raise plan_incomplete(environment.name, problems or ["it has no targets"])
    strategy = environment.strategy.document()
    return Plan(environment=environment.name, release_digest=record.digest, estate_revision=revision, strategy=strategy, targets=tuple(plans))


def plan_incomplete(environment: str, problems: Sequence[str]) -> PlanIncomplete:
    """The error that lists everything that stands in a plan's way."""
    return PlanIncomplete(
        f"There is no plan for environment {environment}: {'; '.join(problem.rstrip('.') for problem in problems)}.",
        next_step="Repair what is listed, then ask for the plan again with 'stella plan'.",
    )


def _target_plan(target: Target, probe: Probe, observed: Observation, wanted: Sequence[ComponentSpec], known: SpecIndex) -> TargetPlan:
    components = tuple(_change(target.name, spec, observed.running(spec.name), known) for spec in wanted)
    return TargetPlan(target=target.name, kind=target.kind, platform=probe.platform, components=components)


def _change(target: str, spec: ComponentSpec, running: RunningComponent | None, known: SpecIndex) -> ComponentChange:
    spec_digest = spec.content_digest()
    started_with = known.get((running.deployment_id or "", target, spec.name)) if running else None
    same = running is not None and running.platform_digest == spec.platform_digest and started_with == spec_digest
    return ComponentChange(
        name=spec.name,
        action="start" if running is None else "none" if same else "replace",
        current_digest=running.platform_digest if running else None,
        wanted_digest=spec.platform_digest,
        index_digest=spec.index_digest,
        config_digest=spec.config_digest,
        spec_digest=spec_digest,
        way_back=running.deployment_id if running else None,
        previous_release_digest=running.release_digest if running else None,
        risk=_risk(running),
    )


def _risk(running: RunningComponent | None) -> str:
    if running is None:
        return "first deployment of this component here: the way back is to remove it"
    if running.platform_digest is None:
        return "the target cannot prove which image runs now, so a rollback cannot be proven either"
    if running.deployment_id is None:
        return "what runs now was not deployed by Stella and cannot be brought back"
    return "none"
