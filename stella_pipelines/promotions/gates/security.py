"""The security gate: counts vulnerabilities over the reports given to the release, after VEX, against thresholds.

Unassessed is not allowed: every image that will run needs a report about its very digest. A report that is too old is none, and so is one
that does not say when it was made or that looked at no package. A report that cannot be read is an `error`, until a readable one of its kind replaces it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value
from stella_pipelines.environments.model import Gate, SecurityGateConfig
from stella_pipelines.promotions.gates.port import GateContext, GateInputs, GateVerdict, GivenReport, NamedDigest, allow, deny, error
from stella_pipelines.promotions.gates.reports import cyclonedx_vex, grype, trivy
from stella_pipelines.promotions.gates.reports.assessment import AssessedComponent, CountedFinding, ReadReport, findings_of, scans_of, unreadable
from stella_pipelines.promotions.gates.reports.cyclonedx_vex import VersionStatus
from stella_pipelines.promotions.gates.reports.finding import ScanReport, Severity
from stella_pipelines.promotions.wording import moment
from stella_pipelines.releases.model import PlatformImage, ReleaseComponent

NAMED_MAX: Final = 5
"""Findings that a reason names; the inputs hold all of them."""
NOTES_MAX: Final = 20
"""Findings about which it is told what VEX says."""
NAME_CHARACTERS_MAX: Final = 120
"""How much of a name out of a report is shown: a package may call itself whatever it likes."""
_SCANNERS: Final[Mapping[str, Callable[[bytes], ScanReport]]] = {trivy.KIND: trivy.read_trivy, grype.KIND: grype.read_grype}

_MARKED: Final[Mapping[VersionStatus | None, str]] = {
    VersionStatus.AFFECTED: ", and marks this version as affected",
    VersionStatus.UNKNOWN: ", and does not mark this version as unaffected in a way that can be evaluated",
}


class SecurityInputs(Value):
    """What will run, the reports as read, the thresholds, and the moment asked about."""

    release: str
    config: SecurityGateConfig
    components: tuple[AssessedComponent, ...]
    reports: tuple[ReadReport, ...]
    now: Instant


class SecurityGate:
    """See the module's docstring."""

    kind = "security"

    def gather(self, gate: Gate, context: GateContext) -> GateInputs:
        """Read the given reports, and which images will run in the environment."""
        if not isinstance(gate.config, SecurityGateConfig):
            raise TypeError("not a security gate")
        given = sorted(context.facts.reports(), key=lambda report: (report.given_at, report.id))
        facts = SecurityInputs(
            release=context.release.label,
            config=gate.config,
            components=assessed_components(context),
            reports=tuple(read_report(report) for report in given),
            now=context.now,
        )
        materials = tuple(NamedDigest(name=f"report/{report.id}", digest=report.blob) for report in given)
        return GateInputs(name=gate.name, kind=self.kind, facts=facts.document(), materials=materials)

    def judge(self, inputs: GateInputs) -> GateVerdict:
        """Readable, assessed, then within the thresholds."""
        facts = SecurityInputs.model_validate(inputs.facts)
        if not facts.components:
            return error("No component of the release runs here, so nothing could be assessed.", would_change=("Correct the environment's components.",))
        return _unreadable(facts) or _unassessed(facts) or _thresholds(facts)


def read_report(given: GivenReport) -> ReadReport:
    """A given report as data; what makes it unreadable is part of the data."""
    base = ReadReport(id=given.id, kind=given.kind, given_at=given.given_at)
    try:
        if given.kind == cyclonedx_vex.KIND:
            return base.model_copy(update={"statements": cyclonedx_vex.read_vex(given.content)})
        if given.kind in _SCANNERS:
            return base.model_copy(update={"scan": _SCANNERS[given.kind](given.content)})
    except StellaError as problem:
        return base.model_copy(update={"problem": problem.what})
    except Exception as problem:  # noqa: BLE001 - a report may be anything; what a reader trips over is a recorded problem of this one report
        return base.model_copy(update={"problem": f"{type(problem).__name__}: {_shown(str(problem))}"})
    return base.model_copy(update={"problem": f"nothing here reads reports of kind {given.kind!r}"})


def assessed_components(context: GateContext) -> tuple[AssessedComponent, ...]:
    """The components that run in the environment, with the platforms that the plan's targets have (all of them when it names none)."""
    wanted = context.environment.components
    platforms = _platforms(context.plan)
    return tuple(
        AssessedComponent(name=component.name, digest=component.digest, images=_images(component, platforms))
        for component in context.release.release.components
        if not wanted or component.name in wanted
    )


def _platforms(plan: Mapping[str, Any] | None) -> tuple[str, ...]:
    targets = plan.get("targets") if plan else None
    found = {target.get("platform") for target in targets if isinstance(target, dict)} if isinstance(targets, list) else set()
    return tuple(sorted(name for name in found if isinstance(name, str)))


def _images(component: ReleaseComponent, platforms: tuple[str, ...]) -> tuple[PlatformImage, ...]:
    planned = [component.platform(name) for name in platforms]
    # A platform that the release does not have is the plan's problem; here it only means that nothing can be narrowed.
    return component.platforms if not planned or None in planned else tuple({image.digest: image for image in planned if image is not None}.values())


