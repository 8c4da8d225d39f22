"""The environment × release board: what each environment runs, as last observed, in promotion order."""

from __future__ import annotations

from rich.markup import escape

from stella_pipelines.cli.output import Output, styled, when
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.values import Value
from stella_pipelines.promotions.promotion import Promotion


class BoardRow(Value):
    """One environment's line on the board."""

    environment: str
    release: str | None
    release_digest: str | None
    deployed_at: str | None
    healthy: bool | None
    observed_at: str | None
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
                deployed_at=when(proven.deployed_at) if proven else None,
                healthy=proven.healthy if proven else None,
                observed_at=when(proven.observed_at) if proven else None,
                promotion=plane.promotions.live(environment.name),
            )
        )
    return rows


def show_board(output: Output, rows: list[BoardRow]) -> None:
    """The board as a table."""
    cells = []
    for row in rows:
        health = "–" if row.healthy is None else styled("healthy" if row.healthy else "unhealthy")
        live = f"{escape(row.promotion.release_label)} {styled(row.promotion.state.value)}" if row.promotion else "–"
        identity = row.release_digest.removeprefix("sha256:")[:12] if row.release_digest else "–"
        cells.append((f"[bold]{escape(row.environment)}[/]", escape(row.release or "nothing yet"), identity, health, row.observed_at or "–", live))
    output.table("", ("ENVIRONMENT", "RUNS", "IDENTITY", "HEALTH", "OBSERVED", "PROMOTION"), cells)
