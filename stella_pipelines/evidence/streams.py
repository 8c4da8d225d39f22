"""The streams in which packets and audit entries are counted, each densely from 1: whoever holds a stream sees that one was taken out. Pure.

What is decided about and done to an environment stands in one stream, in the order in which it happened, whatever kind of packet tells it.
"""

from __future__ import annotations

from typing import Final

RELEASES: Final = "releases"
"""Releases that were finalized."""
EXPORTS: Final = "exports"
"""What was taken out: exports for auditors, and purges."""
AUDIT: Final = "audit"
"""The entries of the audit trail. They are counted when the log takes them in, and not when they are written."""
_ENVIRONMENT: Final = "environment/"
_SUMMARIES: Final = "summaries/"


def environment_stream(environment: str) -> str:
    """Decisions, deployments, rollbacks, overrides and drifts of an environment."""
    return _ENVIRONMENT + environment


def summary_stream(environment: str) -> str:
    """The decisions of an environment again, as SLSA verification summaries."""
    return _SUMMARIES + environment


def stream_of(environment: str, kind: str | None) -> str:
    """The stream in which the packets of a kind about an environment stand; without a kind, all but the summaries."""
    return summary_stream(environment) if kind == "summary" else environment_stream(environment)


def environment_of(stream: str) -> str | None:
    """The environment that a stream is about, if it is about one."""
    for prefix in (_ENVIRONMENT, _SUMMARIES):
        if stream.startswith(prefix):
            return stream.removeprefix(prefix)
    return None
