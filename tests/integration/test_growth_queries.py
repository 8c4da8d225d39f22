"""Pages and questions that are asked again and again send as many statements on a long history as on a short one, and find their rows by an index."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assets.catalogue import read_catalogue
from benchmarks.history import fill
from benchmarks.history_shape import Size
from stella_pipelines.cli.app import run
from stella_pipelines.cli.exits import Exit
from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.settings import Settings
from stella_pipelines.deployments import records
from stella_pipelines.deployments.history import in_use
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.jobs.backoff import REST_S_MAX
from stella_pipelines.jobs.recovery import reevaluate_due
from stella_pipelines.store import outbox
from tests.support.databases import Databases
from tests.support.statements import Statement, recorded

TARGETS = (1, 1, 2, 2, 3)
NOW = datetime.now(UTC)
SHORT = Size(products=2, releases=10, promotions=60, targets=TARGETS, ends_at=NOW)
LONG = Size(products=2, releases=200, promotions=1200, targets=TARGETS, ends_at=NOW)
WIDE = Size(products=4, releases=20, promotions=120, targets=TARGETS, ends_at=NOW)
HISTORY = ("promotions", "promotion_evaluations", "gate_results", "deployments", "deployment_ledger", "evidence_packets", "evidence_subjects")
HISTORY += ("audit_entries", "releases", "outbox", "blobs")
NEVER_PROMOTED = "sha256:" + "0" * 64

COMMANDS = (
    "status",
    "status shop0_dev",
    "status shop1_prod --all",
    "promotion list",
    "promotion list --environment shop0_dev --limit 5",
    "release list",
    "release list --name shop0",
    "evidence list",
    "evidence list --environment shop0_dev --kind deployment",
    "evidence list --kind decision",
    "audit list",
    "audit list --subject estate",
)


def _proven_there(plane: ControlPlane) -> object:
    with plane.store.reading() as tx:
        return records.newest_proven(tx, "shop0_dev", release=NEVER_PROMOTED)  # type: ignore[arg-type]


def _outbox(plane: ControlPlane) -> object:
    with plane.store.reading() as tx:
        return outbox.due(tx, plane.clock.now(), REST_S_MAX, 100), outbox.latest(tx, "promotion", "prm_none")


def _in_use(plane: ControlPlane) -> object:
    with plane.store.reading() as tx:
        return in_use(tx)


QUESTIONS: dict[str, Callable[[ControlPlane], object]] = {
    "catalogue": read_catalogue,
    "due_for_look": lambda plane: plane.deployments.due_for_look(),
    "due_for_reevaluation": reevaluate_due,
    "in_use": _in_use,
    "live": lambda plane: plane.promotions.all_live(),
    "newest_deployments": lambda plane: plane.deployments.list(limit=20),
    "newest_identities": lambda plane: plane.releases.newest_identities(1_000),
    "outbox": _outbox,
    "proven_there": _proven_there,
    "unfinished": lambda plane: plane.deployments.unfinished(),
}


@pytest.fixture(scope="module")
def histories(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, Size], Settings]]:
    """An installation with so long a history, made when it is first wanted."""
    made: dict[tuple[str, Size], tuple[Settings, object]] = {}

    def get(kind: str, size: Size) -> Settings:
        if (kind, size) not in made:
            database = databases.fresh(kind)
            home = tmp_path_factory.mktemp("home")
            settings = Settings(home=home, database_url=database.__enter__())
            with open_control_plane(settings) as plane:
                fill(plane, size, FileKey.load_or_create(settings.signing_key_path), progress=lambda line: None)
            made[kind, size] = settings, database
        return made[kind, size][0]

    yield get
    for _, database in made.values():
        database.__exit__(None, None, None)  # type: ignore[attr-defined]


def of_command(settings: Settings, command: str, monkeypatch: pytest.MonkeyPatch) -> list[Statement]:
    monkeypatch.setenv("STELLA_HOME", str(settings.home))
    monkeypatch.setenv("STELLA_DATABASE_URL", settings.database_url)
    with recorded() as found:
        assert run(command.split()) is Exit.DONE
    return found


def of_question(settings: Settings, name: str) -> list[Statement]:
    with open_control_plane(settings) as plane, recorded() as found:
        QUESTIONS[name](plane)
    return found


def normal(statements: list[Statement]) -> list[str]:
    """The texts, without how many values are in a list of them."""
    return [re.sub(r"\((?:[^()]*(?:\?|%\(\w+\)s)[^()]*,?\s*)+\)", "(…)", one.text) for one in statements]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_of_a_long_history_asks_as_often_as_one_of_a_short_one(
    command: str, histories: Callable[[str, Size], Settings], database_kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short, long = (of_command(histories(database_kind, size), command, monkeypatch) for size in (SHORT, LONG))
    assert 0 < len(short) <= 25
    assert len(long) <= len(short) + 1  # the count of older rows, where a list is longer than a page


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_is_asked_every_few_seconds_asks_as_often_on_a_long_history(name: str, histories: Callable[[str, Size], Settings], database_kind: str) -> None:
    short, long = (of_question(histories(database_kind, size), name) for size in (SHORT, LONG))
    assert 0 < len(short) == len(long) <= 12


@pytest.mark.parametrize("command", ["status", "release list", "evidence list"])
def test_a_page_asks_as_often_about_twenty_environments_as_about_ten(
    command: str, histories: Callable[[str, Size], Settings], database_kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ten, twenty = (of_command(histories(database_kind, size), command, monkeypatch) for size in (SHORT, WIDE))
    assert len(ten) == len(twenty)


@pytest.mark.parametrize("what", [*COMMANDS, *QUESTIONS])
def test_no_row_of_history_is_read_without_an_index_and_none_is_sorted(
    what: str, histories: Callable[[str, Size], Settings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SQLite chooses without knowing how many rows there are, so a small history tells how a large one is read."""
    settings = histories("sqlite", SHORT)
    statements = of_question(settings, what) if what in QUESTIONS else of_command(settings, what, monkeypatch)
    with open_control_plane(settings) as plane, plane.store.reading() as tx:
        plans = {one.text: one.plan(tx.connection) for one in statements if one.text.lstrip().upper().startswith(("SELECT", "WITH"))}
    assert plans
    assert {text: step for text, plan in plans.items() for step in plan if _reads_all(step, text) or _sorts_history(step, plan)} == {}


