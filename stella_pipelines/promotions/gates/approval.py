"""The approval gate: N of M people per group, one person one seat, for exactly this plan.

The requester never counts. An approval for another plan, an expired one, or one by somebody who left the group does not count, and the
verdict says so. A rejection by an eligible person denies, whichever plan it was about.
"""

from __future__ import annotations

from datetime import timedelta

from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.environments.model import ApprovalGateConfig, Gate
from stella_pipelines.promotions.approvals import Approval, may_be_one_person, newest_per_person, same_person
from stella_pipelines.promotions.gates.port import GateContext, GateInputs, GateVerdict, allow, deny, error, wait
from stella_pipelines.promotions.promotion import EligibleGroup
from stella_pipelines.promotions.seats import Group, Seating, seat
from stella_pipelines.promotions.wording import moment


class ApprovalInputs(Value):
    """The groups, who was eligible at the request, and what was said so far."""

    gate: str
    config: ApprovalGateConfig
    requester: str
    commit_author: str | None
    eligible: tuple[EligibleGroup, ...]
    approvals: tuple[Approval, ...]
    plan_digest: Digest | None
    now: Instant


class ApprovalGate:
    """See the module's docstring."""

    kind = "approval"

    def gather(self, gate: Gate, context: GateContext) -> GateInputs:
        """Every approval and rejection of the promotion, counted or not."""
        if not isinstance(gate.config, ApprovalGateConfig):
            raise TypeError("not an approval gate")
        facts = ApprovalInputs(
            gate=gate.name,
            config=gate.config,
            requester=context.promotion.requested_by.name,
            commit_author=context.release.release.source.author,
            eligible=tuple(group for group in context.promotion.eligible if group.gate == gate.name),
            approvals=context.facts.approvals(),
            plan_digest=context.plan_digest,
            now=context.now,
        )
        return GateInputs(name=gate.name, kind=self.kind, facts=facts.document())

    def judge(self, inputs: GateInputs) -> GateVerdict:
        """Rejections first, then whether the seats can be filled at all, then whether they are."""
        facts = ApprovalInputs.model_validate(inputs.facts)
        if facts.plan_digest is None or not facts.config.groups:
            return error("There is no plan, or no group, that people could approve.", would_change=("A complete plan and at least one approval group.",))
        return _rejection(facts) or _impossible(facts) or _count(facts)


def _rejection(facts: ApprovalInputs) -> GateVerdict | None:
    rejecting = [one for one in newest_per_person(facts.approvals) if one.verdict == "reject" and _seats(one.actor.name, one.groups, facts)]
    if not rejecting:
        return None
    said = tuple(f"{one.actor.name} rejected it at {moment(one.at)}: {one.reason or 'no reason given'}" for one in rejecting)
    return deny(*said, would_change=("Settle the objection, then request a new promotion.",))


def _impossible(facts: ApprovalInputs) -> GateVerdict | None:
    if facts.config.commit_author_excluded and facts.commit_author is None:
        return deny(
            "The commit's author does not count here, and the release does not say who that is.",
            would_change=("Create the release with its source's author, then request again.",),
        )
    possible = seat([Group(name=group.name, required=group.required, people=_people(group.name, facts)) for group in facts.config.groups])
    if possible.complete:
        return None
    return deny(
        f"The seats can never be filled: {_missing(possible)} even if everybody eligible approved.",
        would_change=("Add members to the group in the estate file, then request again; whoever joins after a request does not decide about it.",),
    )


def _count(facts: ApprovalInputs) -> GateVerdict:
    counted, notes = [], []
    for one in newest_per_person([one for one in facts.approvals if one.verdict == "approve"]):
        problem = _not_counted(one, facts)
        if problem is None:
            counted.append(one)
        else:
            notes.append(f"{one.actor.name}'s approval does not count: {problem}.")
    seating = seat([Group(name=group.name, required=group.required, people=_sitting(group.name, counted, facts)) for group in facts.config.groups])
    lines = [_line(group.name, group.required, seating) for group in facts.config.groups]
    if seating.complete:
        return allow(*lines, *notes, approvers=tuple(sorted({name for names in seating.seated.values() for name in names})))
    return wait(*lines, *notes, until=None, would_change=tuple(_wanted(name, number, facts) for name, number in seating.missing.items() if number))


def _not_counted(one: Approval, facts: ApprovalInputs) -> str | None:
    """Why an approval does not count, or None when it does."""
    expires_at = min(one.expires_at, one.at + timedelta(seconds=facts.config.expires_after_s))
    if one.plan_digest != facts.plan_digest:
        return f"it is for plan {one.plan_digest.short}, and the plan is now {facts.plan_digest.short if facts.plan_digest else 'unknown'}"
    if expires_at <= facts.now:
        return f"it expired at {moment(expires_at)}"
    if not _seats(one.actor.name, one.groups, facts):
        return "this person fills no seat of this gate"
    return None


def _seats(name: str, groups: tuple[str, ...], facts: ApprovalInputs) -> tuple[str, ...]:
    """The groups of this gate in which a person could sit at the click and still can."""
    return tuple(group.name for group in facts.config.groups if f"{facts.gate}/{group.name}" in groups and _is_one_of(name, _people(group.name, facts)))


def _people(group_name: str, facts: ApprovalInputs) -> tuple[str, ...]:
    """Members now and at the request, without the requester and, where the gate says so, the commit's author. One spelling per person."""
    then = {member.casefold() for group in facts.eligible if group.group == group_name for member in group.members}
    now = {member.casefold() for group in facts.config.groups if group.name == group_name for member in group.members}
    return tuple(sorted(name for name in then & now if not _barred(name, facts)))


def _barred(name: str, facts: ApprovalInputs) -> bool:
    by_author = facts.config.commit_author_excluded and facts.commit_author is not None and may_be_one_person(name, facts.commit_author)
    return may_be_one_person(name, facts.requester) or by_author


def _sitting(group_name: str, counted: list[Approval], facts: ApprovalInputs) -> tuple[str, ...]:
    return tuple(one.actor.name.casefold() for one in counted if group_name in _seats(one.actor.name, one.groups, facts))


def _is_one_of(name: str, people: tuple[str, ...]) -> bool:
    return any(same_person(name, person) for person in people)


def _line(name: str, required: int, seating: Seating) -> str:
    people = seating.seated[name]
    return f"Group {name}: {len(people)} of {required}" + (f" ({', '.join(people)})." if people else ".")


def _missing(seating: Seating) -> str:
    return ", ".join(f"group {name} lacks {number}" for name, number in seating.missing.items() if number)


def _wanted(name: str, number: int, facts: ApprovalInputs) -> str:
    plan = facts.plan_digest.short if facts.plan_digest else ""
    return f"{number} more of group {name} ({', '.join(_people(name, facts))}) approve plan {plan}."
