"""What each step does to one target, through its connector. Every step may be repeated from its beginning without a second effect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from stella_pipelines.connectors.port import ComponentSpec, DigestMismatch, Effect, Observation, Probe, TargetConnector, TargetDiskFull
from stella_pipelines.core.clock import Clock
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.limits import PULL_TIMEOUT_S
from stella_pipelines.core.values import Value
from stella_pipelines.deployments.artifacts import TargetOrder
from stella_pipelines.deployments.errors import FenceAhead, PlanDiffers, RestoreNotProven, WayBackMissing
from stella_pipelines.deployments.health import wait_until_healthy
from stella_pipelines.deployments.limits import DISK_FREE_BYTES_MIN, STEP_TIMEOUT_S
from stella_pipelines.deployments.plan import ComponentChange
from stella_pipelines.deployments.progress import StepKind


class Finding(Value):
    """What a step found out, for the journal."""

    observation: Observation | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Errand:
    """One step on one target: the order, the sticker's bytes, the connection and the authority."""

    kind: StepKind
    order: TargetOrder
    sticker: bytes
    fence: int
    clock: Clock
    way_back_required: bool

    def effect(self, component: str) -> Effect:
        """Under which authority a component is changed."""
        return Effect(deployment_id=self.order.spec.deployment_id, key=f"{self.kind}/{component}", fence=self.fence)


async def perform(errand: Errand, connector: TargetConnector) -> Finding:
    """Do the step. Raises the `StellaError` that is recorded as the step's failure."""
    return await _STEPS[errand.kind](errand, connector)


def timeout_s(kind: StepKind, order: TargetOrder) -> float:
    """How long a step may take: its components' own limits, and a reserve. Without it, a connector that hangs would keep a rollout for ever."""
    components = order.spec.components
    if kind is StepKind.PREPARE:
        return STEP_TIMEOUT_S + PULL_TIMEOUT_S * len(components)
    return STEP_TIMEOUT_S + sum(component.stop_timeout_s + component.health.timeout_s for component in components)


# ---------------------------------------------------------------- forward


async def _prepare(errand: Errand, connector: TargetConnector) -> Finding:
    """The preflight: reachable, the machine and the running versions that were planned for, room, the image proven, the way back present."""
    probe = await connector.probe()
    _check_machine(probe, errand.order)
    observed = await connector.observe(errand.clock.now())
    _check_fence(observed, errand.fence)
    _check_as_planned(observed, errand.order)
    notes = [] if probe.disk_free_bytes is not None else ["the target does not say how much disk is free"]
    for change in errand.order.touched:
        notes += await _check_way_back(change, errand, connector)
        await connector.prepare(errand.order.component(change.name), errand.effect(change.name))
    return Finding(notes=tuple(notes))


def _check_machine(probe: Probe, order: TargetOrder) -> None:
    if probe.platform != order.platform:
        raise PlanDiffers(f"The target is {probe.platform} now, and was {order.platform} in the plan.", next_step="Ask for a new plan.")
    if probe.disk_free_bytes is not None and probe.disk_free_bytes < DISK_FREE_BYTES_MIN:
        raise TargetDiskFull(
            f"The target has {probe.disk_free_bytes} bytes free; at least {DISK_FREE_BYTES_MIN} are needed.",
            next_step="Free room on the target's disk, then promote again.",
        )


def _check_fence(observed: Observation, fence: int) -> None:
    if observed.fence > fence:
        raise FenceAhead(
            f"The target was changed under token {observed.fence}, and this deployment's is {fence}.",
            next_step="If this installation's database was restored or replaced, and no other installation deploys to this target: 'stella take-over TARGET'.",
        )


def _check_as_planned(observed: Observation, order: TargetOrder) -> None:
    for change in order.changes:
        running = observed.running(change.name)
        now_digest = running.platform_digest if running else None
        if now_digest != change.current_digest:
            raise PlanDiffers(
                f"{change.name} runs {now_digest or 'nothing'} now, and the plan was made for {change.current_digest or 'nothing'}.",
                next_step="Ask for a new plan: somebody else changed this target.",
            )


