"""The evidence of an override: what the packet is about and what it says. Pure; `overriding.py` seals it when the second person confirms."""

from __future__ import annotations

from typing import Any, Final

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Instant, format_instant
from stella_pipelines.promotions.overrides import Override

TASK: Final = "review why it was overruled, and whether the gate, the release or the process has to change"
"""What an override leaves to do."""


def override_predicate(override: Override, confirmed_by: Actor, confirmed_at: Instant) -> dict[str, Any]:
    """What an auditor asks about an override: which verdict, whose words, for how long, and what is left to do."""
    overruled = override.overruled
    return {
        "override": {
            "override_id": override.id,
            "promotion_id": override.promotion_id,
            "evaluation_id": override.evaluation_id,
            "attempt": override.attempt,
            "environment": overruled.environment,
            "gate": overruled.gate,
            "gate_kind": overruled.gate_kind,
            "declared": overruled.declared,
            "verdict": overruled.verdict,
            "reasons": list(overruled.reasons),
            "plan_digest": overruled.plan_digest,
            "reason": override.reason,
            "task": TASK,
        },
        "release": overruled.release.document(),
        "asked_by": override.asked_by.document(),
        "confirmed_by": confirmed_by.document(),
        "times": {
            "asked_at": format_instant(override.asked_at),
            "confirmed_at": format_instant(confirmed_at),
            "expires_at": format_instant(override.expires_at),
        },
        "inputs": [{"name": f"gate/{overruled.gate}", "digest": overruled.inputs}, {"name": "plan", "digest": overruled.plan_digest}],
    }
