"""Approvals: who may give one, and what one says. Pure.

Names are compared without regard to case: `Alice` and `alice` are one person, so that a second spelling is no second seat.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.environments.model import ApprovalGateConfig, Environment, Gate
from stella_pipelines.promotions.promotion import EligibleGroup

_AUTHOR: Final = re.compile(r"(?P<name>[^<>]*)<(?P<email>[^<>\s]+)>\s*")


class Approval(Value):
    """One person's word on one plan. `groups` (`gate/group`) are the seats that this person could fill at the click."""

    id: str
    promotion_id: str
    actor: Actor
    verdict: Literal["approve", "reject"]
    plan_digest: Digest
    at: Instant
    expires_at: Instant
    groups: tuple[str, ...]
    reason: str = ""


def same_person(one: str, other: str) -> bool:
    """Whether two names are one person."""
    return one.casefold() == other.casefold()


def is_author(actor: str, author: str) -> bool:
    """Whether a commit's author (`Name <mail@host>`, a mail address or a plain name) is this actor: by name, address or the address's local part."""
    match = _AUTHOR.fullmatch(author.strip())
    name, email = (match["name"].strip(), match["email"]) if match else (author.strip(), author.strip())
    return any(same_person(actor, known) for known in (name, email, email.split("@", 1)[0]) if known)


def approval_gates(environment: Environment) -> tuple[tuple[Gate, ApprovalGateConfig], ...]:
    """The approval gates of an environment with their configuration."""
    gates = () if environment.gates == "none" else environment.gates
    return tuple((gate, gate.config) for gate in gates if isinstance(gate.config, ApprovalGateConfig))


def eligible_at_request(environment: Environment) -> tuple[EligibleGroup, ...]:
    """What is recorded when a promotion is requested: later joiners of a group do not decide about it."""
    return tuple(
        EligibleGroup(gate=gate.name, group=group.name, members=tuple(sorted(group.members)))
        for gate, config in approval_gates(environment)
        for group in config.groups
    )


def seats_of(actor: str, environment: Environment, recorded: Sequence[EligibleGroup]) -> tuple[str, ...]:
    """The groups (`gate/group`) that a person was in when the promotion was requested and is in now."""
    then = {f"{group.gate}/{group.group}" for group in recorded if _in(actor, group.members)}
    now = {f"{gate.name}/{group.name}" for gate, config in approval_gates(environment) for group in config.groups if _in(actor, group.members)}
    return tuple(sorted(then & now))


def bars_author(environment: Environment) -> bool:
    """Whether any approval gate of the environment bars the commit's author."""
    return any(config.commit_author_excluded for _, config in approval_gates(environment))


def expiry_s(environment: Environment) -> float:
    """How long an approval holds: the shortest time that any approval gate grants."""
    return min((config.expires_after_s for _, config in approval_gates(environment)), default=0.0)


def newest_per_person(approvals: Sequence[Approval]) -> tuple[Approval, ...]:
    """Each person's last word, oldest first; one person has one voice."""
    last = {approval.actor.name.casefold(): approval for approval in sorted(approvals, key=_moment)}
    return tuple(sorted(last.values(), key=_moment))


def _moment(approval: Approval) -> tuple[datetime, str]:
    return approval.at, approval.id


def _in(actor: str, members: Sequence[str]) -> bool:
    return any(same_person(actor, member) for member in members)
