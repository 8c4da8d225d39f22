"""Run the benchmarks, print a table, and write `build/bench.json`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from benchmarks.deploy_overhead import deploy_overhead
from benchmarks.evidence_verify import evidence_verify
from benchmarks.growth import growth
from benchmarks.idle import idle
from benchmarks.log_appends import log_appends
from benchmarks.reaction import reaction
from benchmarks.row import Row
from benchmarks.run_start import run_start

BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "deploy_overhead": deploy_overhead,
    "evidence_verify": evidence_verify,
    "idle": idle,
    "log_appends": log_appends,
    "reaction": reaction,
    "run_start": run_start,
}
ONLY_ALONE: dict[str, Callable[[], list[Row]]] = {"growth": growth}
"""Too long for a plain `make bench`."""
RESULT = Path("build/bench.json")


def main() -> None:
    """Parse the command line and run what it names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=sorted(BENCHMARKS | ONLY_ALONE), help="run one benchmark")
    only = parser.parse_args().only
    chosen = BENCHMARKS if only is None else {only: (BENCHMARKS | ONLY_ALONE)[only]}
    rows = [row for measure in chosen.values() for row in measure()]
    _print(rows)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps([row.document() for row in rows], indent=2) + "\n")


def _print(rows: list[Row]) -> None:
    table = Table(Column("BENCHMARK", no_wrap=True), "VALUE", "UNIT", "PEER", "PEER'S VALUE", "RATIO", box=None, header_style="bold")
    for row in rows:
        table.add_row(row.name, f"{row.value:.2f}", row.unit, row.peer, f"{row.peer_value:.2f}", f"{row.ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
