"""Two roles on a real PostgreSQL: the application does its whole work, and cannot change evidence in any way that a role could try."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy as sa
from psycopg2 import errors

from stella_pipelines.control_plane import open_control_plane, open_store
from stella_pipelines.core.settings import DATABASE_VARIABLE, HOME_VARIABLE, OWNER_VARIABLE, InvalidSetting, Settings
from stella_pipelines.deployments.model import DeploymentState
from stella_pipelines.environments.model import AllAtOnce
from stella_pipelines.evidence.every_table import EVERY_TABLE, RIGHTS
from stella_pipelines.evidence.log.service import Log
from stella_pipelines.store.database import Store
from stella_pipelines.store.errors import DatabaseForbidden
from stella_pipelines.store.migration import VERSION_TABLE
from stella_pipelines.store.owner import RolesNotApart, grants, migrate_as_owner
from stella_pipelines.supervisor.home import dagster_home, process_environment
from tests.support.dagster_postgres import prepare_dagster
from tests.support.databases import Databases
from tests.support.every_metadata import EVERY_METADATA
from tests.support.evidence import signing_key
from tests.support.two_releases import two_releases
from tests.support.two_roles import ROLES_FILE, TwoRoles, two_roles

pytestmark = pytest.mark.postgres
ROOT = ROLES_FILE.parents[1]
OWNER, APPLICATION = "stella_owner", "stella_app"
EVIDENCE = sorted(name for name in EVERY_TABLE if name.startswith(("evidence_", "audit_", "log_")))
CLOSED = {name: sorted({"UPDATE", "DELETE"} - set(rights)) for name, rights in RIGHTS.items()}
FORBIDDEN = [(table, verb) for table, verbs in CLOSED.items() for verb in verbs]
FUNCTIONS = ("stella_append_only", "stella_packet_to_log", "stella_audit_to_log", "stella_guard_pending", "stella_guard_head", "stella_guard_lease")


@pytest.fixture(scope="module")
def worked(databases: Databases) -> Iterator[TwoRoles]:
    """A database that the owner migrated, in which the application did a promotion, a failed deployment's way back, and kept the log."""
    with two_roles(databases.cluster, OWNER, APPLICATION) as roles:
        migrate_as_owner(roles.owner_url, roles.application_url, RIGHTS)
        store = Store.open(roles.application_url, migrate=False)
        installation, _, v2 = two_releases(store, 2, AllAtOnce())
        assert installation.deploy(v2).state is DeploymentState.SUCCEEDED
        assert installation.rollback().state is DeploymentState.SUCCEEDED
        assert Log(store, signing_key(), installation.clock).take_in() is not None
        with store.writing() as tx:  # something that waits, and a draft
            tx.connection.exec_driver_sql("INSERT INTO release_components VALUES ('shop', 'another')")
        installation.promotions.request(installation.promotions.list(limit=1)[0].requested_by, environment="prod", release_digest=v2, reason="again")
        store.close()
        yield roles


def try_as(url: str, *statements: str) -> None:
    """Run statements in one transaction, which is rolled back."""
    parsed = sa.make_url(url)
    connection = psycopg2.connect(host=parsed.query["host"], user=parsed.username, dbname=parsed.database)
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.rollback()
        connection.close()


def a_change(verb: str, table: str) -> str:
    return f"DELETE FROM {table}" if verb == "DELETE" else f"UPDATE {table} SET {_a_column(table)} = {_a_column(table)}"


def _a_column(table: str) -> str:
    return f'"{next(iter(EVERY_METADATA.tables[table].columns)).name}"'


# ---------------------------------------------------------------- what the application cannot do


@pytest.mark.parametrize(("table", "verb"), FORBIDDEN, ids=[f"{verb} {table}" for table, verb in FORBIDDEN])
def test_the_application_cannot_change_what_is_not_its_own_to_change(worked: TwoRoles, table: str, verb: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege, match="permission denied"):
        try_as(worked.application_url, a_change(verb, table))