def _reads_all(step: str, text: str) -> bool:
    """Whether a step goes through a table of history. The audit trail lies in its own order, so its newest rows are found without an index."""
    table = step.removeprefix("SCAN ").split()[0] if step.startswith("SCAN ") and "INDEX" not in step else ""
    return table in HISTORY and not (table == "audit_entries" and "ORDER BY audit_entries.position DESC" in text and "LIMIT" in text)


def _sorts_history(step: str, plan: list[str]) -> bool:
    """Whether rows are sorted of which nobody says how many there are. A few that were found by their keys may be."""
    return "TEMP B-TREE" in step and any(one.startswith("SCAN ") and one.split()[1] in HISTORY and "uq_promotions_live" not in one for one in plan)


def test_pages_follow_each_other_without_a_gap_and_end(
    histories: Callable[[str, Size], Settings], database_kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = histories(database_kind, SHORT)
    monkeypatch.setenv("STELLA_HOME", str(settings.home))
    monkeypatch.setenv("STELLA_DATABASE_URL", settings.database_url)

    def all_of(what: str, name: Callable[[dict[str, object]], str]) -> list[str]:
        seen: list[str] = []
        while True:
            assert run(["--json", *what.split(), "--limit", "7", *(["--before", seen[-1]] if seen else [])]) is Exit.DONE
            page = json.loads(capsys.readouterr().out)
            seen += [name(one) for one in page]
            if not page:
                return seen

    with open_control_plane(settings) as plane, plane.store.reading() as tx:
        packets = [one.id for one in plane.evidence.list(tx, limit=1000)]
        in_dev = [one.id for one in plane.evidence.list(tx, environment="shop0_dev", limit=1000)]
    promotions = [one.id for one in open_control_plane(settings).promotions.list(limit=1000)]
    assert all_of("evidence list", lambda one: str(one["id"])) == packets
    assert all_of("evidence list --environment shop0_dev", lambda one: str(one["id"])) == in_dev
    assert all_of("promotion list", lambda one: str(one["id"])) == promotions
    assert len(set(all_of("audit list", lambda one: str(one["id"])))) > len(promotions)
    releases = all_of("release list", lambda one: f"{one['release']['name']}-{one['release']['version']}")  # type: ignore[index]
    assert len(releases) == len(set(releases)) == SHORT.releases


def test_a_list_says_how_many_older_ones_there_are_and_counts_no_further_than_a_thousand(
    histories: Callable[[str, Size], Settings], database_kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = {}
    for size in (SHORT, LONG):
        settings = histories(database_kind, size)
        monkeypatch.setenv("STELLA_HOME", str(settings.home))
        monkeypatch.setenv("STELLA_DATABASE_URL", settings.database_url)
        assert run(["promotion", "list", "--limit", "10"]) is Exit.DONE
        said[size] = capsys.readouterr().out.splitlines()[-1]
    assert said[SHORT].startswith("50 older. The next ones: the same command with --before prm_")
    assert said[LONG].startswith("More than 1,000 older.")
