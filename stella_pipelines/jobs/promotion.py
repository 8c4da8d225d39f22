"""The promotion job: plan, one op per gate, decide. A denied promotion is a run that succeeded in deciding.

A promotion that waits ends its run and holds nothing; an approval, or the time it waits for, starts the next attempt as a new run.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import dagster as dg
from pydantic import Field

from assets.events import decision_event, gates_table, waiting_event
from assets.lineage import of_packet
from assets.log_place import log_place
from assets.publishing import add_partition
from resources.control_plane import ControlPlaneResource
from resources.signer import SignerResource
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.jobs.failures import failures_explained
from stella_pipelines.jobs.outcomes import tag_outcome
from stella_pipelines.promotions.evaluation import Evaluation, GateResult
from stella_pipelines.promotions.promotion import Promotion, PromotionState

LOUDNESS: Final = {"allow": logging.INFO, "wait": logging.INFO, "deny": logging.WARNING, "error": logging.ERROR}


class PromotionRun(dg.Config):
    """Which evaluation this run carries out. The outbox fills it in; asking by hand for one that was decided changes nothing."""

    promotion_id: str = Field(description="The promotion's id (prm_…).")
    attempt: int = Field(ge=1, description="Which evaluation of its gates.")


@dg.op(
    out=dg.Out(Evaluation, is_required=False, description="The evaluation that begins; nothing when this attempt is not wanted any more."),
    description="Ask every target what runs there, and fix the plan that the gates judge and approvals bind to.",
)
def gather_plan(context: dg.OpExecutionContext, config: PromotionRun, control_plane: ControlPlaneResource) -> Iterator[dg.Output[Evaluation]]:
    plane = control_plane.plane
    with failures_explained():
        promotion = plane.promotions.get(config.promotion_id)
        if promotion.state is not PromotionState.EVALUATING or promotion.attempt != config.attempt:
            context.log.info(
                f"Nothing to decide: {promotion.id} is {promotion.state} at attempt {promotion.attempt}, this run is for attempt {config.attempt}."
            )
            tag_outcome(context, "nothing_to_decide")
            return
        asyncio.run(_look_upstream(context, plane, promotion.environment))
        plan, failure = _plan(plane, promotion)
        if failure is not None:
            context.log.error(f"{failure['code']}: {failure['what']} {failure['next_step']}")
        evaluation = plane.promotions.begin_evaluation(promotion.id, config.attempt, plan, failure)
    yield dg.Output(evaluation, metadata=_about(promotion, evaluation))


async def _look_upstream(context: dg.OpExecutionContext, plane: ControlPlane, environment: str) -> None:
    """Look at the environments that this one promotes from: the gates must judge what runs there now, and not what ran there some time ago.

    A look that cannot be taken is reported and changes nothing: the last one stays, with its age, and the gate refuses one that is too old.
    """
    declared = plane.environments.current()[0].environment(environment)
    for name in declared.promotes_from if declared else ():
        try:
            seen = await plane.deployments.observe(name)
        except StellaError as error:
            context.log.warning(f"{name} could not be looked at. {error}")
        else:
            context.log.info(f"{name} was looked at: {'healthy' if seen.healthy else 'not as released or not healthy'}.")


def _plan(plane: ControlPlane, promotion: Promotion) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The plan's document, or the reason why there is none: a target that does not answer is a finding, not a crash."""
    try:
        return asyncio.run(plane.deployments.plan(promotion.environment, promotion.release_digest)).document(), None
    except StellaError as error:
        return None, dict(error.document())


def _about(promotion: Promotion, evaluation: Evaluation) -> dict[str, str]:
    return {
        "promotion": promotion.id,
        "release": f"{promotion.release_label} ({promotion.release_digest})",
        "into": promotion.environment,
        "requested by": promotion.requested_by.name,
        "plan": evaluation.plan_digest or "could not be made",
        "gates": ", ".join(evaluation.gates) or "none, as the environment says",
    }


