"""The log of a process that runs for months stays small, without a restart, and without losing where it was."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from stella_pipelines.supervisor import process
from stella_pipelines.supervisor.process import SupervisedProcess

TALKING = "import sys, time\nfor number in range(100000):\n    print(f'line {number:06}', flush=True)\n    time.sleep(0.002)\n"


def test_a_log_that_has_grown_is_emptied_in_place_and_one_older_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOG_BYTES_MAX", 600)
    talking = SupervisedProcess("talking", [sys.executable, "-c", TALKING], {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, tmp_path)
    talking.start()
    try:
        deadline = time.monotonic() + 20
        older = talking.log_path.with_suffix(".log.1")
        while not older.exists() or talking.log_path.stat().st_size < 100:
            assert talking.keep_alive(time.monotonic()) is False
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert older.read_text().startswith("line ")
        newest = talking.log_path.read_bytes()
        assert newest.startswith(b"line "), "the process appends: no gap of zeros where it was"
        assert newest.splitlines()[0] > older.read_bytes().splitlines()[0]
        assert talking.restarts == 0
    finally:
        talking.finish(time.monotonic())
