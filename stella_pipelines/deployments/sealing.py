"""The evidence of a deployment: what the packet is about and what it says. Pure; `ending.py` seals it.

Kind `rollback` when what ran before runs again (or should), by itself or on command; else `deployment`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.deployments.artifacts import Artifacts, DecisionNote, platform_subjects
from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState, EnvironmentObservation, LedgerRow
from stella_pipelines.evidence.statement import Subject
from stella_pipelines.releases.model import ReleaseRecord


class UpstreamAsset(Value):
    """Where the release came from: an asset, its partition, its digest and, if it has one, its packet."""

    asset: str
    partition: str | None
    digest: Digest
    packet: str | None = None


def packet_kind(record: DeploymentRecord) -> Literal["deployment", "rollback"]:
    """The kind of packet for how a deployment ended."""
    went_back = record.state in (DeploymentState.ROLLED_BACK, DeploymentState.ROLLBACK_FAILED)
    return "rollback" if went_back or record.kind == "rollback" else "deployment"


def subjects(record: DeploymentRecord, release: ReleaseRecord, artifacts: Artifacts) -> list[Subject]:
    """The release, every platform image of it that was wanted on a target, and the release that it replaces."""
    found = [Subject(name=f"release/{release.label}", digest=record.release_digest)]
    found += [Subject(name=f"image/{name}", digest=digest) for name, digest in sorted(platform_subjects(list(artifacts.orders.values())).items())]
    previous = record.previous_release_digest
    return found if previous in (None, record.release_digest) else [*found, Subject(name="previous-release", digest=previous)]


def predicate(
    record: DeploymentRecord,
    release: ReleaseRecord,
    artifacts: Artifacts,
    *,
    rows: Sequence[LedgerRow],
    journal: Digest,
    decision: DecisionNote | None,
    seen: EnvironmentObservation,
    upstream: Sequence[UpstreamAsset],
) -> dict[str, Any]:
    """Everything that an auditor asks about a deployment, with the digest of every input."""
    manifest = artifacts.manifest
    return {
        "deployment": {name: value for name, value in record.document().items() if name not in ("failure", "packet_id", "revision")},
        "release": {"label": release.label, "digest": record.release_digest, "partition": release.partition_key},
        "strategy": manifest.strategy.document(),
        "rollback_on_failure": manifest.rollback_on_failure,
        "failure": record.failure.document() if record.failure else None,
        "targets": [row.document() for row in rows],
        "observation": seen.document(),
        "decision": decision.document() if decision else None,
        "upstream": [asset.document() for asset in upstream],
        "inputs": _inputs(record, artifacts, journal, decision),
    }


def _inputs(record: DeploymentRecord, artifacts: Artifacts, journal: Digest, decision: DecisionNote | None) -> list[dict[str, str]]:
    named = {"plan": record.plan_digest, "artifacts": artifacts.manifest.content_digest(), "journal": journal}
    for entry in artifacts.manifest.targets:
        named |= {f"target/{entry.target}/order": entry.order, f"target/{entry.target}/sticker": entry.sticker}
    if decision is not None:
        named["decision"] = decision.digest
    return [{"name": name, "digest": digest} for name, digest in named.items()]
