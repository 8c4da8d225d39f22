"""What a run's steps print goes into the files that the UI shows, and nowhere else.

Dagster's own manager also copies it to the process's output, by four more processes per run, two of them Python: they cost more than an evaluation.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from dagster import StringSource
from dagster._config.config_schema import UserConfigSchema
from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION, LocalComputeLogManager
from dagster._serdes import ConfigurableClassData


class QuietComputeLogManager(LocalComputeLogManager):
    """The same files in the same places as Dagster's, written without a copy."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """The folder of the instance; the files stand below its `storage`."""
        return {"home": StringSource}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Dagster's way of making what `dagster.yaml` names."""
        return cls(base_dir=str(Path(config_value["home"]) / "storage"), inst_data=inst_data)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Generator[CapturedLogContext, None, None]:
        """Send the process's output and errors to the step's files until the block ends; a third file then says that they are whole."""
        printed, complained = (self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[kind]) for kind in (ComputeIOType.STDOUT, ComputeIOType.STDERR))
        Path(printed).parent.mkdir(parents=True, exist_ok=True)
        with redirect_to_file(sys.stdout, printed), redirect_to_file(sys.stderr, complained):
            yield CapturedLogContext(log_key)
        Path(self.complete_artifact_path(log_key)).touch()  # type: ignore[no-untyped-call]  # Dagster's own method has no annotations
