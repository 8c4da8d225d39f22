"""What a deployment puts on its targets, written down before the first effect and stored by content hash.

Per target one `TargetOrder` (what it shall run, what it ran before, what changes) and one sticker (`stella.version.json`, the bytes that end
up on the target); over them one manifest of all hashes. A deployment is resumed from these bytes and from nothing else, so an estate that
is edited in mid-rollout changes nothing. No times in here: the same deployment always has the same artifacts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Literal

from pydantic import ValidationError

from stella_pipelines.connectors.port import ComponentSpec, TargetSpec
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.deployments.errors import ArtifactsDamaged
from stella_pipelines.deployments.plan import ComponentChange, Plan, TargetPlan
from stella_pipelines.deployments.wanted import Wanted
from stella_pipelines.environments.model import Estate, Strategy, Target
from stella_pipelines.releases.model import Release, ReleaseRecord

STICKER_TYPE: Final = "application/vnd.stella.version.v1+json"
ORDER_TYPE: Final = "application/vnd.stella.target-order.v1+json"
MANIFEST_TYPE: Final = "application/vnd.stella.deployment-manifest.v1+json"
PLAN_TYPE: Final = "application/vnd.stella.plan.v1+json"


class DecisionNote(Value):
    """The sealed decision under which the deployment runs."""

    packet_id: str
    digest: Digest


class StickerRelease(Value):
    """The release on a sticker."""

    name: str
    version: str
    digest: Digest


class StickerComponent(Value):
    """A component on a sticker."""

    name: str
    repository: str
    index_digest: Digest
    platform_digest: Digest


class Sticker(Value):
    """`stella.version.json`: what a target says about itself to whoever looks at it without us."""

    version: Literal[1] = 1
    release: StickerRelease
    components: tuple[StickerComponent, ...]
    environment: str
    target: str
    deployment_id: str
    decision: DecisionNote | None


class TargetOrder(Value):
    """Everything that the engine needs to know about one target."""

    target: Target
    platform: str
    spec: TargetSpec
    changes: tuple[ComponentChange, ...]
    previous: dict[str, ComponentSpec] = {}
    """How each replaced component was run before, where our records know: its health is judged by these settings after a rollback."""
    sticker: Digest

    @property
    def touched(self) -> tuple[ComponentChange, ...]:
        """The components that change."""
        return tuple(change for change in self.changes if change.action != "none")

    def component(self, name: str) -> ComponentSpec:
        """A component as it shall run."""
        return next(component for component in self.spec.components if component.name == name)


class ManifestEntry(Value):
    """The hashes of one target's artifacts."""

    target: str
    order: Digest
    sticker: Digest


class DeploymentManifest(Value):
    """The manifest of all hashes, with the rollout's settings as they stood when the deployment began."""

    version: Literal[1] = 1
    deployment_id: str
    environment: str
    release_digest: Digest
    plan: Digest
    strategy: Strategy
    rollback_on_failure: bool
    timeout_s: float
    targets: tuple[ManifestEntry, ...]


class Artifacts(Value):
    """A manifest with the artifacts that it names, by target."""

    manifest: DeploymentManifest
    orders: dict[str, TargetOrder]
    stickers: dict[str, bytes]

    def and_of(self, others: Artifacts) -> Artifacts:
        """With what another reading of the same deployment's artifacts has."""
        return self.model_copy(update={"orders": self.orders | others.orders, "stickers": self.stickers | others.stickers})

    def blobs(self) -> list[tuple[bytes, str]]:
        """Everything to store, with media types."""
        orders = [(order.canonical(), ORDER_TYPE) for order in self.orders.values()]
        return [*orders, *((sticker, STICKER_TYPE) for sticker in self.stickers.values()), (self.manifest.canonical(), MANIFEST_TYPE)]


PreviousSpecs = Callable[[str, str], Mapping[str, ComponentSpec]]
"""(deployment id, target) → how that deployment ran each component there; empty when our records do not know."""


