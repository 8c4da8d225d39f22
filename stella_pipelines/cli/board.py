"""The environment × release board: what each environment runs, as last observed, in promotion order."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from rich.markup import escape

from stella_pipelines.cli.observed import what_runs
from stella_pipelines.cli.output import Output, ago, styled
from stella_pipelines.cli.unfinished import Unfinished, as_unfinished, told
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.clock import Instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.values import Value
from stella_pipelines.deployments.model import EnvironmentObservation
from stella_pipelines.deployments.overview import Standing
from stella_pipelines.environments.model import Environment
from stella_pipelines.promotions.promotion import Promotion
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
    """Every environment of the estate: what was proven, what was seen, its live promotion, and what has not ended.

    A fixed number of statements, however many environments there are and however long their history is.
    """
    estate, _ = plane.environments.current()
    standings = plane.deployments.standings([environment.name for environment in estate.environments])
    releases = plane.releases.by_digests({digest for standing in standings.values() for digest in _digests(standing)})
    live = {promotion.environment: promotion for promotion in plane.promotions.all_live()}
    return [_row(environment, standings[environment.name], releases, live.get(environment.name)) for environment in estate.environments]


def _row(environment: Environment, standing: Standing, releases: Mapping[Digest, ReleaseRecord], live: Promotion | None) -> BoardRow:
    proven, glance = standing.proven, standing.glance
    release = releases[proven.release_digest] if proven else None
    seen_at = glance.observed_at if glance else None
    return BoardRow(
        environment=environment.name,
        runs=what_runs(release, standing.look, environment.components, releases.get),
        release=release.label if release else None,
        release_digest=proven.release_digest if proven else None,
        deployed_at=proven.ended_at if proven else None,
        healthy=standing.healthy,
        observed_at=(seen_at or proven.ended_at) if proven else None,
        promotion=live,
        unfinished=as_unfinished(standing.unfinished, standing.worked_on) if standing.unfinished else None,
    )


def _digests(standing: Standing) -> set[Digest]:
    """Every release that the environment's line may name."""
    proven = {standing.proven.release_digest} if standing.proven else set()
    return proven | digests_in(standing.look) if standing.look else proven


def digests_in(seen: EnvironmentObservation) -> set[Digest]:
    """Every release that a look may name: the one that was expected, and what the targets claim to run."""
    answers = [target.observation for target in seen.targets if target.observation is not None]
    claimed = {found.release_digest for answer in answers for found in answer.components if found.release_digest is not None}
    return claimed | ({seen.release_digest} if seen.release_digest else set())


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
