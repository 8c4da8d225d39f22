"""The documented PostgreSQL variant of the Dagster instance, on a real server: what we use of it works there too."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from assets.keys import release_key
from assets.publishing import publish_release
from stella_pipelines.control_plane import open_control_plane
from stella_pipelines.core.settings import Settings
from stella_pipelines.jobs.submission import run_id_of, submit_pending
from tests.support.dagster_postgres import point_dagster_at
from tests.support.databases import Databases
from tests.support.installation import ALICE, ROOT, SmallInstallation, add_release, fast_home, shop_estate

pytestmark = pytest.mark.postgres


@pytest.fixture
def stella(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallInstallation]:
    """Our store and Dagster's storage, each in a database of its own on one server."""
    with databases.fresh("postgres") as ours, databases.fresh("postgres", migrated=False) as theirs, fast_home() as home:
        point_dagster_at(theirs, monkeypatch)
        folder = home / "dagster"
        folder.mkdir(parents=True)
        (folder / "dagster.yaml").write_bytes((ROOT / "deploy" / "dagster.postgres.yaml").read_bytes())
        with open_control_plane(Settings(home=home, database_url=ours)) as plane, dg.DagsterInstance.from_config(str(folder)) as instance:
            installation = SmallInstallation(plane, instance)
            installation.apply(shop_estate())
            yield installation


def test_rows_become_runs_and_releases_are_shown_once(stella: SmallInstallation) -> None:
    promotion = stella.request()
    assert submit_pending(stella.plane, stella.submitter()) == [run_id_of("promotion", promotion.id, 1)]
    assert submit_pending(stella.plane, stella.submitter()) == []
    assert [run.status for run in stella.runs()] == [dg.DagsterRunStatus.QUEUED]

    record = add_release(stella.plane)
    assert [publish_release(stella.instance, record) for _ in range(3)] == [2, 0, 0]
    assert len(stella.instance.fetch_materializations(release_key("shop"), limit=10).records) == 1
    assert stella.plane.releases.find("shop-1.0.0").digest == record.digest
    assert ALICE.name == promotion.requested_by.name
