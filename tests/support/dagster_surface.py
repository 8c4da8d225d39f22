"""Every name of Dagster's that is not public and that the product uses, with what it is used for and which of its parts.

A part is a parameter (`run_id`) or, with a dot, a member (`.status`). A Dagster upgrade is done when the tests on this list are green.
`docs/dagster-internals.md` shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Used:
    """One name."""

    name: str
    why: str
    parts: tuple[str, ...] = ()

    def row(self) -> str:
        """As the documentation shows it."""
        return f"| `{self.name}` | {', '.join(f'`{part}`' for part in self.parts)} | {self.why} |"


_INSTANCE: Final = "dagster.DagsterInstance"
_STORAGE: Final = "dagster._core.storage"
SURFACE: Final = (
    # A run's process.
    Used(
        "dagster._grpc.impl.core_execute_run", "carries a run out; what the code server calls too", ("recon_job", "dagster_run", "instance", "inject_env_vars")
    ),
    Used("dagster._utils.hosted_user_process.recon_job_from_origin", "finds a run's job by the origin that the run carries", ("origin",)),
    Used("dagster._utils.interrupts.capture_interrupts", "lets an interrupt reach the run's steps and nothing else"),
    Used("dagster._utils.interrupts.setup_interrupt_handlers", "SIGTERM ends a run as SIGINT does"),
    Used(
        "dagster._core.instance.ref.InstanceRef", "the instance's configuration, read once for all runs", (".from_dir", ".storage_data", ".run_launcher_data")
    ),
    Used("dagster._core.workspace.autodiscovery", "imported before the fork, because a run imports it"),
    Used(f"{_INSTANCE}.from_ref", "opens the instance in a run's process", ("instance_ref",)),
    Used(f"{_INSTANCE}.from_config", "opens the throw-away instance of the rehearsal", ("config_dir",)),
    Used(f"{_INSTANCE}.get_records_for_run", "whether a run was ended from outside; when it was last heard of", ("run_id", "of_type", "limit", "ascending")),
    Used(f"{_INSTANCE}.report_engine_event", "a sign of life of a run that works in silence", ("message", "dagster_run")),
    Used(f"{_INSTANCE}.report_run_failed", "upholds a mark that a run's process has written over", ("dagster_run", "message")),
    Used(f"{_INSTANCE}.report_run_canceled", "the same; and the end of a run that waited for its turn", ("dagster_run", "message")),
    Used("dagster._grpc.types.ExecuteRunArgs", "which run a launcher of Dagster's own wants carried out elsewhere", (".run_id",)),
    # The launcher.
    Used("dagster._core.launcher.base.LaunchRunContext", "what a launcher is called with", (".dagster_run", ".workspace")),
    Used("dagster._core.launcher.base.CheckRunHealthResult", "what run monitoring is answered", ("status", "msg")),
    Used("dagster._core.launcher.base.WorkerStatus", "the same", (".RUNNING", ".SUCCESS", ".FAILED", ".NOT_FOUND", ".UNKNOWN")),
    Used("dagster._core.errors.DagsterLaunchFailedError", "says that a launch failed"),
    Used("dagster._core.errors.DagsterUserCodeUnreachableError", "the code server cannot be asked"),
    Used(f"{_STORAGE}.tags.GRPC_INFO_TAG", "marks a run that the code server started"),
    Used("dagster._grpc.client.DagsterGrpcClient", "asks the code server whether it has a run", (".can_cancel_execution",)),
    Used("dagster._grpc.types.CanCancelExecutionRequest", "the question", ("run_id",)),
    Used("dagster._grpc.types.CanCancelExecutionResult", "the answer", (".can_cancel",)),
    Used("dagster._serdes.deserialize_value", "reads the answer; and what Dagster hands to tasks and containers", ("val", "as_type")),
    Used("dagster._serdes.ConfigurableClassData", "what a class that `dagster.yaml` names is made from"),
    Used(f"{_INSTANCE}.add_run_tags", "writes down which process has a run, and what became of its promotion", ("run_id", "new_tags")),
    Used(f"{_INSTANCE}.report_run_canceling", "the first half of a cancellation", ("run",)),
    Used(f"{_INSTANCE}.run_monitoring_enabled", "whether somebody gives up on a run that does not start"),
    Used(f"{_INSTANCE}.run_monitoring_start_timeout_seconds", "and when"),
    # Queueing and submitting.
    Used("dagster._core.run_coordinator.QueuedRunCoordinator", "the queue that ours extends", (".submit_run",)),
    Used("dagster._core.run_coordinator.SubmitRunContext", "what a coordinator is called with", (".dagster_run", ".workspace")),
    Used("dagster._utils.tags.TagConcurrencyLimitsCounter", "Dagster's own rule for the limits of tags", (".is_blocked",)),
    Used(f"{_INSTANCE}.get_concurrency_config", "the limits of `dagster.yaml`"),
    Used(f"{_INSTANCE}.report_dagster_event", "writes that a run starts", ("dagster_event", "run_id")),
    Used(f"{_INSTANCE}.run_launcher", "starts a run without the queue"),
    Used(f"{_INSTANCE}.submit_run", "submits a run of the outbox", ("run_id", "workspace")),
    Used(
        f"{_INSTANCE}.create_run_for_job",
        "makes a run under its deterministic id",
        ("job_def", "run_id", "run_config", "tags", "status", "remote_job_origin", "job_code_origin"),
    ),
    Used("dagster._core.errors.DagsterRunAlreadyExists", "another submitter was quicker"),
    Used("dagster._core.code_pointer.CodePointer", "where a run's process finds the definitions", (".from_module",)),
    Used("dagster._core.origin.JobPythonOrigin", "the same", ("job_name", "repository_origin")),
    Used("dagster._core.origin.RepositoryPythonOrigin", "the same", ("executable_path", "code_pointer", "entry_point")),
    Used("dagster._core.remote_origin.CodeLocationOrigin", "where the daemon and the UI find the job"),
    Used("dagster._core.remote_origin.GrpcServerCodeLocationOrigin", "the same", ("host", "socket", "location_name")),
    Used("dagster._core.remote_origin.RemoteJobOrigin", "the same", ("repository_origin", "job_name")),
    Used("dagster._core.remote_origin.RemoteRepositoryOrigin", "the same", ("code_location_origin", "repository_name")),
    Used("dagster._core.workspace.context.BaseWorkspaceRequestContext", "a type, for a call that needs no workspace"),
    Used("dagster._core.definitions.reconstruct.ReconstructableRepository", "loads the jobs in the submitter", (".get_definition",)),
    Used("dagster._daemon", "`python -m`: the daemon's program"),
    # What steps print.
    Used(
        f"{_STORAGE}.local_compute_log_manager.LocalComputeLogManager",
        "the files that ours writes too",
        (".capture_logs", ".get_captured_local_path", ".complete_artifact_path"),
    ),
    Used(f"{_STORAGE}.local_compute_log_manager.IO_TYPE_EXTENSION", "their names"),
    Used(f"{_STORAGE}.compute_log_manager.CapturedLogContext", "what capturing gives its caller", ("log_key",)),
    Used(f"{_STORAGE}.compute_log_manager.ComputeIOType", "output or errors", (".STDOUT", ".STDERR")),
    Used("dagster._core.execution.compute_logs.redirect_to_file", "sends a stream into a file", ("stream", "filepath")),
    Used("dagster._config.config_schema.UserConfigSchema", "a type"),
    # Storage.
    Used(f"{_STORAGE}.base_storage.DagsterStorage", "the three storages as one", (".event_log_storage", ".run_storage", ".schedule_storage")),
    Used("dagster._serdes.ConfigurableClass", "a class that `dagster.yaml` may name"),
    Used(f"{_STORAGE}.sqlite_storage.DagsterSqliteStorage", "Dagster's SQLite storage, which ours extends"),
    Used(f"{_STORAGE}.runs.sqlite.sqlite_run_storage.SqliteRunStorage", "the same", (".from_local", ".connect")),
    Used(f"{_STORAGE}.schedules.sqlite.sqlite_schedule_storage.SqliteScheduleStorage", "the same", (".from_local", ".connect")),
    Used(
        f"{_STORAGE}.event_log.sqlite.sqlite_event_log.SqliteEventLogStorage",
        "the same",
        ("._connect", "._initdb", ".path_for_shard", ".conn_string_for_shard", ".delete_events", ".dispose"),
    ),
    Used(f"{_STORAGE}.event_log.sqlite.sqlite_event_log.INDEX_SHARD_NAME", "the file with the events of assets and of runs' states"),
    Used(f"{_STORAGE}.sqlite.create_db_conn_string", "the URL of one of its files", ("base_dir", "db_name")),
    Used("dagster_postgres.event_log.PostgresEventLogStorage", "Dagster's PostgreSQL storage, which ours extends"),
    Used("dagster_postgres.run_storage.PostgresRunStorage", "the same"),
    Used("dagster_postgres.schedule_storage.PostgresScheduleStorage", "the same"),
    Used("dagster_postgres.utils", "the place of its migrations"),
    Used(f"{_STORAGE}.event_log.SqlEventLogStorageMetadata", "the tables, created at one stroke", (".create_all",)),
    Used(f"{_STORAGE}.runs.RunStorageSqlMetadata", "the same", (".create_all",)),
    Used(f"{_STORAGE}.schedules.ScheduleStorageSqlMetadata", "the same", (".create_all",)),
    Used(f"{_STORAGE}.sql.get_alembic_config", "Dagster's migrations", ("dunder_file", "config_path")),
    Used(f"{_STORAGE}.sql.stamp_alembic_rev", "marks new tables as up to date", ("alembic_config", "conn")),
    Used(f"{_INSTANCE}.run_storage", "creating, upgrading and cleaning up"),
    Used(f"{_INSTANCE}.event_log_storage", "the same; and what the UI counts"),
    Used(f"{_INSTANCE}.schedule_storage", "the same"),
    Used(f"{_INSTANCE}.compute_log_manager", "deletes what the steps of old runs printed"),
    Used(f"{_INSTANCE}.get_runs", "makes SQLite create its files"),
    Used(f"{_INSTANCE}.all_instigator_state", "the same"),
    Used(f"{_INSTANCE}.upgrade", "Dagster's own migrations"),
    Used(f"{_INSTANCE}.reindex", "the same"),
    Used(f"{_INSTANCE}.root_directory", "where the files of the instance are"),
    # Assets and checks.
    Used(f"{_STORAGE}.asset_check_execution_record.COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES", "the newest result of a check"),
    Used(f"{_INSTANCE}.get_latest_materialization_events", "what an asset's page shows now", ("asset_keys",)),
    Used(f"{_INSTANCE}.get_event_tags_for_asset", "whether a release was reported before", ("asset_key",)),
    Used(f"{_INSTANCE}.get_materialized_partitions", "the same", ("asset_key",)),
    # Shards on Celery.
    Used("dagster._core.events.DagsterEvent", "what a shard's task says", ()),
    Used("dagster._core.execution.retries.RetryMode", "the retries of a step", ()),
)


def table() -> str:
    """The list, as the documentation shows it."""
    return "\n".join(("| Name | Parts | Used for |", "|---|---|---|", *(used.row() for used in SURFACE)))


if __name__ == "__main__":
    print(table())
