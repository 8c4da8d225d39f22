"""From the ends of deployments to spans of time: which image ran on which target, of which release, from when until when. Pure.

A span is as wide as it can have been: from the start of the deployment that brought the image to the end of the one that shows another. A target
that does not answer goes on as it was, and so does a component that a deployment is not about: nothing has shown that it stopped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.frames.endings import Drift, Ending, Line

Proof = Literal["shown", "drift", "possible"]
"""`shown`: the target itself showed the image at the end of a deployment. `drift`: it was seen between two deployments. `possible`: it was to run
there, and nothing says whether it did before that went wrong."""
End = Literal["replaced", "gone", "left", "settled"]
"""`replaced`: the target shows another image. `gone`: it shows none for the component. `left`: a deployment of the whole environment no longer
names the target. `settled`: what was only possible, until the target answered."""


@dataclass(frozen=True, slots=True)
class Span:
    """One image on one target."""

    environment: str
    target: str
    component: str | None
    digest: Digest
    release: str | None
    release_digest: Digest | None
    proof: Proof
    since: datetime | None
    shown_at: datetime | None
    begun_by: str
    until: datetime | None = None
    ended: End | None = None
    ended_by: str | None = None


def spans(looks: Iterable[Ending | Drift]) -> list[Span]:
    """Every span, closed or still open, whatever the order in which the packets came."""
    courses: dict[str, _Course] = {}
    for look in sorted(looks, key=lambda one: (one.environment, one.sequence, one.packet_digest)):
        course = courses.setdefault(look.environment, _Course())
        if isinstance(look, Drift):
            course.drift(look)
        else:
            course.follow(look)
    return [span for course in courses.values() for span in course.all()]


class _Course:
    """What runs in one environment, as its packets are read in their order."""

    def __init__(self) -> None:
        self._running: dict[str, dict[str, Span]] = {}
        """By target, the span of each component."""
        self._doubtful: dict[str, list[Span]] = {}
        """By target, what may run there, as long as it has not answered since."""
        self._drifted: dict[tuple[str, str], Digest | None] = {}
        """By target and component, what was deployed where something else was seen."""
        self._closed: list[Span] = []

    def follow(self, ending: Ending) -> None:
        """Read the end of a deployment."""
        for line in ending.lines:
            self._look(ending, line)
        if ending.whole and ending.lines and len(ending.lines) < len(self._running):
            for target in self._running.keys() - {line.target for line in ending.lines}:
                self._close(ending, "left", *self._running.pop(target).values(), *self._doubtful.pop(target, ()))

    def drift(self, drift: Drift) -> None:
        """Read what was seen instead of what was deployed. What was seen before and is not told any more is as deployed again."""
        found = {(finding.target, finding.component): finding for finding in drift.findings}
        for place in self._drifted.keys() - found.keys():
            self._put(drift, place, self._drifted.pop(place), "shown", drift.ended_at)
        for place, finding in found.items():
            self._put(drift, place, finding.observed, "drift", finding.found_at)
            self._drifted[place] = finding.wanted

    def all(self) -> list[Span]:
        """Every span so far."""
        running = [span for components in self._running.values() for span in components.values()]
        return [*self._closed, *running, *(span for found in self._doubtful.values() for span in found)]

    def _look(self, ending: Ending, line: Line) -> None:
        running = self._running.setdefault(line.target, {})
        before = {span.digest for span in running.values()}
        if line.shown:
            self._close(ending, "settled", *self._doubtful.pop(line.target, ()))
        for component, digest in line.shown:
            self._drifted.pop((line.target, component), None)
            self._see(ending, line, running, component, digest)
        if line.undecided:
            known = before | {digest for _, digest in line.shown}
            self._doubt(ending, line, [digest for digest in ending.images if digest not in known])

    def _see(self, ending: Ending, line: Line, running: dict[str, Span], component: str, digest: Digest | None) -> None:
        """One component. An unchanged image goes on, and is of another release only where that one was proven."""
        known = running.get(component)
        if known is not None and known.digest == digest and (not line.succeeded or known.release_digest == ending.release_digest):
            return
        if known is not None:
            self._close(ending, "gone" if digest is None else "replaced", running.pop(component))
        if digest is not None:
            running[component] = _begun(ending, line, component, digest)

    def _put(self, drift: Drift, place: tuple[str, str], digest: Digest | None, proof: Proof, seen_at: datetime) -> None:
        """What a look saw on one component."""
        target, component = place
        running = self._running.setdefault(target, {})
        known = running.get(component)
        if known is not None and known.digest == digest:
            return
        if known is not None:
            self._close(drift, "gone" if digest is None else "replaced", running.pop(component))
        if digest is not None:
            running[component] = _seen(drift, place, digest, proof, seen_at)

    def _doubt(self, ending: Ending, line: Line, digests: Iterable[Digest]) -> None:
        """Images that were to run. A target that answered shows others by now; one that did not may run them still."""
        found = [_possible(ending, line.target, digest) for digest in digests]
        if line.shown:
            self._close(ending, "replaced", *found)
        else:
            self._doubtful.setdefault(line.target, []).extend(found)

    def _close(self, ending: Ending | Drift, how: End, *found: Span) -> None:
        self._closed += [replace(span, until=ending.ended_at, ended=how, ended_by=ending.packet_id) for span in found]


def _begun(ending: Ending, line: Line, component: str, digest: Digest) -> Span:
    """A span that this packet shows first. An image that the deployment did not bring was there before, and nobody knows since when."""
    brought = line.succeeded or digest in ending.images
    return Span(
        environment=ending.environment,
        target=line.target,
        component=component,
        digest=digest,
        release=ending.release if brought else None,
        release_digest=ending.release_digest if brought else None,
        proof="shown",
        since=ending.started_at if brought else None,
        shown_at=ending.ended_at,
        begun_by=ending.packet_id,
    )


def _possible(ending: Ending, target: str, digest: Digest) -> Span:
    return Span(
        environment=ending.environment,
        target=target,
        component=None,
        digest=digest,
        release=ending.release,
        release_digest=ending.release_digest,
        proof="possible",
        since=ending.started_at,
        shown_at=None,
        begun_by=ending.packet_id,
    )


def _seen(drift: Drift, place: tuple[str, str], digest: Digest, proof: Proof, seen_at: datetime) -> Span:
    """An image that a look saw. One that is there instead of what was deployed is of no release."""
    deployed = proof == "shown"
    return Span(
        environment=drift.environment,
        target=place[0],
        component=place[1],
        digest=digest,
        release=drift.release if deployed else None,
        release_digest=drift.release_digest if deployed else None,
        proof=proof,
        since=seen_at,
        shown_at=seen_at,
        begun_by=drift.packet_id,
    )
