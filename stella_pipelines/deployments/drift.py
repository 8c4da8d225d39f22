"""Drift: a target shows something else than the environment's deployment left there. Pure; `drift_watch.py` judges each look and seals.

What is not known is no drift: a target that does not answer keeps what was found on it before, and gets no new finding. Targets on which
nothing was deployed yet, or which a later deployment left otherwise and said so in its own packet, are not compared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, Literal

from stella_pipelines.connectors.port import ComponentSpec, RunningComponent
from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.clock import Instant, format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.deployments.model import DriftFinding, EnvironmentObservation, OngoingDrift
from stella_pipelines.deployments.observing import Expected
from stella_pipelines.deployments.sealing import LINES_BYTES_MAX, image_name
from stella_pipelines.evidence.statement import Subject

UNEXPECTED_SUBJECTS_MAX: Final = 1_000
"""Up to this many different unexpected digests are subjects of the packet; of more, none is, for some would look like all."""
Turn = Literal["found", "changed", "over"]


def find_drift(seen: EnvironmentObservation, expected: Expected, before: OngoingDrift | None, otherwise: Collection[str]) -> tuple[DriftFinding, ...]:
    """What differs from the deployment, by target and component. `otherwise`: targets that a later deployment left in another way."""
    earlier = before.findings if before is not None and before.deployment_id == expected.deployment_id else ()
    known = {_what(finding): finding for finding in earlier}
    found: list[DriftFinding] = []
    for shown in sorted(seen.targets, key=lambda one: one.target):
        if shown.target in otherwise:
            continue
        if shown.observation is None:
            found += [finding for finding in earlier if finding.target == shown.target]
            continue
        for spec in expected.targets.get(shown.target, ()):
            finding = _finding(shown.target, spec, shown.observation.running(spec.name), seen.observed_at)
            if finding is not None:
                found.append(known.get(_what(finding), finding))
    return tuple(found)


def turn_of(before: OngoingDrift | None, deployment_id: str, findings: Sequence[DriftFinding]) -> Turn | None:
    """What there is to tell: a drift that is new, another one than before, or over. None when nothing changed."""
    if before is None:
        return "found" if findings else None
    if not findings:
        return "over"
    same = before.deployment_id == deployment_id and {_what(one) for one in before.findings} == {_what(one) for one in findings}
    return None if same else "changed"


class Compared(Value):
    """With what the targets are compared: a deployment that was proven, and its packet."""

    deployment_id: str
    packet_id: str
    packet_digest: Digest
    release_label: str
    release_digest: Digest


def drift_subjects(compared: Compared, expected: Expected, findings: Sequence[DriftFinding]) -> list[Subject]:
    """The release, its images that should run and do not, and what runs instead."""
    wanted = dict(_images(expected, {(finding.target, finding.component) for finding in findings}))
    unexpected = sorted({finding.observed for finding in findings if finding.observed is not None and finding.observed not in wanted})
    shown = unexpected if len(unexpected) <= UNEXPECTED_SUBJECTS_MAX else []
    release = Subject(name=f"release/{compared.release_label}", digest=compared.release_digest)
    images = [Subject(name=image_name(name), digest=digest) for digest, name in sorted(wanted.items())]
    return [release, *images, *(Subject(name=f"unexpected/{digest}", digest=digest) for digest in shown)]


def drift_predicate(
    turn: Turn,
    seen: EnvironmentObservation,
    compared: Compared,
    findings: Sequence[DriftFinding],
    *,
    began_at: Instant,
    not_compared: int,
    inputs: Sequence[tuple[str, Digest]],
) -> dict[str, Any]:
    """Everything that an auditor asks about a drift: where, since when, and what ought to run."""
    return {
        "drift": {"state": turn, "environment": seen.environment},
        "deployment": {"id": compared.deployment_id, "packet_id": compared.packet_id},
        "release": {"label": compared.release_label, "digest": compared.release_digest},
        "counts": {
            "components": len(findings),
            "targets": len({finding.target for finding in findings}),
            "unknown_targets": sum(1 for target in seen.targets if target.observation is None),
            "targets_not_compared": not_compared,
        },
        "findings": _lines(findings),
        "times": {"observed_at": format_instant(seen.observed_at), "began_at": format_instant(began_at)},
        "inputs": [{"name": name, "digest": digest} for name, digest in inputs],
    }


def not_compared(seen: EnvironmentObservation, expected: Expected, otherwise: Collection[str]) -> int:
    """How many targets there is nothing to compare with."""
    return sum(1 for target in seen.targets if target.target in otherwise or not expected.targets.get(target.target))


def _finding(target: str, spec: ComponentSpec, running: RunningComponent | None, observed_at: Instant) -> DriftFinding | None:
    about = {"target": target, "component": spec.name, "wanted": spec.platform_digest, "found_at": observed_at}
    if running is None:
        return DriftFinding(**about, running=False, observed=None, observed_config=None)
    if running.platform_digest == spec.platform_digest or _is_unproven(running, spec):
        return None
    return DriftFinding(**about, running=True, observed=running.platform_digest, observed_config=running.config_digest)


def _is_unproven(running: RunningComponent, spec: ComponentSpec) -> bool:
    """A target that cannot say which manifest it runs may still say which image: another one is drift, the right one or none is not."""
    return running.platform_digest is None and running.config_digest in (None, spec.config_digest)


def _what(finding: DriftFinding) -> tuple[object, ...]:
    """A finding without the time at which it was found."""
    return tuple(value for name, value in finding if name != "found_at")


def _images(expected: Expected, places: Collection[tuple[str, str]]) -> Iterator[tuple[Digest, str]]:
    for target, specs in expected.targets.items():
        for spec in specs:
            if (target, spec.name) in places:
                yield spec.platform_digest, spec.image()


def _lines(findings: Sequence[DriftFinding]) -> list[dict[str, Any]] | None:
    """Every finding, or None when all of them would be too large; never some of them, which would look like all."""
    lines = [finding.document() for finding in findings]
    return lines if len(canonical_json(lines)) <= LINES_BYTES_MAX else None