@dg.op(ins={"evaluation": dg.In(Evaluation)}, out=dg.DynamicOut(str), description="One branch per gate of the environment.")
def fan_out_gates(evaluation: Evaluation) -> Iterator[dg.DynamicOutput[str]]:
    for name in evaluation.gates:
        yield dg.DynamicOutput(name, mapping_key=name)


@dg.op(
    ins={"evaluation": dg.In(Evaluation), "name": dg.In(str)},
    out=dg.Out(str),
    description="Gather one gate's inputs, store them by content hash, and judge them.",
)
def gate(context: dg.OpExecutionContext, evaluation: Evaluation, name: str, control_plane: ControlPlaneResource) -> Iterator[dg.Output[str]]:
    with failures_explained():
        result = control_plane.plane.promotions.evaluate_gate(evaluation.id, name)
    verdict = result.verdict
    context.log.log(LOUDNESS[verdict.verdict], f"Gate {name}: {verdict.verdict.upper()}. {' '.join(verdict.reasons)}")
    for remedy in verdict.would_change:
        context.log.info(f"What would change it: {remedy}")
    yield dg.Output(name, metadata=_gate_metadata(result))


def _gate_metadata(result: GateResult) -> dict[str, dg.MetadataValue]:
    return {
        "verdict": dg.MetadataValue.text(result.verdict.verdict),
        "why": dg.MetadataValue.md(_bullets(result.verdict.reasons)),
        "what would change it": dg.MetadataValue.md(_bullets(result.verdict.would_change)),
        "kind": dg.MetadataValue.text(result.kind),
        "inputs digest": dg.MetadataValue.text(result.inputs_digest),
    }


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) or "–"


@dg.op(
    ins={"evaluation": dg.In(Evaluation), "gates": dg.In(list, description="The gates that were asked; their answers are in the store.")},
    out=dg.Out(str),
    description="Combine the gates' verdicts. Allow and deny are sealed as evidence in the decision's own transaction.",
)
def decide(
    context: dg.OpExecutionContext, evaluation: Evaluation, gates: list[str], control_plane: ControlPlaneResource, signer: SignerResource
) -> Iterator[Any]:
    plane = control_plane.plane
    with failures_explained():
        promotion, packet = plane.promotions.decide(evaluation.id)
        tag_outcome(context, promotion.state.value)
        results = plane.promotions.results(promotion.id)
        context.log.info(f"{len(gates)} gates were asked. {promotion.release_label} into {promotion.environment}: {promotion.state}.")
        yield _event(plane, context.instance, promotion, packet, results, signer)
    yield dg.Output(promotion.state.value, metadata={"state": promotion.state.value, "gates": dg.MetadataValue.md(gates_table(results))})


def _event(
    plane: ControlPlane,
    instance: dg.DagsterInstance,
    promotion: Promotion,
    packet: SealedPacket | None,
    results: Sequence[GateResult],
    signer: SignerResource,
) -> dg.AssetMaterialization | dg.AssetObservation:
    """What the catalogue shows of the decision. A packet is only shown after its signature was checked."""
    record = plane.releases.by_digest(promotion.release_digest)
    add_partition(instance, record.partition_key)
    if packet is None:
        return waiting_event(promotion, record.partition_key, results)
    signer.verified(packet)
    plane.log.take_in()  # the packet's place stands in the event, which is never written anew
    with plane.store.reading() as tx:
        upstream, place = of_packet(plane, tx, promotion.environment, record), log_place(tx, packet.id)
    return decision_event(promotion, record.partition_key, packet, results, upstream, place)


@dg.job(
    executor_def=dg.in_process_executor,
    description="Ask every gate of the environment whether this release may go in, and seal the answer. "
    "Started from the outbox; to ask for one, launch `request_promotion`.",
)
def promotion() -> None:
    evaluation = gather_plan()
    decide(evaluation, fan_out_gates(evaluation).map(partial(gate, evaluation)).collect())
