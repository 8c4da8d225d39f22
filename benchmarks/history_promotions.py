"""One promotion of a written history, from its request to the packet of its deployment: the rows of every table that it leaves behind."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from benchmarks.bulk import Bulk
from benchmarks.history_shape import Move, Shape
from benchmarks.history_writing import SEEDER, About, Writing, written
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.tables import deployments, ledger
from stella_pipelines.environments.model import AllAtOnce, Estate
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.promotions.deciding import CONTEXT_TYPE
from stella_pipelines.promotions.decision import RULES
from stella_pipelines.promotions.evaluator import INPUTS_TYPE
from stella_pipelines.promotions.gates_in_force import gates_in_force
from stella_pipelines.promotions.tables import evaluations, gate_results, promotions
from stella_pipelines.releases.model import ReleaseRecord

PLATFORM: Final = "linux/amd64"
_STRATEGY: Final = AllAtOnce().document()
_VERDICTS: Final = {"deployed": "allow", "failed": "allow", "rejected": "deny", "waiting": "wait"}
_REASONS: Final = {"allow": "No freeze window of {} is open.", "deny": "{} is frozen.", "wait": "{} is frozen until somebody says otherwise."}


class Promoting(Writing):
    """Writes one move after the other, and remembers what the next one follows on."""

    def __init__(self, shape: Shape, estate: Estate, revision: int, key: FileKey, bulk: Bulk) -> None:
        super().__init__(key, bulk)
        self._shape = shape
        self._estate_digest = estate.content_digest()
        self._in_force = {one.name: gates_in_force(estate, revision, one).document() for one in estate.environments}
        self._releases: dict[tuple[int, int], ReleaseRecord] = {}
        self._sequence: Counter[str] = Counter()
        self._proven: dict[str, dict[str, Any]] = {}
        self._actor = SEEDER.document()

    def _write_move(self, move: Move) -> None:
        record = self._releases[move.product, move.release]
        about = About(move, record)
        promotion = self._promotion(about)
        row = {name: promotion[name] for name in ("id", "environment", "release_digest", "state", "requested_at", "waiting_until", "revision")}
        row["document"] = written(promotion)
        self._note(about, "promotion.Request", about.id, about.requested, None)
        self._outbox("promotion", about, about.requested)
        if move.state == "cancelled":
            self._note(about, "promotion.Cancel", about.id, about.judged, row)
        else:
            self._evaluate(about)
            concluded = {"allow": "promotion.EvaluationAllows", "deny": "promotion.EvaluationDenies", "wait": "promotion.EvaluationWaits"}[
                _VERDICTS[move.state]
            ]
            self._note(about, concluded, about.id, about.judged, None if promotion["deployment_id"] else row)
        if promotion["deployment_id"] is not None:
            self._deploy(about, promotion, row)
        self._bulk.add(promotions, row)

    def _note(self, about: About, action: str, subject: str, when: str, row: dict[str, Any] | None) -> None:
        self._audit(action, subject, when, about.move.at, row=row, where=about.environment, reason="bench" if action == "promotion.Request" else None)

    def _promotion(self, about: About) -> dict[str, Any]:
        deploys = about.move.state in ("deployed", "failed")
        evaluated = about.move.state != "cancelled"
        failure = _failure(about.targets(self._shape)[0]) if about.move.state == "failed" else None
        return {
            "id": about.id,
            "environment": about.environment,
            "release_digest": about.release_digest,
            "release_label": about.label,
            "requested_by": self._actor,
            "requested_at": about.requested,
            "reason": "bench",
            "state": about.move.state,
            "attempt": 1,
            "plan_digest": about.plan if evaluated else None,
            "evaluation_id": about.evaluation if evaluated else None,
            "decision_packet": about.decision if about.decided else None,
            "waiting_until": None,
            "deployment_id": about.deployment if deploys else None,
            "updated_at": about.ended if deploys else about.judged,
            "revision": 4 if deploys else 2,
            "failure": failure,
            "eligible": [],
            "requested_under": self._in_force[about.environment],
            "refused_starts": 0,
            "runs_died": 0,
            "progress": None,
        }

    def _evaluate(self, about: About) -> None:
        verdict, subject = _VERDICTS[about.move.state], f"{about.id}/evaluation/1"
        self._note(about, "evaluation.begin", subject, about.requested, None)
        facts = {"environment": about.environment, "windows": [], "now": about.judged}
        inputs = written({"name": "calendar", "kind": "freeze_window", "facts": facts, "materials": [], "policies": [], "failure": None}).encode()
        inputs_digest = self._blob(inputs, INPUTS_TYPE, about.judged)
        said = {
            "verdict": verdict,
            "reasons": [_REASONS[verdict].format(about.environment)],
            "would_change": [] if verdict == "allow" else ["Ask again later."],
        }
        said |= {"wait_until": None, "approvers": []}
        result = {"evaluation_id": about.evaluation, "name": "calendar", "kind": "freeze_window", "inputs_digest": inputs_digest, "verdict": said}
        row = {"evaluation_id": about.evaluation, "gate": "calendar", "verdict": verdict, "inputs_digest": inputs_digest}
        row["document"] = written({**result, "judged_at": about.judged})
        self._bulk.add(gate_results, row)
        self._note(about, f"gate.{verdict}", f"{subject}/gate/calendar", about.judged, row)
        evaluation = {
            "id": about.evaluation,
            "promotion_id": about.id,
            "attempt": 1,
            "environment": about.environment,
            "gates": ["calendar"],
            "ungated": False,
            "plan_digest": about.plan,
            "plan_failure": None,
            "estate_digest": self._estate_digest,
            "notes": [],
            "begun_at": about.requested,
            "outcome": verdict,
            "decided_at": about.judged,
            "packet_id": about.decision if about.decided else None,
        }
        row = {"id": about.evaluation, "promotion_id": about.id, "attempt": 1, "outcome": verdict}
        row["document"] = written(evaluation)
        self._bulk.add(evaluations, row)
        self._note(about, f"evaluation.{verdict}", subject, about.judged, row)
        if about.decided:
            self._decide(about, evaluation, {"name": "calendar", "kind": "freeze_window", "inputs": inputs_digest}, said)

    def _decide(self, about: About, evaluation: dict[str, Any], gate: dict[str, Any], said: dict[str, Any]) -> None:
        shared = {
            "rules": RULES,
            "promotion_id": about.id,
            "evaluation_id": about.evaluation,
            "attempt": 1,
            "environment": about.environment,
            "ungated": False,
            "release": {"name": about.label, "digest": about.release_digest},
            "plan_digest": about.plan,
            "requested_by": self._actor,
            "reason": "bench",
            "notes": [],
        }
        times = {"requested_at": about.requested, "begun_at": evaluation["begun_at"], "decided_at": about.judged}
        context = {**shared, **times, "estate_digest": self._estate_digest, "overrides": [], "gates": [gate]}
        context_digest = self._blob(written(context).encode(), CONTEXT_TYPE, about.judged)
        outcome = said["verdict"]
        judged = {**gate, **{name: said[name] for name in ("verdict", "reasons", "would_change", "wait_until")}}
        decision = {**shared, "outcome": outcome, "approvers": [], "policies": [], "overridden": [], "gates": [judged]}
        inputs = [("context", context_digest), ("plan", about.plan), ("estate", self._estate_digest), ("gate/calendar", gate["inputs"])]
        predicate = {"stella": {"version": 1}, "decision": decision, "inputs": _named(inputs), "times": times}
        subjects = [(about.label, about.release_digest), *((one.repository, one.digest) for one in about.record.release.components)]
        self._seal(about, about.decision, "decision", subjects, predicate, about.judged)

    # ------------------------------------------------------------ its deployment

    def _deploy(self, about: About, promotion: dict[str, Any], row: dict[str, Any]) -> None:
        self._sequence[about.environment] += 1
        self._outbox("deployment", about, about.judged)
        failed = promotion["failure"]
        previous = self._proven.get(about.environment)
        record = {
            "id": about.deployment,
            "sequence": self._sequence[about.environment],
            "kind": "promotion",
            "promotion_id": about.id,
            "retry_of": None,
            "environment": about.environment,
            "release_digest": about.release_digest,
            "previous_release_digest": previous["release_digest"] if previous else None,
            "state": "failed" if failed else "succeeded",
            "attempt": 1,
            "plan_digest": about.plan,
            "artifacts_digest": about.artifacts,
            "actor": self._actor,
            "reason": "bench",
            "started_at": about.judged,
            "ended_at": about.ended,
        }
        lines = self._write_ledger(about, failed)
        packet = about.packet
        columns = {**record, "actor": written(self._actor), "packet_id": packet, "failure": written(failed) if failed else None, "revision": 2}
        self._bulk.add(deployments, columns)
        self._seal_deployment(about, record, failed, lines)
        for action, subject, at, known in (
            ("promotion.StartDeployment", about.id, about.judged, None),
            ("deployment.start", about.deployment, about.judged, None),
            ("promotion.DeploymentFailed" if failed else "promotion.DeploymentSucceeded", about.id, about.ended, row),
            (f"deployment.{record['state']}", about.deployment, about.ended, columns),
        ):
            self._note(about, action, subject, at, known)
        if not failed:
            self._proven[about.environment] = {**record, "move": about.move}

    def _write_ledger(self, about: About, failed: dict[str, Any] | None) -> list[dict[str, Any]]:
        runs = {component.name: component.platforms[0].digest for component in about.record.release.components}
        shared = {
            "deployment_id": about.deployment,
            "desired": runs,
            "previous": dict.fromkeys(runs),
            "attempted": ["prepare", "activate", "health", "prove_digest", "retire"],
            "observed": runs,
            "observed_at": about.ended,
            "started_at": about.judged,
            "ended_at": about.ended,
            "restore_failure": None,
            "log": None,
        }
        well = {**shared, "state": "succeeded", "stage": "retired", "failure": None}
        ill = {**shared, "state": "failed", "stage": "failed", "failure": failed}
        lines = []
        for number, target in enumerate(about.targets(self._shape)):
            row = ill if failed and number == 0 else well
            columns = {"deployment_id": about.deployment, "target": target, "state": row["state"], "stage": row["stage"]}
            self._bulk.add(ledger, {**columns, "document": written({**row, "target": target})})
            lines.append({"target": target, "state": row["state"], "observed": runs, "failure": failed["code"] if row is ill and failed else None})
        return sorted(lines, key=lambda line: str(line["target"]))

    def _seal_deployment(self, about: About, record: dict[str, Any], failed: dict[str, Any] | None, lines: list[dict[str, Any]]) -> None:
        looks = {"observed_at": about.ended, "healthy": not failed, "as_released": not failed, "healthy_since": None if failed else about.ended}
        decision = {"packet_id": about.decision, "digest": self._decision_digest}
        inputs = [("plan", about.plan), ("artifacts", about.artifacts), ("journal", Digest.of(about.deployment.encode())), ("decision", decision["digest"])]
        predicate = {
            "stella": {"version": 1},
            "deployment": {**record},
            "release": {"label": about.label, "digest": about.release_digest, "partition": about.record.partition_key},
            "strategy": _STRATEGY,
            "rollback_on_failure": True,
            "failure": failed,
            "counts": dict(Counter(line["state"] for line in lines)),
            "targets": lines,
            "observation": looks,
            "decision": decision,
            "upstream": [],
            "inputs": _named(inputs),
        }
        images = [(f"image/{part.name}/{PLATFORM}", part.platforms[0].digest) for part in about.record.release.components]
        self._seal(about, about.packet, "deployment", [(f"release/{about.label}", about.release_digest), *images], predicate, about.ended)


def _failure(target: str) -> dict[str, Any]:
    what = {"code": "DEPLOY_UNHEALTHY", "what": f"web on {target} did not become healthy.", "unchanged": "The other targets run what was released."}
    return {**what, "next_step": "Look at its output with 'stella logs'.", "retryable": False, "target": target}


def _named(inputs: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "digest": digest} for name, digest in inputs]
