"""`docs/analysis.md` as a notebook: its cells are run one after the other, and what they print is put below them.

`python -m tests.support.analysis_page` writes the page anew, with what the cells print now and the columns as they are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from assets.publishing import publish_packets, publish_releases
from assets.release_proofs import release_proofs
from stella_pipelines.core.settings import DATABASE_VARIABLE, HOME_VARIABLE
from stella_pipelines.evidence.frames.columns import DTYPES, Column
from stella_pipelines.evidence.frames.decisions import DECISIONS, GATES
from stella_pipelines.evidence.frames.deployments import DEPLOYMENTS
from stella_pipelines.evidence.frames.lineage import LINEAGE
from stella_pipelines.evidence.frames.runs import RUNS
from stella_pipelines.evidence.log.service import Log
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.evidence.verify import VerifiedPacket, verify_packet
from stella_pipelines.promotions.affected import AFFECTED
from tests.support.analysed_shop import analysed_shop
from tests.support.evidence import signing_key
from tests.support.installation import fast_home, small_installation

PAGE = Path(__file__).parents[2] / "docs" / "analysis.md"
CELL = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<printed>.*?)^```\n)?", re.MULTILINE | re.DOTALL)
COLUMNS = "## Columns\n"
_FRAMES: dict[str, Sequence[Column]] = {
    "decisions": DECISIONS,
    "gates": GATES,
    "deployments": DEPLOYMENTS,
    "runs and where": RUNS,
    "lineage": LINEAGE,
    "affected": AFFECTED,
}


@contextlib.contextmanager
def analysts_installation() -> Iterator[None]:
    """The environment of somebody who sits at an installation with a history, which the catalogue shows too."""
    with fast_home() as home, small_installation(home) as stella:
        shop = analysed_shop(stella.plane.store)
        shop.hours(1)
        plane = dataclasses.replace(stella.plane, clock=shop.installation.clock, evidence=shop.installation.evidence)

        def verified(packet: SealedPacket) -> VerifiedPacket:
            return verify_packet(packet.envelope, [plane.evidence.public_pem])

        Log(plane.store, signing_key(), plane.clock).take_in()
        publish_releases(stella.instance, plane.releases.list()[::-1], release_proofs(plane, verified))
        publish_packets(plane, stella.instance, lambda packet: verified(packet).statement, {})
        environ = {HOME_VARIABLE: str(home), "DAGSTER_HOME": str(home / "dagster")}
        with mock.patch.dict(os.environ, environ):
            os.environ.pop(DATABASE_VARIABLE, None)
            yield


def as_run(page: str) -> str:
    """The page with what its cells print, and with the columns as they are."""
    names: dict[str, Any] = {}
    story, _, rest = page.partition(COLUMNS)
    introduction = rest.split("\n### ")[0].strip()
    return f"{CELL.sub(lambda cell: _run(cell, names), story)}{COLUMNS}\n{introduction}\n{_columns()}"


def _run(cell: re.Match[str], names: dict[str, Any]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(cell["code"], "analysis.md", "exec"), names)
    shown = f"```python\n{cell['code']}```\n"
    if cell["printed"] is None:
        assert printed.getvalue() == "", "a cell without a place for what it prints"
        return shown
    lines = "\n".join(line.rstrip() for line in printed.getvalue().splitlines())
    return f"{shown}\n```text\n{lines}\n```\n"


def _columns() -> str:
    tables = []
    for title, columns in _FRAMES.items():
        lines = [f"| `{column.name}` | `{DTYPES[column.kind]}` | {column.about} |" for column in columns]
        tables.append("\n".join([f"\n### {title}\n", "| Column | Type | Meaning |", "| --- | --- | --- |", *lines]))
    return "\n".join(tables) + "\n"


def main() -> None:
    """Write the page anew."""
    with analysts_installation():
        PAGE.write_text(as_run(PAGE.read_text()))


if __name__ == "__main__":
    main()
