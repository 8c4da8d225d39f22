"""The environment × release board: what each environment runs, as last observed, in promotion order."""

from __future__ import annotations

from datetime import datetime

from rich.markup import escape

from stella_pipelines.cli.output import Output, ago, styled
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.clock import Instant
from stella_pipelines.core.values import Value
from stella_pipelines.promotions.promotion import Promotion


class BoardRow(Value):
    """One environment's line on the board."""

    environment: str
    release: str | None
    release_digest: str | None
    deployed_at: Instant | None
    healthy: bool | None
    observed_at: Instant | None
    promotion: Promotion | None


def board(plane: ControlPlane) -> list[BoardRow]:
    """Every environment of the estate with its newest proven deployment and its live promotion."""
    estate, _ = plane.environments.current()
    rows = []
    for environment in estate.environments:
        proven = plane.deployments.newest_proven(environment.name)
        rows.append(
            BoardRow(
                environment=environment.name,
                release=plane.releases.by_digest(proven.release_digest).label if proven else None,
                release_digest=proven.release_digest if proven else None,
                deployed_at=proven.deployed_at if proven else None,
                healthy=proven.healthy if proven else None,
                observed_at=proven.observed_at if proven else None,
                promotion=plane.promotions.live(environment.name),
            )
        )
    return rows


def show_board(output: Output, rows: list[BoardRow], now: datetime) -> None:
    """The board as a table. Health is only as good as the last look, so the look's age stands beside it."""
    cells = []
    for row in rows:
        live = f"{escape(row.promotion.release_label)} {styled(row.promotion.state.value)}" if row.promotion else "–"
        identity = row.release_digest.removeprefix("sha256:")[:12] if row.release_digest else "–"
        cells.append((f"[bold]{escape(row.environment)}[/]", escape(row.release or "nothing yet"), identity, _health(row, now), live))
    output.table("", ("ENVIRONMENT", "RUNS", "IDENTITY", "HEALTH", "PROMOTION"), cells)


def _health(row: BoardRow, now: datetime) -> str:
    if row.healthy is None or row.observed_at is None:
        return "–"
    return f"{styled('healthy' if row.healthy else 'unhealthy')} {ago(row.observed_at, now)}"