def make_artifacts(
    deployment_id: str, record: ReleaseRecord, estate: Estate, plan: Plan, *, wanted: Wanted, decision: DecisionNote | None, previous: PreviousSpecs
) -> Artifacts:
    """The artifacts of a deployment. Pure: `wanted` is what the plan was made of, `previous` reads what was stored before."""
    environment = estate.environment(plan.environment)
    assert environment is not None
    orders: dict[str, TargetOrder] = {}
    stickers: dict[str, bytes] = {}
    targets = {target.name: target for target in estate.targets_of(plan.environment)}
    for target_plan in plan.targets:
        spec = _spec(deployment_id, record, environment.name, target_plan, wanted)
        sticker = _sticker(record.release, spec, decision).canonical()
        before = _previous(target_plan, previous)
        name = target_plan.target
        stickers[name] = sticker
        orders[name] = TargetOrder(
            target=targets[name],
            platform=target_plan.platform,
            spec=spec,
            changes=target_plan.components,
            previous=before,
            sticker=Digest.of(sticker),
        )
    manifest = DeploymentManifest(
        deployment_id=deployment_id,
        environment=plan.environment,
        release_digest=plan.release_digest,
        plan=plan.content_digest(),
        strategy=environment.strategy,
        rollback_on_failure=environment.rollback_on_failure,
        timeout_s=environment.deployment_timeout_s,
        targets=tuple(ManifestEntry(target=name, order=order.content_digest(), sticker=order.sticker) for name, order in sorted(orders.items())),
    )
    return Artifacts(manifest=manifest, orders=orders, stickers=stickers)


def read_artifacts(manifest: Digest, read_blob: Callable[[Digest], bytes], only: Collection[str] | None = None) -> Artifacts:
    """The artifacts of a deployment as they were stored, or those of some of its targets."""
    try:
        found = DeploymentManifest.model_validate_json(read_blob(manifest))
        entries = [entry for entry in found.targets if only is None or entry.target in only]
        orders = {entry.target: TargetOrder.model_validate_json(read_blob(entry.order)) for entry in entries}
    except ValidationError as error:
        raise ArtifactsDamaged(
            f"The artifacts under {manifest} cannot be read: {error.error_count()} problems.",
            next_step="Use the version of Stella that wrote them, or roll the environment back to an earlier release.",
        ) from error
    return Artifacts(manifest=found, orders=orders, stickers={entry.target: read_blob(entry.sticker) for entry in entries})


def _spec(deployment_id: str, record: ReleaseRecord, environment: str, plan: TargetPlan, wanted: Wanted) -> TargetSpec:
    assert record.digest is not None
    return TargetSpec(
        deployment_id=deployment_id,
        environment=environment,
        target=plan.target,
        release=record.label,
        release_digest=record.digest,
        components=wanted(plan.target, plan.platform),
    )


def _sticker(release: Release, spec: TargetSpec, decision: DecisionNote | None) -> Sticker:
    return Sticker(
        release=StickerRelease(name=release.name, version=release.version, digest=spec.release_digest),
        components=tuple(_on_sticker(component) for component in spec.components),
        environment=spec.environment,
        target=spec.target,
        deployment_id=spec.deployment_id,
        decision=decision,
    )


def _on_sticker(component: ComponentSpec) -> StickerComponent:
    return StickerComponent(
        name=component.name, repository=component.repository, index_digest=component.index_digest, platform_digest=component.platform_digest
    )


def _previous(plan: TargetPlan, previous: PreviousSpecs) -> dict[str, ComponentSpec]:
    known: dict[str, ComponentSpec] = {}
    for change in plan.changes:
        before = previous(change.way_back, plan.target).get(change.name) if change.way_back else None
        if before is not None:
            known[change.name] = before
    return known


def platform_subjects(orders: Sequence[TargetOrder]) -> dict[str, Digest]:
    """`repository (platform digest)` of everything that the deployment runs, each once: the subjects of its evidence."""
    return {f"{component.repository}@{component.platform_digest}": component.platform_digest for order in orders for component in order.spec.components}
