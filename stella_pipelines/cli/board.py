"""The environment × release board: what each environment runs, as last observed, in promotion order."""

from __future__ import annotations

from datetime import datetime

from rich.markup import escape

from stella_pipelines.cli.observed import what_runs
from stella_pipelines.cli.output import Output, ago, styled
from stella_pipelines.cli.unfinished import Unfinished, told, unfinished_in
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.environments.model import Environment
from stella_pipelines.promotions.promotion import Promotion
from stella_pipelines.releases.errors import ReleaseMissing
from stella_pipelines.releases.model import ReleaseRecord


class BoardRow(Value):
    """One environment's line on the board. `release` is what was proven last; `runs` says what the newest look showed, if it is something else."""

    environment: str
    runs: str
    release: str | None
    release_digest: str | None
    deployed_at: Instant | None
    healthy: bool | None
    observed_at: Instant | None
    promotion: Promotion | None
    unfinished: Unfinished | None


def board(plane: ControlPlane) -> list[BoardRow]:
    """Every environment of the estate: what was proven, what was seen, its live promotion, and what has not ended."""
    estate, _ = plane.environments.current()
    return [_row(plane, environment) for environment in estate.environments]


def _row(plane: ControlPlane, environment: Environment) -> BoardRow:
    proven = plane.deployments.newest_proven(environment.name)
    release = plane.releases.by_digest(proven.release_digest) if proven else None
    seen = plane.deployments.last_observation(environment.name)
    return BoardRow(
        environment=environment.name,
        runs=what_runs(release, seen, environment.components, lambda digest: release_of(plane, digest)),
        release=release.label if release else None,
        release_digest=proven.release_digest if proven else None,
        deployed_at=proven.deployed_at if proven else None,
        healthy=proven.healthy if proven else None,
        observed_at=proven.observed_at if proven else None,
        promotion=plane.promotions.live(environment.name),
        unfinished=unfinished_in(plane, environment.name),
    )


def release_of(plane: ControlPlane, digest: Digest) -> ReleaseRecord | None:
    """The release that a target names; one of another installation is not known here."""
    try:
        return plane.releases.by_digest(digest)
    except ReleaseMissing:
        return None


def show_board(output: Output, rows: list[BoardRow], now: datetime) -> None:
    """The board as a table. Health is only as good as the last look, so the look's age stands beside it."""
    cells = []
    for row in rows:
        live = f"{escape(row.promotion.release_label)} {styled(row.promotion.state.value)}" if row.promotion else "–"
        identity = row.release_digest.removeprefix("sha256:")[:12] if row.release_digest and row.runs == row.release else "–"
        runs = escape(row.runs) if row.runs == row.release or row.release_digest is None else f"[yellow]{escape(row.runs)}[/]"
        cells.append((f"[bold]{escape(row.environment)}[/]", runs, identity, _health(row, now), live))
    output.table("", ("ENVIRONMENT", "RUNS", "IDENTITY", "HEALTH", "PROMOTION"), cells, ids=("ENVIRONMENT", "IDENTITY"))
    for row in rows:
        if row.unfinished is not None:
            output.say(told(row.unfinished, now))
        elif row.healthy is False:
            output.say(
                f"[red]{escape(row.environment)} is unhealthy.[/] Why, on which target, and the way out: [bold]stella status {escape(row.environment)}[/]"
            )


def _health(row: BoardRow, now: datetime) -> str:
    if row.healthy is None or row.observed_at is None:
        return "–"
    return f"{styled('healthy' if row.healthy else 'unhealthy')} {ago(row.observed_at, now)}"
