"""Whether the evidence of a deployment will fit into a packet, answered before the first effect: what cannot be sealed must not begin. Pure.

What grows with the environment is bounded here from the artifacts. What a deployment only learns on its way (its failure, its times, its last
look) has limits of its own.
"""

from __future__ import annotations

from typing import Final

from stella_pipelines.core import limits
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.words import WORDS_CHARS_MAX
from stella_pipelines.deployments.artifacts import Artifacts, platform_subjects
from stella_pipelines.deployments.model import TargetState
from stella_pipelines.deployments.sealing import LINES_BYTES_MAX
from stella_pipelines.evidence.statement import SHOWN_CHARS_MAX

_DIGEST_BYTES: Final = 71
_LINE_BYTES: Final = 200
"""A target's line without its name, its components and its state: the members' names, and the longest code of a failure."""
_SUBJECT_BYTES: Final = 128
"""A subject without its name."""
_UPSTREAM_BYTES: Final = 512
"""One environment from which the release came: names of at most 63 characters, a partition, a digest and a packet's id."""
_WORDS_BYTES: Final = 4 * 4 * WORDS_CHARS_MAX
"""The reason and the failure's three texts, at four bytes for a character."""
_REST_BYTES: Final = 64 * 1024
"""Record, release, decision, look, inputs and seal: a fixed number of names, times and digests."""


class EvidenceTooLarge(StellaError):
    """The evidence of this deployment would not fit into a packet, so it is not begun."""

    code = "DEPLOY_EVIDENCE_TOO_LARGE"


def packet_bytes_bound(artifacts: Artifacts, upstream: int) -> int:
    """The most that the packet can have, however the deployment ends. `upstream`: how many environments this one promotes from."""
    subjects = sum(_SUBJECT_BYTES + min(len(name), SHOWN_CHARS_MAX) for name in platform_subjects(list(artifacts.orders.values())))
    strategy = len(artifacts.manifest.strategy.canonical())
    payload = min(_lines(artifacts), LINES_BYTES_MAX) + subjects + strategy + upstream * _UPSTREAM_BYTES + _WORDS_BYTES + _REST_BYTES
    return payload * 4 // 3 + 1024  # base64, and the envelope around it


def require_sealable(artifacts: Artifacts, upstream: int) -> None:
    """Raise `EvidenceTooLarge` when the packet might become larger than a verifier reads."""
    bound = packet_bytes_bound(artifacts, upstream)
    if bound > limits.PACKET_BYTES_MAX:
        raise EvidenceTooLarge(
            f"The evidence of this deployment could have {bound:,} bytes; a packet has at most {limits.PACKET_BYTES_MAX:,}.",
            next_step=f"Split the environment {artifacts.manifest.environment}, or the release, into smaller ones.",
        )


def _lines(artifacts: Artifacts) -> int:
    state = max(len(state) for state in TargetState)
    components = sum(len(change.name) + _DIGEST_BYTES + 6 for order in artifacts.orders.values() for change in order.changes)
    return components + sum(_LINE_BYTES + state + len(name) for name in artifacts.orders)
