"""Approvals: who may give one, and what one says. Pure.

Names are compared without regard to case: `Alice` and `alice` are one person, so that a second spelling is no second seat.
Whoever is barred is compared more broadly (`may_be_one_person`), so that an alias does not let anybody approve their own work.

A person's last word is the one that was stored last, never the one with the latest time: a clock that was set back must not swallow a rejection.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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


def may_be_one_person(one: str, other: str) -> bool:
    """Whether two names could be the same person's, for separation of duties: better one seat too few than one's own approval.

    A name is a plain name, a mail address, or a commit's author (`Name <mail@host>`). A plain name is also compared with the local part of
    an address; two addresses are the same only when they are wholly equal.
    """
    return any(_alike(left, right) for left in _names(one) for right in _names(other))


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
    """Each person's last word; one person has one voice. `approvals` come in the order in which they were stored, and so does the answer."""
    last: dict[str, Approval] = {}
    for approval in approvals:
        last.pop(approval.actor.name.casefold(), None)  # so that the later word also takes the later place
        last[approval.actor.name.casefold()] = approval
    return tuple(last.values())


def _names(person: str) -> tuple[str, ...]:
    match = _AUTHOR.fullmatch(person.strip())
    names = (match["name"].strip(), match["email"]) if match else (person.strip(),)
    return tuple(name for name in names if name)


def _alike(one: str, other: str) -> bool:
    if ("@" in one) == ("@" in other):
        return same_person(one, other)
    return same_person(one.split("@", 1)[0], other.split("@", 1)[0])


def _in(actor: str, members: Sequence[str]) -> bool:
    return any(same_person(actor, member) for member in members)
