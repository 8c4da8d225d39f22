"""A purge where two roles share the work on PostgreSQL: the application may not, the owner may, and the application goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from stella_pipelines.core.identifiers import SystemIdentifiers
from stella_pipelines.evidence.every_table import RIGHTS
from stella_pipelines.evidence.retention.errors import PurgeForbidden
from stella_pipelines.evidence.retention.scopes import OfEverything
from stella_pipelines.evidence.retention.service import Retention
from stella_pipelines.store.database import Store
from stella_pipelines.store.owner import migrate_as_owner
from tests.support.databases import Databases
from tests.support.retention import ALICE, BOB, DAYS, Aging
from tests.support.two_roles import TwoRoles, two_roles

pytestmark = pytest.mark.postgres


@pytest.fixture
def roles(databases: Databases) -> Iterator[TwoRoles]:
    """A database that the owner migrated."""
    with two_roles(databases.cluster, "purging_owner", "purging_app") as made:
        migrate_as_owner(made.owner_url, made.application_url, RIGHTS)
        yield made


def test_only_the_owner_purges_and_the_application_goes_on(roles: TwoRoles) -> None:
    with contextlib.closing(Store.open(roles.application_url, migrate=False)) as store:
        aging = Aging(store)
        aging.deploy("1", "2", "3")
        aging.pass_days(DAYS + 30)
        hold = aging.retention.place(ALICE, OfEverything(), "the application places holds")
        aging.retention.lift(BOB, hold.id, "and lifts them")
        before = aging.ids()
        with pytest.raises(PurgeForbidden, match="purging_app may not delete evidence") as refused:
            aging.retention.purge(ALICE, "yearly")
        assert "STELLA_DATABASE_OWNER_URL" in refused.value.next_step
        assert aging.ids() == before

        report = _as_owner(aging, roles.owner_url).purge(ALICE, "yearly")
        assert report.packets > 0
        assert report.blobs > 0
        assert aging.verify().problems == ()
        aging.deploy("4")  # stores blobs again, past the triggers that look for marks
        assert aging.verify().problems == ()


def _as_owner(aging: Aging, owner_url: str) -> Retention:
    @contextlib.contextmanager
    def owners() -> Iterator[Store]:
        with contextlib.closing(Store.open(owner_url, migrate=False)) as store:
            yield store

    return Retention(aging.store, aging.evidence, aging.log, aging.clock, SystemIdentifiers(), retention_days=DAYS, owner_store=owners)
