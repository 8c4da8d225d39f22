"""One round of asking the gates, and what each of them answered. Values only."""

from __future__ import annotations

from typing import Any, Final, Literal

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.promotions.gates.port import GateVerdict

EVALUATION_AGE_S_MAX: Final = 900.0
"""A gate's stored answer lets a killed job resume; older than this it is not trusted any more, and every gate is asked again."""


class Evaluation(Value):
    """One attempt to decide a promotion. The estate and the plan are fixed when it begins, by digest.

    `outcome` is set once: the gates' outcome; `superseded` when a newer attempt or an end came first; `stale` when facts changed under it.
    """

    id: str
    promotion_id: str
    attempt: int
    environment: str
    gates: tuple[str, ...]
    ungated: bool
    plan_digest: Digest | None
    plan_failure: dict[str, Any] | None
    estate_digest: Digest
    notes: tuple[str, ...] = ()
    """What whoever reads the outcome must know beside the gates: that they are not those of the request."""
    begun_at: Instant
    outcome: Literal["allow", "deny", "wait", "error", "superseded", "stale"] | None = None
    decided_at: Instant | None = None
    packet_id: str | None = None


class GateResult(Value):
    """A gate's stored answer in one evaluation."""

    evaluation_id: str
    name: str
    kind: str
    inputs_digest: Digest
    verdict: GateVerdict
    judged_at: Instant
