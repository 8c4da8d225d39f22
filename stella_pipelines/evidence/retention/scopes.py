"""What a legal hold covers, and a hold itself. Pure values.

A scope is judged on the careful side: a release packet belongs to no environment, so a hold on any environment keeps it; and what a packet names
is every digest that stands anywhere in it, and not only its subjects.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Instant, format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.core.words import Words
from stella_pipelines.evidence.retention.candidates import Candidate

HoldId = Annotated[str, StringConstraints(pattern=r"^lgh_[0-9a-hjkmnp-tv-z]{26}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class OfEnvironment(Value):
    """Everything in the streams of an environment."""

    kind: Literal["environment"] = "environment"
    environment: Name

    def covers(self, candidate: Candidate) -> bool:
        return candidate.environment in (None, self.environment)

    def words(self) -> str:
        return f"environment {self.environment}"


class OfRelease(Value):
    """Every packet that names a release."""

    kind: Literal["release"] = "release"
    label: Name
    digest: Digest

    def covers(self, candidate: Candidate) -> bool:
        return candidate.names(self.digest)

    def words(self) -> str:
        return f"release {self.label}"


class OfDigest(Value):
    """Every packet that names a digest, and the packet that has it."""

    kind: Literal["digest"] = "digest"
    digest: Digest

    def covers(self, candidate: Candidate) -> bool:
        return candidate.content == self.digest or candidate.names(self.digest)

    def words(self) -> str:
        return str(self.digest)


class OfSpan(Value):
    """What was sealed from a time on, or before a time, or between two."""

    kind: Literal["span"] = "span"
    since: Instant | None = None
    until: Instant | None = None

    @model_validator(mode="after")
    def _is_a_span(self) -> OfSpan:
        if self.since is None and self.until is None:
            raise ValueError("a span needs a time at which it begins or ends")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("a span begins before it ends")
        return self

    def covers(self, candidate: Candidate) -> bool:
        return (self.since is None or self.since <= candidate.sealed_at) and (self.until is None or candidate.sealed_at < self.until)

    def words(self) -> str:
        since = "" if self.since is None else f"from {format_instant(self.since)} "
        return f"sealed {since}" + ("on" if self.until is None else f"before {format_instant(self.until)}")


class OfEverything(Value):
    """Everything."""

    kind: Literal["everything"] = "everything"

    def covers(self, candidate: Candidate) -> bool:
        del candidate
        return True

    def words(self) -> str:
        return "everything"


Scope = Annotated[OfEnvironment | OfRelease | OfDigest | OfSpan | OfEverything, Field(discriminator="kind")]


class Placed(Value):
    """Somebody placed a hold."""

    kind: Literal["placed"] = "placed"
    hold_id: HoldId
    scope: Scope
    reason: Words
    by: Actor
    at: Instant


class Lifted(Value):
    """Somebody else lifted it."""

    kind: Literal["lifted"] = "lifted"
    hold_id: HoldId
    reason: Words
    by: Actor
    at: Instant


class Hold(Value):
    """A hold as it stands now. `placed` is None for one that cannot be read: it covers everything."""

    id: str
    placed: Placed | None
    lifted: Lifted | None = None

    @property
    def in_force(self) -> bool:
        """Whether it still keeps something."""
        return self.lifted is None

    @property
    def scope(self) -> OfEnvironment | OfRelease | OfDigest | OfSpan | OfEverything:
        """What it covers."""
        return OfEverything() if self.placed is None else self.placed.scope

    def covers(self, candidate: Candidate) -> bool:
        """Whether it keeps this packet."""
        return self.in_force and self.scope.covers(candidate)
