"""The evidence of a deployment: what the packet is about and what it says. Pure; `ending.py` seals it.

Kind `rollback` when what ran before runs again (or should), by itself or on command; else `deployment`. The packet has one short line per
target; everything that the targets said is in the blobs of `enclosures.py`, by digest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.deployments.artifacts import Artifacts, DecisionNote, platform_subjects
from stella_pipelines.deployments.enclosures import Enclosure
from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState, EnvironmentObservation, LedgerRow, TargetState
from stella_pipelines.evidence.statement import SHOWN_CHARS_MAX, Subject
from stella_pipelines.releases.model import ReleaseRecord

LINES_BYTES_MAX: Final = 5 * 1024 * 1024 + 512 * 1024
"""All lines about targets in one packet: 10,000 targets of five components, and a packet of less than half of what is allowed. Above it the
packet only counts."""


class TargetLine(Value):
    """One target at the end, in short: its ledger state, what it showed, and why it failed."""

    target: str
    state: TargetState
    observed: dict[str, Digest | None]
    failure: str | None
    """The code of its failure."""


class Seen(Value):
    """The last look at the environment, as a whole."""

    observed_at: Instant
    healthy: bool
    as_released: bool
    healthy_since: Instant | None


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
    images = sorted(platform_subjects(list(artifacts.orders.values())).items())
    found = [Subject(name=f"release/{release.label}", digest=record.release_digest)]
    found += [Subject(name=image_name(name), digest=digest) for name, digest in images]
    previous = record.previous_release_digest
    return found if previous in (None, record.release_digest) else [*found, Subject(name="previous-release", digest=previous)]


def image_name(name: str) -> str:
    """A subject's name is for people and has a limit; the end says more than the beginning, and the digest is the identity anyway."""
    full = f"image/{name}"
    return full if len(full) <= SHOWN_CHARS_MAX else f"image/…{full[7 - SHOWN_CHARS_MAX :]}"


def predicate(
    record: DeploymentRecord,
    release: ReleaseRecord,
    artifacts: Artifacts,
    *,
    rows: Sequence[LedgerRow],
    journal: Digest,
    decision: DecisionNote | None,
    seen: EnvironmentObservation,
    enclosed: Sequence[Enclosure],
    upstream: Sequence[UpstreamAsset],
) -> dict[str, Any]:
    """Everything that an auditor asks about a deployment, with the digest of every input."""
    manifest = artifacts.manifest
    look = Seen(observed_at=seen.observed_at, healthy=seen.healthy, as_released=seen.as_released, healthy_since=seen.healthy_since)
    return {
        "deployment": {name: value for name, value in record.document().items() if name not in ("failure", "packet_id", "revision")},
        "release": {"label": release.label, "digest": record.release_digest, "partition": release.partition_key},
        "strategy": manifest.strategy.document(),
        "rollback_on_failure": manifest.rollback_on_failure,
        "failure": record.failure.document() if record.failure else None,
        "counts": dict(Counter(row.state.value for row in rows)),
        "targets": target_lines(rows),
        "observation": look.document(),
        "decision": decision.document() if decision else None,
        "upstream": [asset.document() for asset in upstream],
        "inputs": _inputs(record, artifacts, journal, decision, enclosed),
    }


def target_lines(rows: Sequence[LedgerRow]) -> list[dict[str, Any]] | None:
    """The line of every target, or None when all of them would be too large; never some of them, which would look like all."""
    lines = [
        TargetLine(target=row.target, state=row.state, observed=row.observed, failure=row.failure.code if row.failure else None).document() for row in rows
    ]
    return lines if len(canonical_json(lines)) <= LINES_BYTES_MAX else None


def _inputs(
    record: DeploymentRecord, artifacts: Artifacts, journal: Digest, decision: DecisionNote | None, enclosed: Sequence[Enclosure]
) -> list[dict[str, str]]:
    """What was wanted on each target, and its sticker, is named by the manifest of the artifacts."""
    named = {"plan": record.plan_digest, "artifacts": artifacts.manifest.content_digest(), "journal": journal}
    named |= {enclosure.name: enclosure.digest for enclosure in enclosed}
    if decision is not None:
        named["decision"] = decision.digest
    return [{"name": name, "digest": digest} for name, digest in named.items()]
