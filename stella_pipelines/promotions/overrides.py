"""Overrides: two people overrule what one gate says about one plan, for a limited time. Pure.

What is overruled is a verdict and not a rule: the same gate, as it was declared then, saying the same about the same release, plan and environment.
A gate that denies for another reason denies again. An approval cannot be overruled: it is itself people's word.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.environments.model import Environment, Gate, OverridableConfig
from stella_pipelines.promotions.approvals import may_be_one_person, same_person
from stella_pipelines.promotions.gates.port import GateVerdict, NamedDigest

EXPIRES_AFTER_S: Final = 4 * 3600.0
"""From the moment somebody asks. Long enough to find the second person and to deploy, too short to become a habit."""


class Overruled(Value):
    """Which verdict is overruled."""

    environment: str
    release: NamedDigest
    plan_digest: Digest
    gate: str
    gate_kind: str
    declared: Digest
    """The gate as the estate declared it, with the people who may overrule it."""
    verdict: Literal["deny", "wait", "error"]
    reasons: tuple[str, ...]
    inputs: Digest


class Override(Value):
    """An override from the first person's word to the review after it. It counts from its confirmation on, when it is sealed."""

    id: str
    promotion_id: str
    evaluation_id: str
    attempt: int
    overruled: Overruled
    reason: str
    asked_by: Actor
    asked_at: Instant
    expires_at: Instant
    confirmed_by: Actor | None = None
    confirmed_at: Instant | None = None
    packet_id: str | None = None
    packet: Digest | None = None
    reviewed_by: Actor | None = None
    reviewed_at: Instant | None = None
    review: str | None = None
    revision: int = 1

    @property
    def to_review(self) -> bool:
        """Whether it left a task that nobody has done."""
        return self.packet is not None and self.reviewed_at is None


class ConfirmedOverride(Value):
    """An override as a decision judges it: everything that the rule below asks for."""

    override_id: str
    overruled: Overruled
    asked_by: Actor
    confirmed_by: Actor
    expires_at: Instant
    packet_id: str
    packet: Digest


class Judged(Value):
    """What is about to be decided, beside the gates."""

    environment: str
    release_digest: Digest
    plan_digest: Digest
    requested_by: Actor
    at: Instant


def confirmed(override: Override) -> ConfirmedOverride | None:
    """The override for a decision, when two people have said it."""
    if override.confirmed_by is None or override.packet_id is None or override.packet is None:
        return None
    return ConfirmedOverride(
        override_id=override.id,
        overruled=override.overruled,
        asked_by=override.asked_by,
        confirmed_by=override.confirmed_by,
        expires_at=override.expires_at,
        packet_id=override.packet_id,
        packet=override.packet,
    )


def overruling(overrides: Sequence[ConfirmedOverride], gate: str, kind: str, said: GateVerdict, judged: Judged) -> ConfirmedOverride | None:
    """The override that overrules this gate's answer, or None. An allow needs none."""
    return next((one for one in overrides if _is_about(one.overruled, gate, kind, said, judged) and _holds(one, judged)), None)


def _is_about(overruled: Overruled, gate: str, kind: str, said: GateVerdict, judged: Judged) -> bool:
    same_thing = (overruled.environment, overruled.release.digest, overruled.plan_digest) == (judged.environment, judged.release_digest, judged.plan_digest)
    same_gate = (overruled.gate, overruled.gate_kind) == (gate, kind) and kind != "approval"
    # What waits or fails words it anew each time; what denies says what is wrong, and that is what was overruled.
    same_word = overruled.verdict == said.verdict and (said.verdict != "deny" or overruled.reasons == said.reasons)
    return same_thing and same_gate and same_word


def _holds(one: ConfirmedOverride, judged: Judged) -> bool:
    two_people = not may_be_one_person(one.asked_by.name, one.confirmed_by.name)
    return judged.at < one.expires_at and two_people and not may_be_one_person(one.confirmed_by.name, judged.requested_by.name)


def declared_gate(environment: Environment | None, name: str) -> Gate | None:
    """The gate with this name, if it is declared."""
    gates = () if environment is None or environment.gates == "none" else environment.gates
    return next((gate for gate in gates if gate.name == name), None)


def may_override(gate: Gate, person: str) -> bool:
    """Whether the estate lets this person be one of the two."""
    return isinstance(gate.config, OverridableConfig) and any(same_person(person, one) for one in gate.config.overridable_by)


def in_force(overrides: Sequence[Override], environment: Environment | None, now: datetime) -> tuple[ConfirmedOverride, ...]:
    """Those that were confirmed, have not expired, and whose gate is declared as it was then. The newest first."""
    found = []
    for override in sorted(overrides, key=lambda one: one.asked_at, reverse=True):
        gate, ready = declared_gate(environment, override.overruled.gate), confirmed(override)
        if ready is not None and now < ready.expires_at and gate is not None and gate.content_digest() == override.overruled.declared:
            found.append(ready)
    return tuple(found)
