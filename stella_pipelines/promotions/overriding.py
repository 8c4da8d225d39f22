"""The use cases of overrides: one person asks, another one confirms, and somebody reviews it afterwards.

Each is one transaction with its audit entry; the confirmation seals the evidence, and asks the gates of a promotion that waits again. One that was
rejected stays rejected: the override counts for the next request of the same release with the same plan. A refused try changes only the trail.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import Clock
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.identifiers import Identifiers
from stella_pipelines.environments.model import Gate
from stella_pipelines.evidence.statement import Subject
from stella_pipelines.evidence.streams import environment_stream
from stella_pipelines.promotions import override_rows, records
from stella_pipelines.promotions.approvals import may_be_one_person
from stella_pipelines.promotions.errors import NotOverridable, OverrideRefused
from stella_pipelines.promotions.gates.port import NamedDigest, kind_of
from stella_pipelines.promotions.moving import Mover
from stella_pipelines.promotions.override_packet import override_predicate
from stella_pipelines.promotions.overrides import EXPIRES_AFTER_S, Override, Overruled, declared_gate, may_override
from stella_pipelines.promotions.ports import CurrentEstate, Sealing
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from stella_pipelines.promotions.trail import Trail
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store, Transaction

PACKET_TYPE: Final = "application/vnd.dsse.envelope.v1+json"
"""An override's packet is also kept by its digest: it is an input of the decision that it makes possible."""


