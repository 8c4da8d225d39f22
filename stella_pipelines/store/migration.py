"""Bringing a database to the schema of this version, once, whoever starts first.

One linear chain of revisions lives in `migrations/versions`; a revision's id is its file's name. The chain runs in one transaction under a
lock, so a second process that starts at the same time waits and then finds nothing to do. A database that is ahead of the code is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from stella_pipelines.store import limits
from stella_pipelines.store.engines import BEGIN_OPTION
from stella_pipelines.store.errors import DatabaseNewer, DatabaseOlder, DatabaseTooOld

SCRIPTS: Final = Path(__file__).parent / "migrations"
VERSION_TABLE: Final = "stella_alembic_version"
"""Not Alembic's default name: Dagster keeps its own `alembic_version`, and both may share one database."""
_ADVISORY_LOCK: Final = 0x57E11A


def known_revisions() -> list[str]:
    """Every revision that this version of the code knows, oldest first."""
    return sorted(path.stem for path in (SCRIPTS / "versions").glob("[0-9]*.py"))


def ensure_schema(engine: sa.Engine, *, migrate: bool, where: str) -> None:
    """Migrate to the newest known revision, or check that it is there. Reads only when there is nothing to do."""
    newest = known_revisions()[-1]
    with engine.connect() as connection:
        _refuse_old_server(connection, where)
        found = _current_revision(connection)
    _refuse_newer(found, where)
    if found == newest:
        return
    if not migrate:
        raise DatabaseOlder(f"{where} has the schema {found or '(none)'}, this version needs {newest}.", next_step="Run 'stella up' or any writing command.")
    _migrate(engine, where)


def _refuse_old_server(connection: sa.Connection, where: str) -> None:
    version = connection.dialect.server_version_info or (0,)
    if connection.dialect.name == "postgresql" and version < (limits.POSTGRES_VERSION_MIN,):
        raise DatabaseTooOld(
            f"{where} is PostgreSQL {'.'.join(map(str, version))}, and Stella needs {limits.POSTGRES_VERSION_MIN} or later.",
            next_step="Upgrade the server, or use another one.",
        )


def _current_revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - a constant


def _refuse_newer(found: str | None, where: str) -> None:
    if found is not None and found not in known_revisions():
        raise DatabaseNewer(
            f"{where} has the schema {found}, which this version does not know.", next_step="Upgrade this installation to the version that wrote the database."
        )


def _migrate(engine: sa.Engine, where: str) -> None:
    with engine.connect().execution_options(**{BEGIN_OPTION: "BEGIN EXCLUSIVE"}) as connection:
        if engine.dialect.name == "sqlite":
            _wait_long_for_others(connection)
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(limits.MIGRATION_LOCK_TIMEOUT_S * 1000)}")
                connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            found = _current_revision(connection)
            _refuse_newer(found, where)  # another process may have been quicker, and newer
            if found != known_revisions()[-1]:
                _run_chain(connection)
                if engine.dialect.name == "postgresql":
                    _fix_search_paths(connection)


def _fix_search_paths(connection: sa.Connection) -> None:
    """Whoever writes a row chooses where names are looked up; our triggers must find our tables, and none of the same name elsewhere."""
    (schema,) = connection.execute(sa.text("SELECT quote_ident(current_schema())")).one()
    ours = r"SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = current_schema()::regnamespace AND proname LIKE 'stella\_%' AND proconfig IS NULL"
    for function in connection.execute(sa.text(ours)).scalars().all():
        connection.exec_driver_sql(f"ALTER FUNCTION {function} SET search_path = {schema}, pg_temp")


def _wait_long_for_others(connection: sa.Connection) -> None:
    raw = connection.connection.cursor()
    raw.execute(f"PRAGMA busy_timeout={int(limits.MIGRATION_LOCK_TIMEOUT_S * 1000)}")
    raw.execute("PRAGMA foreign_keys=OFF")  # a table that is rebuilt must not cascade; ignored once a transaction is open
    raw.close()


def _run_chain(connection: sa.Connection) -> None:
    # Imported here: Alembic takes a tenth of a second, and almost every start finds an up-to-date database.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
