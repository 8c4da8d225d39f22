"""What the runner does once, so that no run has to: imports, and what Dagster and its libraries work out at first use.

Everything here comes from files that are watched (`staleness.py`) or from nothing: no database of the installation is opened, and what is
opened is closed again, because children inherit what their parent has open.
"""

from __future__ import annotations

import contextlib
import importlib
import tempfile
from pathlib import Path
from typing import Any, Final

import dagster as dg
from alembic.config import Config
from alembic.script import ScriptDirectory

from assets.catalogue import Catalogue
from stella_pipelines.connectors.selection import ConnectorKindUnknown, declarations, loaded
from stella_pipelines.jobs.submission import DEFINITIONS_MODULE
from stella_pipelines.jobs.warm.execution import instance_ref
from stella_pipelines.promotions.gates.registry import gate_kinds

PRELOADED: Final = ("sqlalchemy.dialects.postgresql.psycopg2", "dagster_postgres", "dagster._core.workspace.autodiscovery")
"""What a run imports, and neither the definitions nor a rehearsal do."""
SILENT: Final[dict[str, Any]] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_read_revisions: Final = ScriptDirectory.from_config
_revisions: dict[str, ScriptDirectory] = {}


def warm_up() -> None:
    """All of it."""
    for module in PRELOADED:
        importlib.import_module(module)
    _import_what_the_instance_names()
    _import_plugins()
    _remember_revisions()
    _build_jobs()
    _rehearse()


def _import_plugins() -> None:
    """The kinds of gates and connectors that are installed. One that cannot be loaded is a finding of the run that needs it."""
    gate_kinds()
    for declaration in declarations():
        with contextlib.suppress(ConnectorKindUnknown):
            loaded(declaration)


def _import_what_the_instance_names() -> None:
    """The classes of `dagster.yaml`: a run asks for the coordinator, which is to know the launcher, which is to know gRPC."""
    ref = instance_ref()
    for named in (ref.storage_data, ref.run_coordinator_data, ref.run_launcher_data, ref.compute_logs_data):
        if named is not None:
            with contextlib.suppress(ImportError):  # the run itself will say it, in its log
                importlib.import_module(named.module_name)


def _remember_revisions() -> None:
    """Each storage that is opened may compare its schema with Dagster's 88 files of migrations, and reads all of them for it: 20 ms each time."""
    setattr(ScriptDirectory, "from_config", staticmethod(_remembered))  # noqa: B010  # a method is replaced, which mypy would not have


def _remembered(config: Config) -> ScriptDirectory:
    settings = config.get_section(config.config_ini_section) or {}
    known_by = repr((config.config_file_name, sorted(settings.items())))
    if known_by not in _revisions:
        _revisions[known_by] = _read_revisions(config)
    return _revisions[known_by]


def _build_jobs() -> None:
    """A job works out its types and its configuration once, and keeps them; jobs do not depend on the store."""
    # By its name, as a run finds it: the definitions stand above the jobs.
    definitions: dg.Definitions = importlib.import_module(DEFINITIONS_MODULE).definitions(Catalogue())
    repository = definitions.get_repository_def()
    for name in repository.job_names:
        repository.get_job(name)


@dg.op
def nothing() -> None:
    """Of the rehearsal."""


@dg.job(executor_def=dg.in_process_executor)
def rehearsal() -> None:
    """A run of nothing."""
    nothing()


def _rehearse() -> None:
    """Carry a run out from end to end, on an instance that is thrown away: whatever a run needs for the first time is then there."""
    with tempfile.TemporaryDirectory(prefix="stella-rehearsal-") as folder:
        (Path(folder) / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        with dg.DagsterInstance.from_config(folder) as instance:
            rehearsal.execute_in_process(instance=instance, run_config=SILENT)
