"""Carries out one run in a process that a launcher of Dagster's own started somewhere else: in a container (Docker) or a task (ECS).

`python -m stella_pipelines.jobs.elsewhere … api execute_run ARGUMENTS` is put before the command that such a launcher makes. Dagster's own
`execute_run` would not notice that its run was ended meanwhile, and write SUCCESS over FAILURE; this one does what a run of the runner does
(`execution.py`). To resume a run is refused: it would replay steps that took effect.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import dagster as dg
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import deserialize_value

from stella_pipelines.jobs.warm.execution import execute_run, instance_ref

ORDER: Final = ("api", "execute_run")
REFUSED: Final = 64


def main(command: Sequence[str]) -> int:
    """The exit code: 0 only when the run has ended and Dagster knows how. A launcher asks for nothing else when a container is gone."""
    if tuple(command[-3:-1]) != ORDER:
        print(f"{' '.join(command[-3:-1]) or 'nothing'} is not done here; a run is executed once, and a new attempt follows one that died", file=sys.stderr)
        return REFUSED
    run_id = deserialize_value(command[-1], ExecuteRunArgs).run_id
    code = execute_run(run_id)
    with dg.DagsterInstance.from_ref(instance_ref()) as instance:
        run = instance.get_run_by_id(run_id)
        return code if run is None or run.is_finished else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