@pytest.mark.parametrize("table", sorted(EVERY_TABLE))
@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE {table}",
        "TRUNCATE {table} CASCADE",
        "DROP TABLE {table} CASCADE",
        "ALTER TABLE {table} DISABLE TRIGGER ALL",
        "ALTER TABLE {table} ADD COLUMN more text",
        "ALTER TABLE {table} OWNER TO " + APPLICATION,
        "ALTER TABLE {table} RENAME TO other",
        "CREATE TRIGGER mine BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION stella_append_only()",
        "CREATE RULE mine AS ON INSERT TO {table} DO INSTEAD NOTHING",
    ],
)
def test_the_application_owns_no_table_of_ours(worked: TwoRoles, table: str, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        try_as(worked.application_url, statement.format(table=table))


@pytest.mark.parametrize(
    "statement",
    [
        "SET session_replication_role = replica",
        f"SET ROLE {OWNER}",
        f"SET SESSION AUTHORIZATION {OWNER}",
        "SET ROLE postgres",
        f"GRANT {OWNER} TO {APPLICATION}",
        f"ALTER ROLE {APPLICATION} SUPERUSER",
        "CREATE TABLE public.mine (id int)",
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TEMPORARY TABLE log_pending (kind text)",
        "CREATE SCHEMA mine",
        "ALTER SCHEMA public RENAME TO other",
        f"GRANT UPDATE ON audit_entries TO {APPLICATION}",
        f"UPDATE {VERSION_TABLE} SET version_num = '0001_store'",
        f"INSERT INTO {VERSION_TABLE} VALUES ('9999_more')",
        "COPY audit_entries FROM PROGRAM 'true'",
    ],
)
def test_the_application_cannot_take_the_protection_off(worked: TwoRoles, statement: str) -> None:
    # GRANT by somebody who may not is only a warning; what it was to bring is tried after it.
    follow = ["UPDATE audit_entries SET reason = 'nothing'"] if statement.startswith("GRANT UPDATE") else []
    with pytest.raises((errors.InsufficientPrivilege, errors.InvalidParameterValue)):
        try_as(worked.application_url, statement, *follow)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
        "DROP FUNCTION {function}() CASCADE",
        "ALTER FUNCTION {function}() RENAME TO other",
        "ALTER FUNCTION {function}() SET search_path = dagster",
    ],
)
def test_the_application_cannot_replace_the_guards(worked: TwoRoles, function: str, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        try_as(worked.application_url, statement.format(function=function))


@pytest.mark.parametrize("table", EVIDENCE)
@pytest.mark.parametrize("verb", ["UPDATE", "DELETE", "TRUNCATE"])
def test_a_trigger_stops_even_the_owner(worked: TwoRoles, table: str, verb: str) -> None:
    statement = f"TRUNCATE {table} CASCADE" if verb == "TRUNCATE" else a_change(verb, table)
    _a_row(worked, table)
    with pytest.raises(errors.RaiseException):
        try_as(worked.owner_url, statement)


def _a_row(roles: TwoRoles, table: str) -> None:
    """A trigger for each row needs one; where the work left none, an administrator makes one up, past every guard."""
    engine, columns = sa.create_engine(roles.administrator_url), EVERY_METADATA.tables[table]
    with engine.begin() as connection:
        if connection.execute(sa.select(sa.func.count()).select_from(columns)).scalar() == 0:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            made_up = {column.name: _MADE_UP.get(type(column.type), 1) for column in columns.columns}
            connection.execute(sa.insert(columns).values(made_up))
    engine.dispose()


_MADE_UP = {sa.Text: "x", sa.LargeBinary: b"x"}


def test_every_function_of_ours_looks_names_up_in_our_schema_only(worked: TwoRoles) -> None:
    engine = sa.create_engine(worked.owner_url)
    with engine.connect() as connection:
        asked = sa.text(r"SELECT proname, proconfig FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'stella\_%'")
        found = {row.proname: row.proconfig for row in connection.execute(asked)}
    engine.dispose()
    assert set(FUNCTIONS) <= set(found)
    assert {name: settings for name, settings in found.items() if settings != ["search_path=public, pg_temp"]} == {}


def test_a_row_that_waits_for_the_log_stays_until_it_is_there(worked: TwoRoles) -> None:
    with pytest.raises(errors.RaiseException, match="keeps what is not in the log"):
        try_as(worked.application_url, "DELETE FROM log_pending")


def test_a_streams_number_never_falls(worked: TwoRoles) -> None:
    with pytest.raises(errors.RaiseException, match="never falls"):
        try_as(worked.application_url, "UPDATE evidence_heads SET sequence = 0")


def test_an_entry_waits_for_the_log_whatever_the_writers_search_path_is(worked: TwoRoles) -> None:
    """The application owns the schema of Dagster, and could put a table there that has the name of ours."""
    decoy = "CREATE TABLE dagster.log_pending (LIKE public.log_pending INCLUDING ALL)"
    entry = """INSERT INTO public.audit_entries (id, at, actor_name, actor_kind, actor_via, action, subject, digest)
        VALUES ('aud_decoy', 'now', 'x', 'human', 'x', 'x', 'x', 'x')"""
    proof = "SELECT 1 / (SELECT count(*) FROM public.log_pending WHERE entry_id = 'aud_decoy')"
    try_as(worked.application_url, decoy, "SET LOCAL search_path = dagster", entry, proof)


# ---------------------------------------------------------------- how the roles come about


def test_the_roles_file_gives_the_rights_that_the_code_gives(worked: TwoRoles) -> None:
    rows = re.findall(r"^ +\('(\w+)', '([A-Z, ]+)'\)", ROLES_FILE.read_text(), re.MULTILINE)
    assert {table: tuple(rights.split(", ")) for table, rights in rows} == {table: rights for table, rights in RIGHTS.items() if rights}
    by_code = privileges(worked)
    worked.run_roles_file()
    assert privileges(worked) == by_code
    assert by_code["audit_entries"] == {"SELECT", "INSERT"}


def test_the_page_lists_the_rights_of_the_code() -> None:
    page = (ROOT / "docs" / "postgres.md").read_text()
    for verb, words in (("UPDATE", "change rows"), ("DELETE", "remove rows")):
        (row,) = re.findall(rf"^\| {words} \| (.*) \|$", page, re.MULTILINE)
        assert set(re.findall(r"`(\w+)`", row)) == {table for table, rights in RIGHTS.items() if verb in rights}


def privileges(roles: TwoRoles) -> dict[str, set[str]]:
    engine = sa.create_engine(roles.administrator_url)
    with engine.connect() as connection:
        asked = sa.text("SELECT table_name, privilege_type FROM information_schema.role_table_grants WHERE grantee = :role AND table_schema = 'public'")
        found: dict[str, set[str]] = {}
        for table, privilege in connection.execute(asked, {"role": APPLICATION}):
            found.setdefault(table, set()).add(privilege)
    engine.dispose()
    return found


def test_a_table_that_is_not_classified_may_not_be_changed(worked: TwoRoles) -> None:
    engine = sa.create_engine(worked.owner_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE of_tomorrow (id int)")
    assert privileges(worked)["of_tomorrow"] == {"SELECT", "INSERT"}
    migrate_as_owner(worked.owner_url, worked.application_url, RIGHTS)
    assert "of_tomorrow" not in privileges(worked)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE of_tomorrow")
    engine.dispose()


def test_an_installation_of_one_role_is_divided_without_loss(databases: Databases, tmp_path: Path) -> None:
    """Everything was made by the application as the database's owner; then an administrator runs the file."""
    with two_roles(databases.cluster) as roles:
        databases.cluster.administer(f"ALTER DATABASE {roles.name} OWNER TO {roles.application}")
        engine = sa.create_engine(roles.administrator_url)
        with engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER SCHEMA public OWNER TO {roles.application}")
            connection.exec_driver_sql(f"GRANT ALL ON SCHEMA public TO {roles.application}")
        engine.dispose()
        store = Store.open(roles.application_url)
        installation, _, v2 = two_releases(store, 1, AllAtOnce())
        try_as(roles.application_url, "ALTER TABLE audit_entries DISABLE TRIGGER ALL")
        roles.run_roles_file()
        with pytest.raises(errors.InsufficientPrivilege):
            try_as(roles.application_url, "ALTER TABLE audit_entries DISABLE TRIGGER ALL")
        assert installation.deploy(v2).state is DeploymentState.SUCCEEDED
        store.close()


def test_dagsters_tables_are_the_applications_own(databases: Databases) -> None:
    with two_roles(databases.cluster) as roles:
        prepare_dagster(roles.application_url)
        try_as(roles.application_url, "DELETE FROM dagster.runs", "DELETE FROM dagster.event_logs")


def test_the_owners_address_migrates_and_gives_the_rights(databases: Databases, tmp_path: Path) -> None:
    with two_roles(databases.cluster) as roles:
        settings = Settings(home=tmp_path / "home", database_url=roles.application_url, database_owner_url=roles.owner_url)
        with open_control_plane(settings) as plane, plane.store.reading() as tx:
            assert tx.connection.execute(sa.text("SELECT current_user")).scalar() == roles.application
            assert tx.connection.execute(sa.text("SELECT tableowner FROM pg_tables WHERE tablename = 'audit_entries'")).scalar() == roles.owner
        open_store(settings).close()
        with pytest.raises(errors.InsufficientPrivilege):
            try_as(roles.application_url, "DELETE FROM audit_entries")


def test_the_migration_of_a_deployment_makes_both_schemas_each_for_its_role(databases: Databases, tmp_path: Path) -> None:
    script = ROLES_FILE.parent / "migrate.py"
    with two_roles(databases.cluster) as roles:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("STELLA_", "DAGSTER_"))}
        addresses = {DATABASE_VARIABLE: roles.application_url, OWNER_VARIABLE: roles.owner_url, HOME_VARIABLE: str(tmp_path / "home")}
        for _ in range(2):
            done = subprocess.run([sys.executable, script], check=False, capture_output=True, text=True, env={**plain, **addresses, "PYTHONPATH": str(ROOT)})
            assert done.returncode == 0, done.stderr
        engine = sa.create_engine(roles.administrator_url)
        with engine.connect() as connection:
            owners = {
                (row.schemaname, row.tableowner)
                for row in connection.execute(sa.text("SELECT schemaname, tableowner FROM pg_tables WHERE schemaname IN ('public', 'dagster')"))
            }
        engine.dispose()
        assert owners == {("public", roles.owner), ("dagster", roles.application)}


