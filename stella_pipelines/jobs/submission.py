"""Outbox rows become queued runs, each exactly once: the only place that creates runs.

The run's id is a function of the row (`run_id_of`), so whoever submits a row a second time finds the run. A row that was submitted is
never submitted again: a run that somebody deleted does not come back. Passes are serialised by a lease, because Dagster would queue a run
a second time if two submitters saw it unqueued at the same moment. A row that fails is noted and rests (`backoff.py`); the others go on.

Uses `DagsterInstance.create_run_for_job` and the remote origins, which are less public than a sensor's `RunRequest`; pinned by tests.
"""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import dagster as dg
from dagster._core.code_pointer import CodePointer
from dagster._core.errors import DagsterRunAlreadyExists
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import CodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.workspace.context import BaseWorkspaceRequestContext

from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.limits import LEASE_TTL_S, OUTBOX_BATCH_MAX
from stella_pipelines.jobs.backoff import REST_S_MAX, rest_after
from stella_pipelines.jobs.shards.sharding import SHARDED_JOB, job_of
from stella_pipelines.store import leases, outbox
from stella_pipelines.store.leases import Lease, LeaseHeld, LeaseLost
from stella_pipelines.store.outbox import OutboxRow

log = logging.getLogger("stella.submission")

CODE_LOCATION: Final = "stella"
REPOSITORY: Final = "__repository__"
DEFINITIONS_MODULE: Final = "stella_pipelines.definitions"
DEFINITIONS_ATTRIBUTE: Final = "defs"
SUBMITTER_LEASE: Final = "outbox/submitter"
ENVIRONMENT_TAG: Final = "stella/environment"
"""On deployment runs only: `dagster.yaml` queues runs with the same value one after the other."""
_NAMESPACE: Final = uuid.UUID("5b1f0d6e-6d0e-5f2a-9a40-3f5f5f6a7c11")

JobOf = Callable[[str], dg.JobDefinition]


@dataclass(frozen=True)
class Submitter:
    """What a pass needs besides the store: the instance, the jobs by name, and where the daemon finds their code.

    `holder` names the process in the lease.
    """

    instance: dg.DagsterInstance
    job: JobOf
    location: CodeLocationOrigin
    holder: str


def run_id_of(kind: str, subject: str, attempt: int) -> str:
    """The one run id of an outbox row."""
    return str(uuid.uuid5(_NAMESPACE, f"{kind}/{subject}/{attempt}"))


def submit_pending(plane: ControlPlane, submitter: Submitter) -> list[str]:
    """Submit what the outbox holds; the ids of the runs. Does nothing when another process is submitting right now."""
    if not _due(plane, 1):
        return []
    try:
        with plane.store.writing() as tx:
            lease = leases.acquire(tx, SUBMITTER_LEASE, submitter.holder, plane.clock.now(), LEASE_TTL_S)
    except LeaseHeld:
        return []
    try:
        return _submit_batch(plane, submitter, lease)
    finally:
        with plane.store.writing() as tx:
            leases.release(tx, lease)


def _due(plane: ControlPlane, limit: int) -> list[OutboxRow]:
    with plane.store.reading() as tx:
        return outbox.due(tx, plane.clock.now(), REST_S_MAX, limit)


def _submit_batch(plane: ControlPlane, submitter: Submitter, lease: Lease) -> list[str]:
    submitted = []
    for row in _due(plane, OUTBOX_BATCH_MAX):
        try:
            with plane.store.writing() as tx:  # rows that fail slowly could outlast the lease
                lease = leases.renew(tx, lease, plane.clock.now(), LEASE_TTL_S)
        except LeaseLost:
            break  # another process goes on with the rest
        run_id = _submit_or_note(plane, submitter, row)
        submitted += [run_id] if run_id is not None else []
    return submitted


def _submit_or_note(plane: ControlPlane, submitter: Submitter, row: OutboxRow) -> str | None:
    """The run's id; None when this row failed, which is written into the row for whoever asks why nothing happens."""
    try:
        return _submit(plane, submitter, row)
    except Exception as error:  # noqa: BLE001  # whatever it is, from Dagster or its database: it must not stop the rows behind this one
        _note_failure(plane, row, error)
        return None


def _note_failure(plane: ControlPlane, row: OutboxRow, error: Exception) -> None:
    now = plane.clock.now()
    rest = rest_after(row.failures + 1)
    with plane.store.writing() as tx:
        outbox.note_failure(tx, row.id, f"{type(error).__name__}: {error}", now + rest, now)
    log.warning("%s run of %s was not submitted (failure %d, next try in %g s)", row.kind, row.subject, row.failures + 1, rest.total_seconds(), exc_info=error)


def _submit(plane: ControlPlane, submitter: Submitter, row: OutboxRow) -> str:
    run = _find_or_create(submitter, row, job_of(plane, row.kind, row.payload.get("environment")))
    if run.status == dg.DagsterRunStatus.NOT_STARTED:
        # The queue needs no workspace: it records that the run is queued, and the daemon finds the code by the run's origin.
        submitter.instance.submit_run(run.run_id, workspace=cast(BaseWorkspaceRequestContext, None))
    with plane.store.writing() as tx:
        outbox.mark_submitted(tx, row.id, run.run_id, plane.clock.now())
    return run.run_id


def _find_or_create(submitter: Submitter, row: OutboxRow, job_name: str) -> dg.DagsterRun:
    run_id = run_id_of(row.kind, row.subject, row.attempt)
    found = submitter.instance.get_run_by_id(run_id)
    if found is not None:
        return found
    job = submitter.job(job_name)
    try:
        return submitter.instance.create_run_for_job(
            job,
            run_id=run_id,
            run_config=run_config(row, job_name),
            tags=run_tags(row),
            status=dg.DagsterRunStatus.NOT_STARTED,
            remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(submitter.location, REPOSITORY), job_name),
            job_code_origin=JobPythonOrigin(job_name, python_origin()),
        )
    except DagsterRunAlreadyExists:
        existing = submitter.instance.get_run_by_id(run_id)
        if existing is None:
            raise
        return existing


def run_config(row: OutboxRow, job_name: str) -> dict[str, Any]:
    """The configuration of the row's run: the job's first op takes the subject and the attempt; the sharded job hands them to every step."""
    if job_name == SHARDED_JOB:
        return {"promotion_id": row.subject, "attempt": row.attempt}
    first_op, subject = {
        "promotion": ("gather_plan", "promotion_id"),
        "deployment": ("roll_out", "promotion_id"),
        "resumption": ("carry_on", "deployment_id"),
    }[row.kind]
    return {"ops": {first_op: {"config": {subject: row.subject, "attempt": row.attempt}}}}


def run_tags(row: OutboxRow) -> Mapping[str, str]:
    """What the runs page filters by. Only deployments carry the tag that queues them per environment."""
    environment = row.payload.get("environment", "")
    where = {"stella/promotes_to": environment} if row.kind == "promotion" else {ENVIRONMENT_TAG: environment}
    subject = "stella/deployment" if row.kind == "resumption" else "stella/promotion"
    release = {"stella/release": row.payload["release"]} if "release" in row.payload else {}
    return {subject: row.subject, "stella/attempt": str(row.attempt), **where, **release}


def python_origin() -> RepositoryPythonOrigin:
    """Where a run's process finds the definitions."""
    pointer = CodePointer.from_module(DEFINITIONS_MODULE, DEFINITIONS_ATTRIBUTE, working_directory=None)
    return RepositoryPythonOrigin(executable_path=sys.executable, code_pointer=pointer, entry_point=["dagster"])