async def _check_way_back(change: ComponentChange, errand: Errand, connector: TargetConnector) -> list[str]:
    if change.action == "start":
        return []
    before = errand.order.previous.get(change.name, errand.order.component(change.name))
    present = change.current_digest is not None and await connector.has_image(change.current_digest, before.repository)
    if present and change.way_back is not None:
        return []
    what = f"the version of {change.name} that runs now could not be started again: {'its image is not there' if change.way_back else change.risk}"
    if errand.way_back_required:
        raise WayBackMissing(what.capitalize() + ".", next_step="Bring the image back to the target, or set rollback_on_failure to false for this environment.")
    return [what]


async def _activate(errand: Errand, connector: TargetConnector) -> Finding:
    for change in errand.order.touched:
        await connector.activate(errand.order.spec, errand.order.component(change.name), errand.sticker, errand.effect(change.name))
    return Finding()


async def _prove_health(errand: Errand, connector: TargetConnector) -> Finding:
    for component in errand.order.spec.components:
        await wait_until_healthy(connector, component, errand.clock)
    return Finding()


async def _prove_digest(errand: Errand, connector: TargetConnector) -> Finding:
    """Observe, then believe: what the target says that it runs is compared with the release."""
    observed = await connector.observe(errand.clock.now())
    for change in errand.order.changes:
        running = observed.running(change.name)
        if running is None or running.platform_digest != change.wanted_digest:
            raise DigestMismatch(
                f"{change.name} runs {_said(running.platform_digest) if running else 'nothing'}; the release says {change.wanted_digest}.",
                unchanged="The version before it is still there.",
                next_step="Find out who else starts containers on this target; do not promote further.",
            )
    return Finding(observation=observed)


async def _retire(errand: Errand, connector: TargetConnector) -> Finding:
    """Remove what is older than the way back."""
    for change in errand.order.touched:
        keep = (errand.order.spec.deployment_id, *((change.way_back,) if change.way_back else ()))
        await connector.retire(change.name, keep, errand.effect(change.name))
    return Finding()


# ---------------------------------------------------------------- back


async def _restore(errand: Errand, connector: TargetConnector) -> Finding:
    for change in reversed(errand.order.touched):
        await connector.restore(change.name, change.way_back, errand.effect(change.name))
    return Finding()


async def _prove_restored(errand: Errand, connector: TargetConnector) -> Finding:
    """What ran before runs again, by digest; and it is healthy, judged by the settings that it was started with."""
    observed = await connector.observe(errand.clock.now())
    for change in errand.order.touched:
        running = observed.running(change.name)
        found = running.platform_digest if running else None
        if found != change.current_digest or (running is not None and change.current_digest is None):
            raise RestoreNotProven(
                f"{change.name} runs {_said(found)}; before the deployment it ran {_said(change.current_digest)}.",
                unchanged="The target was left as it is.",
                next_step="Look at the target itself, then run 'stella rollback' for the environment.",
            )
        before = errand.order.previous.get(change.name)
        if before is not None:
            await wait_until_healthy(connector, before, errand.clock)
    return Finding(observation=observed)


def _said(digest: Digest | None) -> str:
    return digest or "nothing that it can prove"


_STEPS: Final[Mapping[StepKind, Callable[[Errand, TargetConnector], Awaitable[Finding]]]] = {
    StepKind.PREPARE: _prepare,
    StepKind.ACTIVATE: _activate,
    StepKind.PROVE_HEALTH: _prove_health,
    StepKind.PROVE_DIGEST: _prove_digest,
    StepKind.RETIRE: _retire,
    StepKind.RESTORE: _restore,
    StepKind.PROVE_RESTORED: _prove_restored,
}


def started_components(order: TargetOrder) -> tuple[ComponentSpec, ...]:
    """The components whose last output may explain a failure."""
    return tuple(order.component(change.name) for change in order.touched)