def test_the_application_alone_cannot_migrate_and_says_who_can(databases: Databases) -> None:
    with two_roles(databases.cluster) as roles, pytest.raises(DatabaseForbidden) as refused:
        Store.open(roles.application_url)
    assert OWNER_VARIABLE in refused.value.next_step


# ---------------------------------------------------------------- settings that are no separation


def test_roles_that_are_not_apart_are_refused(databases: Databases) -> None:
    cluster = databases.cluster
    with two_roles(cluster) as roles:
        cluster.administer(f"GRANT {roles.owner} TO {roles.application}")
        with pytest.raises(RolesNotApart, match="may become the owner"):
            migrate_as_owner(roles.owner_url, roles.application_url, RIGHTS)
        cluster.administer(f"ALTER ROLE {roles.application} SUPERUSER")
        roles.run_roles_file()
        migrate_as_owner(roles.owner_url, roles.application_url, RIGHTS)
        with pytest.raises(RolesNotApart, match="is not there"):
            migrate_as_owner(roles.owner_url, roles.application_url.replace(roles.application, "nobody_here"), RIGHTS)


@pytest.mark.parametrize(
    ("owner", "application", "said"),
    [
        ("postgresql://stella@db/stella", "postgresql://stella@db/stella", "two different users"),
        ("postgresql://owner@db/stella", "postgresql://db/stella", "two different users"),
        ("postgresql://owner@db/stella", "postgresql://stella@db/another", "two databases"),
        ("postgresql://owner@db/stella", "sqlite:////tmp/stella.db", "SQLite knows no roles"),
    ],
)
def test_addresses_that_make_no_two_roles_are_refused(owner: str, application: str, said: str) -> None:
    with pytest.raises(InvalidSetting, match=said):
        migrate_as_owner(owner, application, RIGHTS)


def test_the_processes_of_stella_up_do_not_get_the_owners_address(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url="postgresql+psycopg2://stella@db/stella")
    with dagster_home(settings) as home:
        environ = process_environment(settings, home, {OWNER_VARIABLE: "postgresql://owner:secret@db/stella", "PATH": "/bin"})
    assert OWNER_VARIABLE not in environ
    assert environ[DATABASE_VARIABLE] == settings.database_url
    assert "secret" not in repr(Settings.from_environ({OWNER_VARIABLE: "postgresql://owner:secret@db/stella"}))


def test_a_role_with_an_odd_name_is_quoted() -> None:
    assert 'TO "a""b%%"' in list(grants('a"b%', {"blobs": ()}))[-1]
