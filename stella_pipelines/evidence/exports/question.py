"""What an export is asked for. Pure.

A question is about an environment, about a digest, or about everything; a span of time limits it by when packets were sealed. The release of a
question is told for people; what counts is its digest.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Self

from pydantic import model_validator

from stella_pipelines.core.clock import Instant, format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.evidence.exports.errors import QuestionInvalid
from stella_pipelines.evidence.statement import ShownText
from stella_pipelines.evidence.streams import environment_stream, summary_stream

_NEXT: Final = "Name an environment (--environment), a digest (--digest) or a release (--release), or ask for --all; a span may limit it."


class Question(Value):
    """`since` is within the span, `until` is not. Neither environment nor subject: everything."""

    environment: ShownText | None = None
    subject: Digest | None = None
    release: ShownText | None = None
    """What the subject is called, if it is a release."""
    since: Instant | None = None
    until: Instant | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.environment is not None and self.subject is not None:
            raise QuestionInvalid("A question is about an environment or about a digest, and not about both.", next_step=_NEXT)
        if self.release is not None and self.subject is None:
            raise QuestionInvalid("A question about a release needs its digest.", next_step=_NEXT)
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise QuestionInvalid("The span of the question ends before it begins.", next_step="Give --since before --until; --until itself is not within it.")
        return self

    @property
    def is_everything(self) -> bool:
        """Whether it is about no environment and no digest in particular."""
        return self.environment is None and self.subject is None

    @property
    def streams(self) -> tuple[str, ...] | None:
        """The streams that must be there without a gap; None for those of the whole log. A digest's packets are picked out of many streams."""
        if self.environment is not None:
            return (environment_stream(self.environment), summary_stream(self.environment))
        return None if self.is_everything else ()

    def is_in_span(self, moment: datetime) -> bool:
        """Whether something of this time is asked for."""
        return (self.since is None or self.since <= moment) and (self.until is None or moment < self.until)

    def in_words(self) -> str:
        """The question for people."""
        about = f"environment {self.environment}" if self.environment else f"release {self.release}" if self.release else str(self.subject or "")
        span = [f"since {_in_words(self.since)}" if self.since else "", f"before {_in_words(self.until)}" if self.until else ""]
        return ", ".join(filter(None, [f"everything about {about}" if about else "everything", *span]))


def _in_words(moment: datetime) -> str:
    """A day for its midnight, and a time for every other moment; always in UTC."""
    text = format_instant(moment)
    return text.removesuffix("T00:00:00.000000Z") if text.endswith("T00:00:00.000000Z") else text.replace(".000000Z", "Z")