class Overriding:
    """See the module's docstring."""

    def __init__(self, store: Store, evidence: Sealing, environments: CurrentEstate, clock: Clock, identifiers: Identifiers, mover: Mover) -> None:
        self._store = store
        self._evidence = evidence
        self._environments = environments
        self._clock = clock
        self._identifiers = identifiers
        self._mover = mover
        self._trail = Trail(identifiers)

    def ask(self, actor: Actor, promotion_id: str, gate: str, reason: str) -> Override:
        """The first person's word. Nothing is overruled by it."""

        def asked(tx: Transaction, promotion: Promotion, now: datetime) -> Override:
            override = self._asked(tx, actor, promotion, gate, reason, now)
            override_rows.add(tx, override)
            self._trail.override(tx, actor, "override.ask", override, now, reason, before=None)
            return override

        return self._tried(actor, "override.ask", promotion_id, asked)

    def confirm(self, actor: Actor, override_id: str) -> Override:
        """The second person's word: sealed, and counted from now on until it expires."""

        def confirmed(tx: Transaction, promotion: Promotion, now: datetime) -> Override:
            before = override_rows.get(tx, override_id)
            self._refuse_confirmation(tx, actor, before, promotion, now)
            after = self._sealed(tx, before, actor, now)
            override_rows.save(tx, after)
            self._trail.override(tx, actor, "override.confirm", after, now, before.reason, before=before)
            if promotion.state is PromotionState.WAITING:
                self._mover.reevaluate(tx, promotion, now, actor, f"override of {before.overruled.gate}")
            return after

        return self._tried(actor, "override.confirm", self._promotion_of(override_id), confirmed)

    def review(self, actor: Actor, override_id: str, words: str) -> Override:
        """Close the task that an override left."""

        def reviewed(tx: Transaction, promotion: Promotion, now: datetime) -> Override:
            del promotion
            before = override_rows.get(tx, override_id)
            if actor.kind != "human" or not before.to_review or may_be_one_person(actor.name, before.asked_by.name):
                raise OverrideRefused(
                    f"Override {before.id} is not {actor.name}'s to review: it is reviewed once, after it was confirmed, and not by who asked for it.",
                    next_step="'stella override list --to-review' lists what is left to review.",
                )
            told = {"reviewed_by": actor, "reviewed_at": now, "review": words, "revision": before.revision + 1}
            after = Override.model_validate({**dict(before), **told})
            override_rows.save(tx, after)
            self._trail.override(tx, actor, "override.review", after, now, words, before=before)
            return after

        return self._tried(actor, "override.review", self._promotion_of(override_id), reviewed)

    def _promotion_of(self, override_id: str) -> str:
        with self._store.reading() as tx:
            return override_rows.get(tx, override_id).promotion_id

    def _tried(self, actor: Actor, action: str, promotion_id: str, act: Callable[[Transaction, Promotion, datetime], Override]) -> Override:
        """Act in one transaction. A refusal is raised only after its audit entry was committed."""
        with self._store.writing() as tx:
            promotion, now = records.promotion(tx, promotion_id), self._clock.now()
            try:
                return act(tx, promotion, now)
            except (OverrideRefused, NotOverridable) as refusal:
                refused: StellaError = refusal
                self._trail.promotion(tx, actor, f"{action}.refused", promotion, now, refusal.code, before=promotion)
        raise refused

    def _asked(self, tx: Transaction, actor: Actor, promotion: Promotion, name: str, reason: str, now: datetime) -> Override:
        gate = self._gate(tx, actor, promotion.environment, name)
        if promotion.state not in (PromotionState.WAITING, PromotionState.REJECTED) or promotion.evaluation_id is None or promotion.plan_digest is None:
            raise OverrideRefused(
                f"Promotion {promotion.id} is {promotion.state}, and there is no gate's word on a plan to overrule.",
                next_step="Ask while it waits, or after it was rejected.",
            )
        evaluation = records.evaluation(tx, promotion.evaluation_id)
        said = next((result for result in records.results_of(tx, evaluation) if result.name == name and result.kind == kind_of(gate)), None)
        if said is None or said.verdict.verdict == "allow":
            raise OverrideRefused(f"Gate {name} does not stand in the way of {promotion.id}.", next_step=f"See 'stella explain {promotion.id}'.")
        overruled = Overruled(
            environment=promotion.environment,
            release=NamedDigest(name=promotion.release_label, digest=promotion.release_digest),
            plan_digest=promotion.plan_digest,
            gate=name,
            gate_kind=said.kind,
            declared=gate.content_digest(),
            verdict=said.verdict.verdict,
            reasons=said.verdict.reasons,
            inputs=said.inputs_digest,
        )
        return Override(
            id=self._identifiers.new("ovr", now),
            promotion_id=promotion.id,
            evaluation_id=evaluation.id,
            attempt=evaluation.attempt,
            overruled=overruled,
            reason=reason,
            asked_by=actor,
            asked_at=now,
            expires_at=now + timedelta(seconds=EXPIRES_AFTER_S),
        )

    def _gate(self, tx: Transaction, actor: Actor, environment: str, name: str) -> Gate:
        """The gate, if the estate as it is now lets this person be one of two who overrule it."""
        gate = declared_gate(self._environments.current(tx)[0].environment(environment), name)
        if gate is None or actor.kind != "human" or not may_override(gate, actor.name):
            raise NotOverridable(
                f"{actor.name} cannot overrule gate {name[:80]!r} of {environment}: the estate does not name them there.",
                next_step="'overridable_by' of the gate names who may, two of them together; an approval gate has none.",
            )
        return gate

    def _refuse_confirmation(self, tx: Transaction, actor: Actor, override: Override, promotion: Promotion, now: datetime) -> None:
        gate = self._gate(tx, actor, override.overruled.environment, override.overruled.gate)
        if override.packet is not None or now >= override.expires_at or gate.content_digest() != override.overruled.declared:
            raise OverrideRefused(
                f"Override {override.id} cannot be confirmed any more: it was confirmed, it has expired, or its gate was declared anew since.",
                next_step="Look with 'stella override list', and ask again if it is still wanted.",
            )
        if may_be_one_person(actor.name, override.asked_by.name) or may_be_one_person(actor.name, promotion.requested_by.name):
            raise OverrideRefused(
                f"{actor.name} asked for override {override.id}, or requested the promotion: the second person is somebody else.",
                next_step="Let another person whom 'overridable_by' names confirm it.",
            )
        if promotion.plan_digest != override.overruled.plan_digest:
            raise OverrideRefused(
                f"The plan of {promotion.id} is not the one that override {override.id} is about.", next_step="Look at the new plan, and ask again."
            )

    def _sealed(self, tx: Transaction, before: Override, actor: Actor, now: datetime) -> Override:
        release = before.overruled.release
        packet = self._evidence.seal(
            tx,
            packet_id=self._identifiers.new("evd", now),
            kind="override",
            stream=environment_stream(before.overruled.environment),
            subjects=[Subject(name=release.name, digest=release.digest), Subject(name="plan", digest=before.overruled.plan_digest)],
            predicate=override_predicate(before, actor, now),
            at=now,
        )
        blobs.put(tx, packet.envelope, PACKET_TYPE, now)
        told = {"confirmed_by": actor, "confirmed_at": now, "packet_id": packet.id, "packet": packet.digest, "revision": before.revision + 1}
        return Override.model_validate({**dict(before), **told})