def _unreadable(facts: SecurityInputs) -> GateVerdict | None:
    broken = unreadable(facts.reports)
    if not broken:
        return None
    reasons = tuple(f"Report {report.id} cannot be read. {report.problem}" for report in broken)
    return error(*reasons, would_change=tuple(f"Give a readable {report.kind} report; it replaces {report.id}." for report in broken))


def _unassessed(facts: SecurityInputs) -> GateVerdict | None:
    reasons, changes = [], []
    for component in facts.components:
        for image in component.images:
            problem = _problem_of(component, image, facts)
            if problem is not None:
                reasons.append(problem)
                changes.append(f"Scan {component.name} at {image.digest} with trivy or grype and give the JSON report to the release.")
    return deny(*reasons, *_useless(facts), would_change=(*changes, "Then request again.")) if reasons else None


def _problem_of(component: AssessedComponent, image: PlatformImage, facts: SecurityInputs) -> str | None:
    scans = scans_of(component, image, facts.reports)
    if not scans:
        return f"{component.name} ({image.platform}, {image.digest.short}) is not assessed: no report that counts is about this digest."
    age_max_s = facts.config.report_max_age_s
    newest = max(report.made_at for report in scans if report.made_at is not None)
    if age_max_s is not None and (facts.now - newest).total_seconds() > age_max_s:
        return f"{component.name} ({image.platform}): the newest report is of {moment(newest)}, older than {age_max_s:g} s."
    return None


def _thresholds(facts: SecurityInputs) -> GateVerdict:
    found = [one for component in facts.components for one in findings_of(component, facts.reports)]
    counted = [one for one in found if not one.suppressed]
    lines, over = [], []
    for severity, most, names in _limits(facts.config):
        these = [one for one in counted if one.finding.severity in names]
        lines.append(f"{severity}: {len(these)} {'(no limit)' if most is None else f'of at most {most}'}{_named(these)}.")
        if most is not None and len(these) > most:
            over.extend(these)
    notes = [*_notes(found), *_strangers(facts), *_useless(facts)]
    if not over:
        return allow(*lines, *notes)
    return deny(*lines, *notes, would_change=_remedies(over))


def _limits(config: SecurityGateConfig) -> tuple[tuple[str, int | None, tuple[Severity, ...]], ...]:
    return (
        ("critical", config.max_critical, (Severity.CRITICAL,)),
        ("high (unknown included)", config.max_high, (Severity.HIGH, Severity.UNKNOWN)),
        ("medium", config.max_medium, (Severity.MEDIUM,)),
        ("low", config.max_low, (Severity.LOW,)),
    )


def _name(one: CountedFinding) -> str:
    what = " ".join(_shown(part) for part in (one.finding.id, "in", one.finding.package, one.finding.version) if part)
    return f"{what} ({one.component}{' on ' + ', '.join(one.only_on) if one.only_on else ''})"


def _shown(text: str) -> str:
    return text if len(text) <= NAME_CHARACTERS_MAX else text[: NAME_CHARACTERS_MAX - 1] + "…"


def _named(these: list[CountedFinding]) -> str:
    more = f" and {len(these) - NAMED_MAX} more" if len(these) > NAMED_MAX else ""
    return f": {', '.join(_name(one) for one in these[:NAMED_MAX])}{more}" if these else ""


def _notes(found: list[CountedFinding]) -> list[str]:
    notes = [(one, note) for one in found if (note := _note(one)) is not None]
    counting_first = sorted(notes, key=lambda pair: pair[0].suppressed)  # what decides must not be what is left out
    more = [f"VEX speaks about these and {len(notes) - NOTES_MAX} more findings."] if len(notes) > NOTES_MAX else []
    return [note for _, note in counting_first[:NOTES_MAX]] + more


def _note(one: CountedFinding) -> str | None:
    """What VEX says about a finding, and what follows."""
    if one.statement is None:
        return f"{_name(one)} counts: VEX takes it out for the other platforms only." if one.only_on else None
    said = f"VEX says {one.statement.state.value}"
    if one.suppressed:
        return f"{_name(one)} does not count: {said} ({one.statement.justification})."
    why = "" if one.statement.justification else " without a justification"
    return f"{_name(one)} counts: {said}{why}{_MARKED.get(one.version_status, '')}."


def _useless(facts: SecurityInputs) -> list[str]:
    """Scans that assess nothing, and why."""
    scans = [(report.id, report.scan) for report in facts.reports if report.scan is not None]
    blind = [f"Report {name} shows no package that {scan.scanner} looked at, and assesses nothing." for name, scan in scans if not scan.looked]
    undated = [name for name, scan in scans if scan.looked and scan.created_at is None]
    return [*blind, *(f"Report {name} does not say when it was made: it assesses nothing, and what it found counts." for name in undated)]


def _strangers(facts: SecurityInputs) -> list[str]:
    known = {digest for component in facts.components for digest in component.digests}
    strangers = [report.id for report in facts.reports if report.scan is not None and not known.intersection(report.scan.subjects)]
    return [f"Report {name} is about no image that runs here, and was not counted." for name in strangers]


def _remedies(over: list[CountedFinding]) -> tuple[str, ...]:
    names = ", ".join(_shown(name) for name in sorted({one.finding.id for one in over})[:NAMED_MAX])
    return (
        f"Release images without {names}, or give a CycloneDX VEX document that says not_affected, resolved or false_positive with a justification.",
        "Then request again.",
    )
